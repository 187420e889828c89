"""Passes over the rows of a split inside the graph: the author's, sampled, and the one over the whole catalogue."""

import time

import numpy as np
import tensorflow as tf
from scipy import sparse

from recsys import losses
from recsys.model import SimpleRecommender
from recsys.optimizers import Adam, schedule
from recsys.recipes import FullRecipe, Recipe
from recsys.split import Split

STEPS_PER_CALL = 256  # between two calls an interrupt is heard
LOGITS_IN_MEMORY = 2**24  # of one batch; a step holds a handful of arrays of this size
FEWEST_STEPS = 12  # of an epoch over users: few users make small batches
ORDER, NEGATIVES, VALIDATION, SAMPLE = range(4)  # what is drawn: the first two each epoch, the others once

NUMBERS = (tf.int32, tf.int32, tf.float32, tf.float32)  # key and step of a draw, learning rate, steps so far


class Loop:
    """A model, its data on the device, and passes over rows with sampled negatives."""

    temperature = 1.0

    def __init__(
        self, model: SimpleRecommender, split: Split, recipe: Recipe | FullRecipe, pool: int, seed: int, xla: bool
    ):
        self.started, self.interrupted = time.perf_counter(), False
        self.model, self.recipe, self.pool, self.seed = model, recipe, pool, seed
        sample = np.random.default_rng([seed, SAMPLE]).permutation(len(split.train))[: len(split.validation)]
        parts = (split.train, split.train[np.sort(sample)], split.validation)
        self.train, self.sample, self.validation = ((tf.constant(part.user), tf.constant(part.item)) for part in parts)
        self._steps = tf.function(self._take_steps, jit_compile=xla)
        self._compile()

    def _compile(self) -> None:
        for part, learn in ((self.train, True), (self.sample, False), (self.validation, False)):
            self._steps(*part, tf.range(len(part[0])), *map(tf.constant, (0, 0, 0)), learn)  # on no rows

    def learn(self, epoch: int) -> dict[str, float]:
        """Take the steps of one epoch; return running means over it, and its speed."""
        started = time.perf_counter()
        facts = self._pass("", self.train, epoch, NEGATIVES, learn=True)
        return facts | {"rows_per_second": round(len(self.train[0]) / (time.perf_counter() - started))}

    def judge(self, epoch: int) -> dict[str, float]:
        """Return loss and 1-of-21 accuracy on a sample of train and on validation, candidates drawn once."""
        facts = self._pass("train_", self.sample, epoch, SAMPLE, learn=False)
        return facts | self._pass("val_", self.validation, epoch, VALIDATION, learn=False)

    def _pass(self, name: str, part: tuple, epoch: int, what: int, learn: bool) -> dict[str, float]:
        n, key = len(part[0]), losses.key(self.seed, epoch if learn else 0, what)
        order = losses.shuffled(n, losses.key(self.seed, epoch, ORDER)) if learn else tf.range(n)
        n_steps, sums = -(-n // self.recipe.batch_size), np.zeros(3)
        for first in range(0, n_steps, STEPS_PER_CALL):
            span = map(tf.constant, (key, first, min(first + STEPS_PER_CALL, n_steps)))
            more, bad = self._steps(*part, order, *span, learn)
            self._check(bad, f"epoch {epoch}, step {bad + 1} of {n_steps} of {'training' if learn else 'evaluation'}")
            sums += more.numpy()
        return _means(name, sums, n)

    def _check(self, bad: int, where: str) -> None:
        if bad >= 0:
            raise FloatingPointError(f"{where}: expected a finite loss, got none; a lower learning rate may help")
        if self.interrupted:
            raise KeyboardInterrupt

    def _take_steps(self, users, items, order, key, step, last, learn):
        n, size = users.shape[0], self.recipe.batch_size
        tables = [table.value for table in self.model.trainable_variables]
        sums, bad = tf.zeros(3, tf.float64), -1
        while step < last:
            position = step * size + tf.range(size)
            rows = tf.gather(order, tf.minimum(position, n - 1))
            user, positive = tf.gather(users, rows), tf.gather(items, rows)  # (batch,)
            real = (position < n) & self.model.known(user, positive[:, None])[:, 0]  # the last batch may be short
            candidates = losses.uniform_candidates(positive, self.recipe.negatives, self.pool, key, step)
            with tf.GradientTape() as tape:
                logits = self.model((user, candidates)) / self.temperature
                row_losses = losses.softmax(logits, real)
                loss = losses.mean(row_losses, real)
            if learn:
                for table, gradient in zip(tables, tape.gradient(loss, tables), strict=True):
                    table.scatter_sub(tf.IndexedSlices(self.recipe.learning_rate * gradient.values, gradient.indices))
            sums += losses.sums(row_losses, losses.hits(logits, real), real)
            bad = tf.where((bad < 0) & ~tf.math.is_finite(loss), step, bad)
            step += 1
        return sums, bad


class FullLoop(Loop):
    """Passes over users: each with all his songs, against all others of the catalogue.

    `start` begins a schedule of epochs anew, from the first weights; a listener without a song, or with all of them,
    has nothing to teach.
    """

    def __init__(self, model: SimpleRecommender, split: Split, recipe: FullRecipe, seed: int, xla: bool):
        self.temperature, self.gamma = tf.Variable(1.0), tf.Variable(1.0)
        self.tables = [table.value for table in model.trainable_variables]
        self.first, self.adam = model.get_weights(), Adam(self.tables)
        signature = [tf.TensorSpec((None,), tf.int32)] * 3 + [tf.TensorSpec((), kind) for kind in NUMBERS]
        self._full_step = tf.function(self._take_full_step, signature)
        super().__init__(model, split, recipe, split.n_items_all, seed, xla)

    def _compile(self) -> None:
        pass

    def start(self, seen: sparse.csr_matrix, temperature: float, gamma: float, epochs: int, name: str = "") -> None:
        self.name, self.epochs = name, epochs
        self.model.set_weights(self.first)
        self.adam.reset()
        self.temperature.assign(temperature)
        self.gamma.assign(gamma)
        n_songs = np.diff(seen.indptr)
        self.users = np.flatnonzero((n_songs > 0) & (n_songs < seen.shape[1])).astype(np.int32)
        if not len(self.users):
            raise ValueError("expected users with some, but not all songs of train, got none")
        self.seen = seen

    def learn(self, epoch: int) -> dict[str, float]:
        started = time.perf_counter()
        most = min(LOGITS_IN_MEMORY // self.model.n_items, len(self.users) // FEWEST_STEPS)
        size = min(self.recipe.batch_size, max(1, most))
        users = np.random.default_rng([self.seed, epoch, ORDER]).permutation(self.users)
        batches, sums = [users[first : first + size] for first in range(0, len(users), size)], np.zeros(3)
        key = losses.key(self.seed, epoch, NEGATIVES)
        for step, batch in enumerate(batches):
            count = (epoch - 1) * len(batches) + step + 1
            rate = self.recipe.learning_rate * schedule(count, self.epochs * len(batches))
            theirs = self.seen[batch]
            rows = np.repeat(np.arange(len(batch), dtype=np.int32), np.diff(theirs.indptr))
            numbers = map(tf.constant, (key, step, rate, count), NUMBERS)
            more = self._full_step(*map(tf.constant, (batch, rows, theirs.indices)), *numbers).numpy()
            where = f"{self.name}epoch {epoch}, step {step + 1} of {len(batches)} of training"
            self._check(-1 if np.isfinite(more[0]) else step, where)
            sums += more
        seconds = time.perf_counter() - started
        return _means("", sums, int(sums[2])) | {"rows_per_second": round(sums[2] / seconds)}

    def _take_full_step(self, users, rows, columns, key, step, rate, count):
        with tf.GradientTape() as tape:
            logits = self.model.all_logits(users) / self.temperature  # (users, songs)
            row_losses = losses.full_softmax(logits, rows, columns, self.gamma)  # (positives,)
            loss = tf.reduce_mean(row_losses)
        self.adam.apply(tape.gradient(loss, self.tables), rate, count)
        candidates = losses.uniform_candidates(columns, self.recipe.negatives, self.pool, key, step)
        inside = tf.minimum(candidates, self.model.n_items - 1)
        drawn = tf.gather_nd(logits, tf.stack([tf.broadcast_to(rows[:, None], tf.shape(inside)), inside], axis=2))
        real = tf.ones_like(rows, tf.bool)
        drawn = tf.where(candidates < self.model.n_items, drawn, -np.inf)  # (positives, candidates)
        return losses.sums(row_losses, losses.hits(drawn, real), real)


def _means(name: str, sums: np.ndarray, n: int) -> dict[str, float]:
    """Name the mean loss of the rows that have vectors, the share of hits among all, and the number of the others."""
    loss, hits, rows = sums.tolist()
    return {f"{name}loss": loss / max(rows, 1), f"{name}accuracy": hits / n, f"{name}unknown_rows": n - int(rows)}
