"""Passes over the users of a split, each against the whole catalogue, and which loop a recipe takes."""

import functools

import numpy as np
import tensorflow as tf
from scipy import sparse

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training import losses
from recsys.training.devices import local, over_replicas, share_of_users
from recsys.training.recipes import N_JUDGED, Recipe
from recsys.training.sampled_softmax import NEGATIVES, SampledLoop, means
from recsys.training.shuffling import ORDER

N_DRAWS = 32  # of candidates a batch: one for every positive would take longer than its loss
NUMBERS = (tf.int32, tf.int32, tf.float32, tf.float32)  # key and step of a draw, learning rate, steps so far


class FullLoop(SampledLoop):
    """Passes over users: each with all his songs, against all others of the catalogue.

    A listener without a song, or with all of them, has nothing to teach.
    """

    def __init__(self, model: Embeddings, split: Split, recipe: Recipe, seed: int = 0, xla: bool = False):
        super().__init__(model, split, recipe, seed, xla)
        signature = [tf.TensorSpec((None,), tf.int32)] * 3 + [tf.TensorSpec((), kind) for kind in NUMBERS]
        self._powers = tf.function(losses.powers, jit_compile=True) if self.xla else losses.powers
        self._full_step = tf.function(self._on_replicas, signature)

    def _take(self, rows: Interactions | Stored) -> None:
        users, items = rows.user, rows.item
        shape = self.model.n_users, self.model.n_items
        self.seen = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)
        n_songs = np.diff(self.seen.indptr)
        self.users = np.flatnonzero((n_songs > 0) & (n_songs < self.model.n_items)).astype(np.int32)
        if not len(self.users):
            raise ValueError("expected users with some, but not all songs of train, got none")

    def _means(self) -> dict[str, float]:
        return means("", self.sums, int(self.sums[2]))

    def _learn(self, epoch: int) -> None:
        size = self.recipe.users_at_once(len(self.users), self.model.n_items)
        users = np.random.default_rng([self.seed, epoch, ORDER]).permutation(self.users)
        n_steps, key = -(-len(users) // size), losses.key(self.seed, epoch, NEGATIVES)
        for step in range(self.step, n_steps):
            batch = users[step * size : (step + 1) * size]
            theirs = self.seen[batch]
            rows = np.repeat(np.arange(len(batch), dtype=np.int32), np.diff(theirs.indptr))
            rate, count = self._rate(epoch, step, n_steps), (epoch - 1) * n_steps + step + 1
            numbers = map(tf.constant, (key, step, rate, count), NUMBERS)
            sums = self._full_step(*map(tf.constant, (batch, rows, theirs.indices)), *numbers).numpy()
            self._go_on(sums, -1 if np.isfinite(sums[0]) else step, step + 1, n_steps)

    def _take_step(self, users, rows, columns, key, step, rate, count):
        n_real = tf.cast(tf.size(rows), tf.float32)
        candidates = losses.uniform((N_DRAWS, N_JUDGED), self.pool, key, step)
        users, rows, columns = share_of_users(users, rows, columns)
        tables = [local(table) for table in self.tables]
        with tf.GradientTape() as tape:
            vectors = tf.gather(tables[0], users), tf.convert_to_tensor(tables[1])
            scaled = self.model.scaled(*vectors, self.temperature)
            powers = functools.partial(self._powers, highest=self.model.highest_logit(self.temperature))
            places = tf.stack([rows, columns], axis=1)  # of all positives: they are no negatives
            log_sums, own = losses.log_sum_exp(*scaled, powers, self.model.multiply, places)
            row_losses = losses.bsl_of_sum(own, tf.gather(log_sums, rows), self.gamma)  # (positives,)
            loss = tf.reduce_sum(row_losses) / n_real
        gradients = [tf.convert_to_tensor(over_replicas(each)) for each in tape.gradient(loss, tables)]
        self.optimizer.apply(tables, gradients, rate, count)
        real = tf.ones_like(rows, tf.bool)
        return losses.sums(row_losses, self._full_hits(*scaled, own, rows, columns % N_DRAWS, candidates, real), real)

    def _full_hits(self, users, songs, own, rows, draws, candidates, real):
        """Return each positive's hit among one of the draws of candidates (draws, n), which all users share."""
        inside = tf.reshape(tf.minimum(candidates, self.model.n_items - 1), [-1])
        judged = tf.reshape(self.model.products(users, tf.gather(songs, inside)), (-1, *candidates.shape))
        highest = tf.reduce_max(tf.where(candidates < self.model.n_items, judged, -np.inf), axis=2)  # (users, draws)
        return losses.hits(own, tf.gather_nd(highest, tf.stack([rows, draws], axis=1)), real)


def loop_of(model: Embeddings, split: Split, recipe: Recipe, seed: int = 0, xla: bool = False) -> SampledLoop:
    """Make the loop that the recipe's negatives ask for."""
    return (FullLoop if recipe.negatives == "full" else SampledLoop)(model, split, recipe, seed, xla)
