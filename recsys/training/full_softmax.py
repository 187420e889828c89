"""Training on users of train, each with all of their songs, compared with all other songs of the catalogue."""

import functools
import time

import numpy as np
import tensorflow as tf
from scipy import sparse

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training import losses
from recsys.training.devices import compiled, graph, local, over_replicas, share_of_users
from recsys.training.loop import Loop
from recsys.training.recipes import ACCURACY_NEGATIVES, Recipe
from recsys.training.spectral import spectral_vectors

NOISE = 0.1  # share of the usual initial values in a warm start, so that seeds differ and nobody has a zero vector
N_DRAWS = 32  # sets of negatives a batch, for the accuracy: a set for each positive would take longer than the loss
NUMBERS = (tf.int32, tf.int32, tf.float32, tf.float32)  # key and step of a draw, learning rate, number of steps so far


class FullLoop(Loop):
    """Epochs over users in a new order each time, but not users with no or all songs. A step moves the whole tables."""

    def __init__(self, model: Embeddings, split: Split, recipe: Recipe, seed: int = 0, xla: bool = False):
        super().__init__(model, split, recipe, seed, xla)
        self._warm: tuple[Interactions | Stored | None, list[np.ndarray]] = None, []
        signature = [tf.TensorSpec((None,), tf.int32)] * 3 + [tf.TensorSpec((), kind) for kind in NUMBERS]
        self._step = graph(self._on_replicas, signature)
        self._exponentials = compiled(losses.exponentials, self.xla)

    def _load(self, rows: Interactions | Stored) -> None:
        users, items = rows.user, rows.item
        shape = self.model.n_users, self.model.n_items
        self.seen = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)
        n_songs = np.diff(self.seen.indptr)
        self.users = np.flatnonzero((n_songs > 0) & (n_songs < self.model.n_items)).astype(np.int32)
        self.n_rows = int(n_songs[self.users].sum())
        if not len(self.users):
            raise ValueError("expected users with some, but not all songs of train, got none")
        if self.recipe.warm_start:
            self.model.set_weights(self._warm_start(rows))

    def _warm_start(self, rows: Interactions | Stored) -> list[np.ndarray]:
        """Return the spectral vectors of the rows, with a little of the initial values; all trials share them."""
        if self._warm[0] is not rows:
            began, dim = time.perf_counter(), self.recipe.dim
            vectors = spectral_vectors(self.seen, dim - 1)
            padded = [np.pad(each, ((0, 0), (0, dim - each.shape[1]))) for each in vectors]
            pairs = zip(padded, self.model.get_weights(), strict=True)
            self._warm = rows, [vectors + NOISE * initial for vectors, initial in pairs]
            self.warm_start_seconds = time.perf_counter() - began
        return self._warm[1]

    def _train(self, epoch: int) -> None:
        size = self.recipe.users_per_batch(len(self.users), self.model.n_items)
        users = np.random.default_rng([self.seed, epoch, losses.ORDER]).permutation(self.users)
        n_steps, key = -(-len(users) // size), losses.key(self.seed, epoch, losses.NEGATIVES)
        for step in range(self.step, n_steps):
            batch = users[step * size : (step + 1) * size]
            songs = self.seen[batch]
            rows = np.repeat(np.arange(len(batch), dtype=np.int32), np.diff(songs.indptr))
            rate, count = self._learning_rate(epoch, step, n_steps), (epoch - 1) * n_steps + step + 1
            numbers = map(tf.constant, (key, step, rate, count), NUMBERS)
            totals = self._step(*map(tf.constant, (batch, rows, songs.indices)), *numbers).numpy()
            self._end_call(totals, -1 if np.isfinite(totals[0]) else step, step + 1, n_steps)

    def _train_step(self, users, rows, columns, key, step, rate, count):
        """Take a step on `users` (batch,); their positives are the pairs of `rows` of the batch and `columns` (n,)."""
        n_positives = tf.cast(tf.size(rows), tf.float32)
        candidates = losses.uniform((N_DRAWS, ACCURACY_NEGATIVES), self.pool, key, step)
        users, rows, columns = share_of_users(users, rows, columns)
        tables = [local(table) for table in self.tables]
        with tf.GradientTape() as tape:
            vectors = tf.gather(tables[0], users), tf.convert_to_tensor(tables[1])
            scaled = self.model.scaled(*vectors, self.temperature)  # (batch, dim), (songs, dim)
            exponentials = functools.partial(self._exponentials, level=self.model.highest_logit(self.temperature))
            positives = tf.stack([rows, columns], axis=1)
            log_sums, own = losses.log_sum_exp(*scaled, exponentials, self.model.multiply, positives)
            row_losses = losses.bsl_of_log_sum(own, tf.gather(log_sums, rows), self.gamma)  # (positives,)
            loss = tf.reduce_sum(row_losses) / n_positives
        gradients = [tf.convert_to_tensor(over_replicas(each)) for each in tape.gradient(loss, tables)]
        self.optimizer.apply(tables, gradients, rate, count)
        real = tf.ones_like(rows, tf.bool)
        hits = self._hits(*scaled, own, rows, columns % N_DRAWS, candidates, real)
        return losses.totals(row_losses, hits, real)

    def _hits(self, users, songs, own, rows, draws, candidates, real):
        """Return whether each positive beats the negatives of one of the draws (draws, n), which all users share."""
        inside = tf.reshape(tf.minimum(candidates, self.model.n_items - 1), [-1])
        logits = tf.reshape(self.model.products(users, tf.gather(songs, inside)), (-1, *candidates.shape))
        highest = tf.reduce_max(tf.where(candidates < self.model.n_items, logits, -np.inf), axis=2)  # (users, draws)
        return losses.hits(own, tf.gather_nd(highest, tf.stack([rows, draws], axis=1)), real)
