"""The next-song part: what a listener plays next, from the songs that they played last.

Each song has two vectors here: one for its role as a song played before, one for its role as the next song. A
listener's vector is the sum of the former over the last `LAGS` songs, with a learnt weight for each lag. Training
compares the next song that is new to the listener with all songs that they do not have; with those of a random sample
where all would be too many.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf
from scipy import sparse

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training import losses
from recsys.training.devices import compiled, graph, local, over_replicas, share, share_of_users
from recsys.training.loop import Loop
from recsys.training.recipes import MAX_LOGITS_PER_BATCH, Recipe

LAGS, HALF_LIFE = 10, 1.0  # a listener's last songs, and the half-life of their weights before training
SETTINGS = {"temperature": 0.1, "gamma": 1.0}
LEARNING_RATE = 0.01
LOGITS = 10_000_000_000  # of a training, at most, unless that would leave fewer than LEAST_SONGS to compare with
LEAST_SONGS = 4096
LEAST_STEPS = 400  # of an epoch: larger batches cost quality
NUMBERS = (tf.float32, tf.float32)  # learning rate, number of steps so far


class NextSongLoop(Loop):
    """Epochs over listens to a song that is new to the user, with the songs before it; a batch is of such listens.

    The model's "users" are songs in their role as songs played before.
    """

    def __init__(self, split: Split, recipe: Recipe, seed: int = 0, xla: bool = False):
        songs = np.arange(split.n_items)
        recipe = dataclasses.replace(recipe, learning_rate=LEARNING_RATE)
        model = Embeddings(songs, songs, recipe.next_dim, similarity="cosine", seed=seed)
        self.lag_weights = tf.Variable(tf.zeros((1, LAGS)))
        super().__init__(model, split, recipe, seed, xla, more=[self.lag_weights])
        codes = tf.TensorSpec((None,), tf.int32)
        signature = [tf.TensorSpec((None, LAGS), tf.int32), codes, codes, tf.TensorSpec((None,), tf.bool), codes, codes]
        signature += [tf.TensorSpec((), kind) for kind in NUMBERS]
        self._step = graph(self._on_replicas, signature)
        self._exponentials = compiled(losses.exponentials, self.xla)

    def _load(self, rows: Interactions | Stored) -> None:
        """Take rows in the order of `Split.in_order`."""
        rows = rows[:]
        self.lag_weights.assign(np.exp2(-np.arange(LAGS) / HALF_LIFE)[None])
        self.rows, n_items = rows, self.model.n_items
        n_users = int(rows.user[-1]) + 1
        self.ends = np.bincount(rows.user, minlength=n_users).cumsum()  # (users,), one after each user's last row
        pairs = np.ones(len(rows), np.float32), (rows.user, rows.item)
        self.seen = sparse.csr_matrix(pairs, (n_users, n_items)).sign()
        _, first = np.unique(rows.user.astype(np.int64) * n_items + rows.item, return_index=True)
        has_context = np.r_[False, rows.user[1:] == rows.user[:-1]]
        has_negatives = np.diff(self.seen.indptr)[rows.user] < n_items
        self.targets = np.sort(first[(has_context & has_negatives)[first]])
        self.n_rows = len(self.targets)
        self.n_drawn = self._songs_in_a_step()

    def _train(self, epoch: int) -> None:
        size = self._batch_size()
        targets = np.random.default_rng([self.seed, epoch, losses.ORDER]).permutation(self.targets)
        n_steps = -(-len(targets) // size)
        for step in range(self.step, n_steps):
            batch = targets[step * size : (step + 1) * size]
            own = self.seen[self.rows.user[batch]]
            rows = np.repeat(np.arange(len(batch), dtype=np.int32), np.diff(own.indptr))
            rate, count = self._learning_rate(epoch, step, n_steps), (epoch - 1) * n_steps + step + 1
            next_songs = self.rows.item[batch]
            drawn, *pairs = self._draw_songs(epoch, step, rows, own.indices, own.indices == next_songs[rows])
            inputs = self._last_songs(batch), *pairs, next_songs, drawn
            totals = self._step(*map(tf.constant, inputs), *map(tf.constant, (rate, count), NUMBERS)).numpy()
            self._end_call(totals, -1 if np.isfinite(totals[0]) else step, step + 1, n_steps)

    def _songs_in_a_step(self) -> int:
        return min(self.model.n_items, max(LEAST_SONGS, LOGITS // max(1, self.epochs * self.n_rows)))

    def _batch_size(self) -> int:
        is_sample = self.n_drawn < self.model.n_items
        wanted = max(self.recipe.batch_size, self.n_rows // LEAST_STEPS if is_sample else 0)
        return max(1, min(wanted, MAX_LOGITS_PER_BATCH // self.n_drawn))

    def _draw_songs(self, epoch: int, step: int, rows: np.ndarray, columns: np.ndarray, *more: np.ndarray):
        """Return the songs that a step compares with (n_drawn,), and those of the pairs (n,) that have one of them.

        The songs in `columns` become places among the drawn ones; `more` is told of each pair.
        """
        drawn = np.arange(n_items := self.model.n_items, dtype=np.int32)
        if self.n_drawn == n_items:
            return drawn, rows, columns, *more
        rng, places = np.random.default_rng([self.seed, epoch, losses.NEGATIVES, step]), np.full(n_items, -1, np.int32)
        drawn = rng.choice(drawn, self.n_drawn, replace=False)
        places[drawn] = np.arange(self.n_drawn)
        is_drawn = places[columns] >= 0
        return drawn, *(each[is_drawn] for each in (rows, places[columns], *more))

    def _last_songs(self, places: np.ndarray) -> np.ndarray:
        """Return the songs in the rows before each place, the last first: int32 (n, LAGS), −1 where there is none.

        A place is that of a row, or one after the last row of a user.
        """
        before = places[:, None] - 1 - np.arange(LAGS)  # (n, LAGS)
        users = self.rows.user[places - 1] if len(places) else places
        starts = np.r_[0, self.ends][users]
        return np.where(before >= starts[:, None], self.rows.item[before], -1).astype(np.int32)

    def _listeners(self, table: tf.Tensor, lag_weights: tf.Tensor, songs: tf.Tensor) -> tf.Tensor:
        """Return the vectors of listeners (n, dim), given their last songs (n, LAGS)."""
        vectors = self.model.normalised(tf.gather(table, tf.maximum(songs, 0)))  # (n, LAGS, dim)
        weights = lag_weights * tf.cast(songs >= 0, tf.float32)  # (n, LAGS)
        return tf.einsum("nld,nl->nd", vectors, weights)

    def _train_step(self, songs, rows, columns, is_target, targets, drawn, rate, count):
        """Take a step on listens with the last `songs` before each (batch, LAGS), which the `targets` (batch,) follow.

        The songs `drawn` are compared. Those that their users have are the pairs of `rows` of the batch and `columns`
        (n,); `is_target` (n,) marks, in each row, the one that is played next.
        """
        n_targets = tf.cast(tf.shape(songs)[0], tf.float32)
        songs, rows, columns, is_target = share_of_users(songs, rows, columns, is_target)
        tables = [local(table) for table in self.tables]
        with tf.GradientTape() as tape:
            listeners = self._listeners(tables[0], tf.convert_to_tensor(tables[2]), songs)
            pairs, table = tf.stack([rows, columns], axis=1), tf.convert_to_tensor(tables[1])
            if self.n_drawn == self.model.n_items:
                log_sums, own, _ = self._compare(listeners, table, pairs)
                own = tf.boolean_mask(own, is_target)
            else:
                log_sums, _, scaled = self._compare(listeners, tf.gather(table, drawn), pairs)
                next_songs = self.model.scaled(listeners, tf.gather(table, share(targets)), self.temperature)[1]
                own = tf.reduce_sum(scaled * next_songs, axis=1)
            row_losses = losses.bsl_of_log_sum(own, log_sums, self.gamma)  # (batch,)
            row_losses = tf.where(log_sums == -np.inf, 0.0, row_losses)  # a listener may have all that were drawn
            loss = tf.reduce_sum(row_losses) / n_targets
        gradients = [tf.convert_to_tensor(over_replicas(each)) for each in tape.gradient(loss, tables)]
        self.optimizer.apply(tables, gradients, rate, count)
        return losses.totals(row_losses, tf.zeros_like(row_losses), tf.ones_like(row_losses))

    def _compare(self, listeners: tf.Tensor, songs: tf.Tensor, pairs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return log Σ exp of listeners' logits without those of the pairs, the pairs' logits, and scaled listeners."""
        listeners, songs = self.model.scaled(listeners, songs, self.temperature)
        exponentials = functools.partial(self._exponentials, level=self.model.highest_logit(self.temperature))
        return *losses.log_sum_exp(listeners, songs, exponentials, self.model.multiply, pairs), listeners

    def vectors(self, n_users: int) -> list[np.ndarray]:
        """Return the users' vectors after their last rows (n_users, dim), zeros without rows, and the songs'."""
        table, songs = self.model.get_weights()
        users = np.zeros((n_users, table.shape[1]), np.float32)
        known = np.flatnonzero(np.diff(self.ends, prepend=0))
        for start in range(0, len(known), MAX_LOGITS_PER_BATCH // 2**12):
            batch = known[start : start + MAX_LOGITS_PER_BATCH // 2**12]
            last = tf.constant(self._last_songs(self.ends[batch]))
            users[batch] = self._listeners(tf.constant(table), tf.convert_to_tensor(self.lag_weights), last).numpy()
        return [users, songs]
