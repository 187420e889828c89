"""What every training loop does: phases of epochs, evaluation after each, and a state to continue from."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training import losses, workers
from recsys.training.devices import graph
from recsys.training.optimizers import Optimizer, schedule
from recsys.training.recipes import ACCURACY_NEGATIVES, Recipe

ROWS_PER_CALL = 2**18  # rows of one call into TensorFlow, which no interrupt can stop


class Loop:
    """Train a model by a recipe, epoch by epoch. `SampledLoop` and `FullLoop` say what a batch is and how it is used.

    Under a `tf.distribute` strategy each replica works on its share of every batch.
    """

    _load: Callable[[Interactions | Stored], None]  # takes the rows of a phase, sets `n_rows`: positives in an epoch
    _train: Callable[[int], None]  # takes the steps of an epoch from `self.step` on, and calls `_end_call` after each
    _train_step: Callable[..., tf.Tensor]  # takes a step on a replica's share of a batch, returns its `losses.totals`

    def __init__(
        self, model: Embeddings, split: Split, recipe: Recipe, seed: int = 0, xla: bool = False,
        more: Sequence[tf.Variable] = (),
    ):  # fmt: skip
        """Make a loop that trains the model's tables, and `more` variables with them."""
        self.model, self.recipe, self.seed = model, recipe, seed
        sample = np.random.default_rng([seed, losses.SAMPLE]).integers(0, len(split.train), len(split.validation))
        self.sample, self.validation = split.train[np.sort(sample)], split.validation[:]
        self.pool = split.n_items_all if recipe.pool == "all" else split.n_items
        self.temperature, self.gamma = (tf.Variable(1.0, trainable=False) for _ in range(2))
        self.tables = [*(table.value for table in model.trainable_variables), *more]
        self.strategy = tf.distribute.get_strategy()
        self.xla = xla and self.strategy.num_replicas_in_sync == 1
        self.optimizer = Optimizer(recipe.optimizer, self.tables, self.xla)
        self._evaluated = graph(self._evaluate_batches, xla=self.xla)
        self.warm_start_seconds = 0.0  # of the last that was made
        self.after_call: Callable[[], None] = lambda: None  # in training, when the state is complete
        self.check_interrupt: Callable[[], None] = lambda: None  # in an evaluation

    def start(self, rows: Interactions | Stored, temperature: float, gamma: float, epochs: int, name: str = "") -> None:
        """Reset the model, and begin a phase of so many epochs over `rows`. Errors mention its name."""
        self.name, self.epochs, self.epoch, self.step, self.totals, self.n_rows = name, epochs, 0, 0, np.zeros(3), 0
        self.model.initialise()
        self.optimizer.reset()
        self.temperature.assign(temperature)
        self.gamma.assign(gamma)
        self._load(rows)
        workers.copy_from_first(self.tables)

    def train_epoch(self) -> dict[str, float]:
        """Train for the next epoch, or for the rest of one that was stopped. Returns running means, and the speed."""
        started, n_before = time.perf_counter(), self.totals[2]
        self._train(self.epoch + 1)
        workers.check_equal(self.tables)
        facts = means("", self.totals, self.n_rows)
        facts["rows_per_second"] = round((self.totals[2] - n_before) / (time.perf_counter() - started))
        self.epoch, self.step, self.totals = self.epoch + 1, 0, np.zeros(3)
        return facts

    def evaluate(self) -> dict[str, float]:
        """Return loss and 1-of-21 accuracy on a sample of train and on validation, always with the same candidates."""
        return workers.of_first(self._evaluate)

    def _evaluate(self) -> dict[str, float]:
        facts: dict[str, float] = {}
        parts = ("train_", self.sample, losses.SAMPLE), ("val_", self.validation, losses.VALIDATION)
        for name, part, stream in parts:
            n, totals, key = len(part), np.zeros(3), losses.key(self.seed, 0, stream)
            n_steps, size = self._steps_per_call(n), self.recipe.batch_size
            for step in range(0, -(-n // size), n_steps):
                rows = part[step * size : (step + n_steps) * size]
                codes = (np.pad(each, (0, n_steps * size - len(rows))) for each in (rows.user, rows.item))
                totals += self._evaluated(*map(tf.constant, (*codes, [step, n], key))).numpy()
                self.check_interrupt()
            facts |= means(name, totals, n)
        return facts

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the facts and the arrays that the rest of the phase depends on."""
        arrays = [each.numpy() for each in (*self.tables, *sum(self.optimizer.slots, []))]
        facts = {"epoch": self.epoch, "step": self.step, "totals": self.totals.tolist()}
        return facts, {f"loop {i}": each for i, each in enumerate(arrays)}

    def restore(self, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Put back what `state` returned, after a `start` with the same arguments."""
        self.epoch, self.step, self.totals = facts["epoch"], facts["step"], np.array(facts["totals"])
        for i, variable in enumerate([*self.tables, *sum(self.optimizer.slots, [])]):
            variable.assign(arrays[f"loop {i}"])

    def _steps_per_call(self, n: int) -> int:
        size = self.recipe.batch_size
        return min(-(-n // size), max(1, ROWS_PER_CALL // size))

    def _learning_rate(self, epoch: int, step: int, n_steps: int) -> float:
        count = min((epoch - 1) * n_steps + step + 1, self.epochs * n_steps)
        return self.recipe.learning_rate * schedule(self.recipe.schedule, count, self.epochs * n_steps)

    def _end_call(self, totals: np.ndarray, bad_step: int, step: int, n_steps: int) -> None:
        """Add up what a call did; the next begins at `step`. The loss of `bad_step` was not finite; −1: all were."""
        if bad_step >= 0:
            place = f"{self.name and self.name + ', '}epoch {self.epoch + 1}, step {bad_step + 1} of {n_steps}"
            raise FloatingPointError(f"{place}: expected a finite loss, got infinity or NaN; try a lower LEARNING_RATE")
        self.totals, self.step = self.totals + totals, step
        self.after_call()

    def _on_replicas(self, *batch: tf.Tensor) -> tf.Tensor:
        if self.strategy.num_replicas_in_sync == 1:
            return self._train_step(*batch)
        return self.strategy.reduce("sum", self.strategy.run(self._train_step, batch), axis=None)

    def _evaluate_batches(self, users, items, place, key):
        """Evaluate some batches: `place` holds the first one's number, and the number of rows of the part."""
        size, (first, n) = self.recipe.batch_size, tf.unstack(place)

        def not_done(step, totals):
            return (step * size < users.shape[0]) & ((first + step) * size < n)

        def add(step, totals):
            rows = step * size + tf.range(size)
            user, positive = tf.gather(users, rows), tf.gather(items, rows)  # (batch,)
            candidates = losses.uniform_candidates(positive, ACCURACY_NEGATIVES, self.pool, key, first + step)
            logits = self.model.call((user, candidates)) / self.temperature  # (batch, candidates)
            real = (first * size + rows < n) & tf.math.is_finite(logits[:, 0])  # not padding, and with vectors
            own, others = tf.where(real, logits[:, 0], 0.0), logits[:, 1:]
            row_losses = tf.where(real, losses.softmax(own, others, 0.0, self.gamma), 0.0)
            more = losses.totals(row_losses, losses.hits(own, tf.reduce_max(others, axis=1), real), real)
            return step + 1, totals + more

        return tf.while_loop(not_done, add, (0, tf.zeros(3, tf.float64)))[1]


def means(prefix: str, totals: np.ndarray, n: int) -> dict[str, float]:
    """Return the mean loss of the rows with vectors, the share of hits among all n, and the number of rows without."""
    loss, n_hits, n_real = totals.tolist()
    values = {"loss": loss / max(n_real, 1), "accuracy": n_hits / n, "unknown_rows": n - int(n_real)}
    return {prefix + name: value for name, value in values.items()}
