"""Passes over the rows of a split inside the graph, with sampled negatives."""

import contextlib
import functools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training import losses
from recsys.training.devices import local, n_replicas, over_replicas, share
from recsys.training.optimizers import Optimizer, schedule
from recsys.training.recipes import N_JUDGED, Recipe
from recsys.training.shuffling import ShuffledRows

ROWS_PER_CALL = 2**18  # between two calls an interrupt is heard
LOGITS_IN_CACHE = 2**20  # of some rows of a batch
NEGATIVES, VALIDATION, SAMPLE = range(1, 4)  # what is drawn: the first each epoch, the others once


class Loop:
    """A model, the rows it learns from, and passes over them with sampled negatives.

    `start` begins a phase of epochs anew, from the model's first weights; `learn` and `judge` take one epoch. `state`
    is all that an epoch goes on from, at any call of `pause`, and `restore` puts it back. Under a `tf.distribute`
    strategy each replica takes its share of every batch.
    """

    def __init__(self, model: Embeddings, split: Split, recipe: Recipe, seed: int = 0, xla: bool = False):
        self.model, self.recipe, self.seed = model, recipe, seed
        sample = np.random.default_rng([seed, SAMPLE]).integers(0, len(split.train), len(split.validation))
        self.sample, self.validation = split.train[np.sort(sample)], split.validation[:]
        self.pause = self.hear = lambda: None  # after each call: the one between steps, the other in between
        self.pool = split.n_items_all if recipe.pool == "all" else split.n_items
        self.temperature, self.gamma = (tf.Variable(1.0, trainable=False) for _ in range(2))
        self.tables = [table.value for table in model.trainable_variables]
        self.name = ""
        self.strategy = tf.distribute.get_strategy()
        self.xla = xla = xla and self.strategy.num_replicas_in_sync == 1
        in_xla = xla and recipe.optimizer == "sgd" and not recipe.decay  # where tf.unique is not to be had
        self.optimizer = Optimizer(recipe.optimizer, self.tables, recipe.decay, add_up=not in_xla, xla=xla)
        self._steps = tf.function(self._take_steps, jit_compile=in_xla)
        self._judged = tf.function(self._judge_steps, jit_compile=xla)
        apart = xla and not in_xla  # the losses are compiled by themselves where not all of a step is
        compiled = functools.partial(tf.function, jit_compile=True) if apart else lambda function: function
        self._powers, self._losses, self._parts = map(
            compiled, (self._powers_of_others, self._losses_of_others, self._scaled_parts)
        )

    def start(
        self, rows: Interactions | Stored, temperature: float, gamma: float, epochs: int, name: str = ""
    ) -> None:
        """Begin `epochs` of a schedule over `rows`."""
        self.name, self.epochs, self.epoch, self.step, self.sums = name, epochs, 0, 0, np.zeros(3)
        self.model.start()
        self.mean = [np.zeros(table.shape, np.float32) for table in self.tables] if self.recipe.average > 1 else []
        self.optimizer.reset()
        self.temperature.assign(temperature)
        self.gamma.assign(gamma)
        self._take(rows)

    def _take(self, rows: Interactions | Stored) -> None:
        self.rows, self.up_to, self.log_q = ShuffledRows(rows, self.seed), tf.zeros(1, tf.int32), tf.zeros(1)
        if self.recipe.n_popular:
            counts = np.zeros(self.model.n_items, np.int64)
            for _, items in rows.pieces():
                counts += np.bincount(items, minlength=len(counts))
            popular = self.recipe.n_popular / self.recipe.n_negatives
            self.up_to = tf.constant(np.cumsum(counts), tf.int32)
            self.log_q = tf.constant(losses.popularity_log_q(counts, popular))
        few = self._steps_a_call(len(rows))
        for steps, n, numbers in (
            (self._steps, few, (0, [0.0] * few, 0.0)), (self._judged, self._steps_a_call(len(self.validation)), (0,))
        ):  # compiled, on no rows
            nothing = tf.zeros(n * self.recipe.batch_size, tf.int32)
            steps(nothing, nothing, *map(tf.constant, ([0, 0], *numbers)))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the facts and the arrays that the rest of the phase depends on."""
        slots = [slot.numpy() for slots in self.optimizer.slots for slot in slots]
        facts = {"epoch": self.epoch, "step": self.step, "sums": self.sums.tolist()}
        return facts, {f"loop {i}": each for i, each in enumerate([*self.model.get_weights(), *slots, *self.mean])}

    def restore(self, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Put back what `state` returned, after a `start` with the same arguments."""
        self.epoch, self.step, self.sums = facts["epoch"], facts["step"], np.array(facts["sums"])
        values = [arrays[f"loop {i}"] for i in range(sum(key.startswith("loop ") for key in arrays))]
        slots = [slot for slots in self.optimizer.slots for slot in slots]
        for variable, value in zip([*self.tables, *slots], values, strict=False):
            variable.assign(value)
        self.mean = values[len(self.tables) + len(slots) :]

    def learn(self) -> dict[str, float]:
        """Take the next epoch, or the rest of it; return running means over it, and its speed."""
        started, done = time.perf_counter(), self.sums[2]
        self._learn(self.epoch + 1)
        facts = self._means()
        facts["rows_per_second"] = round((self.sums[2] - done) / (time.perf_counter() - started))
        self.epoch, self.step, self.sums = self.epoch + 1, 0, np.zeros(3)
        few = min(self.epoch, self.recipe.average)
        self.mean = [mean + (table.numpy() - mean) / few for mean, table in zip(self.mean, self.tables, strict=False)]
        return facts

    def _means(self) -> dict[str, float]:
        return means("", self.sums, len(self.rows))

    def _learn(self, epoch: int) -> None:
        size, n = self.recipe.batch_size, len(self.rows)
        n_steps, key = -(-n // size), losses.key(self.seed, epoch, NEGATIVES)
        few = self._steps_a_call(n)
        while self.step < n_steps:
            users, items = self.rows.take(epoch, self.step * size, few * size)
            rates = [self._rate(epoch, self.step + more, n_steps) for more in range(few)]
            numbers = map(tf.constant, ([self.step, n], key, rates, float((epoch - 1) * n_steps + 1)))
            sums, bad = self._steps(users, items, *numbers)
            self._go_on(sums.numpy(), bad, min(self.step + few, n_steps), n_steps)

    def _steps_a_call(self, n: int) -> int:
        size = self.recipe.batch_size
        return min(-(-n // size), max(1, ROWS_PER_CALL // size))

    def _rate(self, epoch: int, step: int, n_steps: int) -> float:
        count = min((epoch - 1) * n_steps + step + 1, self.epochs * n_steps)
        return self.recipe.learning_rate * schedule(self.recipe.schedule, count, self.epochs * n_steps)

    def _go_on(self, sums: np.ndarray, bad: int, step: int, n_steps: int) -> None:
        """Note what a call did, and hear whether to stop. Raises FloatingPointError for a loss that is not finite."""
        if bad >= 0:
            raise FloatingPointError(
                f"{self.name and self.name + ', '}epoch {self.epoch + 1}, step {bad + 1} of {n_steps} of training: "
                "expected a finite loss, got none; a lower learning rate may help"
            )
        self.sums, self.step = self.sums + sums, step
        self.pause()

    def judge(self) -> dict[str, float]:
        """Return loss and 1-of-21 accuracy on a sample of train and on validation, candidates drawn once."""
        facts: dict[str, float] = {}
        for name, part, what in (("train_", self.sample, SAMPLE), ("val_", self.validation, VALIDATION)):
            n, sums, key = len(part), np.zeros(3), losses.key(self.seed, 0, what)
            few, size = self._steps_a_call(n), self.recipe.batch_size
            for step in range(0, -(-n // size), few):
                rows = part[step * size : (step + few) * size]
                codes = (np.pad(each, (0, few * size - len(rows))) for each in (rows.user, rows.item))
                sums += self._judged(*map(tf.constant, (*codes, [step, n], key))).numpy()
                self.hear()
            facts |= means(name, sums, n)
        return facts

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the model have the weights that are to be judged and kept: its own, or the mean over the last epochs."""
        if not self.mean:
            yield
            return
        own = self.model.get_weights()
        self.model.set_weights(self.mean)
        yield
        self.model.set_weights(own)

    def _take_steps(self, users, items, place, key, rates, count):
        size, (first, n), sums, bad, step = self.recipe.batch_size, tf.unstack(place), tf.zeros(3, tf.float64), -1, 0
        while step < rates.shape[0] and (first + step) * size < n:
            rows = step * size + tf.range(size)
            user, positive = tf.gather(users, rows), tf.gather(items, rows)  # (batch,)
            real = (first * size + rows < n) & self.model.known(user, positive[:, None])[:, 0]  # the last may be short
            now = tf.cast(first + step, tf.float32)
            more = self._on_replicas(user, positive, real, key, first + step, rates[step], count + now)
            bad = tf.where((bad < 0) & ~tf.math.is_finite(more[0]), first + step, bad)
            sums += more
            step += 1
        return sums, bad

    def _on_replicas(self, *batch: tf.Tensor) -> tf.Tensor:
        if self.strategy.num_replicas_in_sync == 1:
            return self._take_step(*batch)
        return self.strategy.reduce("sum", self.strategy.run(self._take_step, batch), axis=None)

    def _take_step(self, user, positive, real, key, step, rate, count):
        negatives = self._negatives(positive, key, step)  # (batch, n) or (n,)
        weights = tf.cast(real, tf.float32) / tf.maximum(tf.reduce_sum(tf.cast(real, tf.float32)), 1.0)
        user, positive, real, weights = (share(each) for each in (user, positive, real, weights))
        negatives = share(negatives) if self.recipe.negatives == "uniform" else negatives
        users, items = (local(table) for table in self.tables)
        user = tf.clip_by_value(user, 0, self.model.n_users - 1)
        songs = tf.clip_by_value(tf.concat([positive, tf.reshape(negatives, [-1])], 0), 0, self.model.n_items - 1)
        vectors = tf.gather(users, user), tf.gather(items, songs)
        parts = self._parts(*vectors)
        row_losses, highest, slopes = self._slopes(*parts, positive, negatives, weights, self._cold(key, step))
        rows, gradients, inputs = (user, songs), self._gradients, (vectors, slopes)
        if n_replicas() > 1:  # where they meet before they are added up
            met = [over_replicas(tf.IndexedSlices(*each)) for each in zip(gradients(*inputs), rows, strict=True)]
            gradients, rows, inputs = given, [each.indices for each in met], [each.values for each in met]
        self.optimizer.apply_to_rows((users, items), rows, gradients, inputs, rate, count)
        return losses.sums(tf.where(real, row_losses, 0.0), losses.hits(parts[1], highest, real), real)

    def _scaled_parts(self, users, songs):
        """Map raw vectors to scaled ones of users, to the positives' logits, and to scaled ones of negatives."""
        users, songs = self.model.scaled(users, songs, self.temperature)
        positives, negatives = songs[: users.shape[0]], songs[users.shape[0] :]
        if self.recipe.negatives == "uniform":
            negatives = tf.reshape(negatives, (users.shape[0], self.recipe.n_negatives, -1))
        return users, tf.reduce_sum(users * positives, axis=1), negatives  # (batch, dim), (batch,), (…, n, dim)

    def _gradients(self, vectors, slopes):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            parts = self._scaled_parts(*vectors)
        return tape.gradient(parts, vectors, slopes)  # (batch, dim), (batch + negatives, dim)

    def _slopes(self, users, own, others, positive, negatives, weights, cold):
        """Return losses, the highest logits that are judged, and the slopes of the losses' sum by the parts.

        Some rows at a time, so that their logits stay in the cache.
        """
        shared, few = negatives.shape.rank == 1, max(1, LOGITS_IN_CACHE // self.recipe.n_negatives)
        found, slopes = [], []
        for rows in (slice(start, start + few) for start in range(0, users.shape[0], few)):
            theirs = (others, negatives) if shared else (others[rows], negatives[rows])
            parts = users[rows], own[rows], theirs[0]
            with tf.GradientTape() as tape:
                tape.watch(parts)
                found.append(self._judged_losses(*parts, positive[rows], theirs[1], cold))
            slopes.append(tape.gradient(found[-1][0], parts, weights[rows]))
        of_users, of_own, of_others = zip(*slopes, strict=True)
        of_others = tf.add_n(of_others) if shared else tf.concat(of_others, 0)
        row_losses, highest = (tf.concat(each, 0) for each in zip(*found, strict=True))
        return row_losses, highest, (tf.concat(of_users, 0), tf.concat(of_own, 0), of_others)

    def _judged_losses(self, users, own, others, positive, negatives, cold):
        """Return the losses of rows, and the highest logit of the negatives that are judged."""
        if negatives.shape.rank == 1 and self.recipe.loss in losses.OF_SUMS:
            powers = functools.partial(self._powers, positive=positive, negatives=negatives, cold=cold)
            log_sums, _, highest = losses.log_sum_exp(users, others, powers, self.model.multiply)
            return losses.OF_SUMS[self.recipe.loss](own, log_sums, self.gamma), highest
        return self._losses(own, self.model.products(users, others), positive, negatives, cold)

    def _powers_of_others(self, logits, positive, negatives, cold):
        highest, logits = losses.highest_known(logits, cold), losses.corrected(logits, self._log_q(negatives))
        masked = losses.without_hits(logits, negatives, positive) if self.recipe.mask_hits else logits
        return *losses.powers(masked, self.model.highest_logit(self.temperature)), highest

    def _losses_of_others(self, own, logits, positive, negatives, cold):
        masked = losses.without_hits(logits, negatives, positive) if self.recipe.mask_hits else logits
        row_losses = losses.LOSSES[self.recipe.loss](own, masked, self._log_q(negatives), self.gamma)
        return row_losses, losses.highest_known(logits, cold)

    def _log_q(self, negatives):
        return tf.gather(self.log_q, negatives) if self.recipe.n_popular else 0.0

    def _cold(self, key, step):
        """Return which of the judged negatives the model would not know: it knows all that are drawn to learn from."""
        n = min(N_JUDGED, self.recipe.n_negatives)
        return losses.uniform((n,), self.pool, key + 2, step) >= self.model.n_items

    def _negatives(self, positive, key, step):
        n, pool = self.recipe.n_negatives, min(self.pool, self.model.n_items)
        if self.recipe.negatives == "uniform":
            return losses.uniform_candidates(positive, n, pool, key, step)[:, 1:]
        n_popular = self.recipe.n_popular
        uniform = losses.uniform((n - n_popular,), pool, key, step)
        return tf.concat([uniform, losses.popular(n_popular, self.up_to, key, step)], 0) if n_popular else uniform

    def _judge_steps(self, users, items, place, key):
        size, (first, n), sums, step = self.recipe.batch_size, tf.unstack(place), tf.zeros(3, tf.float64), 0
        while step * size < users.shape[0] and (first + step) * size < n:
            rows = step * size + tf.range(size)
            user, positive = tf.gather(users, rows), tf.gather(items, rows)
            candidates = losses.uniform_candidates(positive, N_JUDGED, self.pool, key, first + step)
            logits = self.model.call((user, candidates)) / self.temperature  # (batch, candidates)
            real = (first * size + rows < n) & tf.math.is_finite(logits[:, 0])
            own, others = tf.where(real, logits[:, 0], 0.0), logits[:, 1:]
            row_losses = tf.where(real, losses.softmax(own, others, 0.0, self.gamma), 0.0)
            sums += losses.sums(row_losses, losses.hits(own, tf.reduce_max(others, axis=1), real), real)
            step += 1
        return sums


def means(name: str, sums: np.ndarray, n: int) -> dict[str, float]:
    """Name the mean loss of the rows that have vectors, the share of hits among all, and the number of the others."""
    loss, hits, rows = sums.tolist()
    return {f"{name}loss": loss / max(rows, 1), f"{name}accuracy": hits / n, f"{name}unknown_rows": n - int(rows)}


def given(*values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Return gradients that are there already."""
    return values
