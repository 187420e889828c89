"""Descent on tables of vectors, whole or only on the rows that a batch touched, and the schedule of its rate."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.models.embeddings import write_rows
from recsys.training.devices import local

MEMORY, SQUARE_MEMORY, SMALLEST = 0.9, 0.999, 1e-8
WARM_UP = 0.02  # share of the steps


def sgd(gradient: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Plain gradient descent."""
    return gradient, []


def adagrad(gradient: tf.Tensor, step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Adagrad (Duchi et al. 2011), its sum of squares from 0."""
    total = total + tf.square(gradient)
    return gradient / (tf.sqrt(total) + SMALLEST), [total]


def adam(gradient: tf.Tensor, step: tf.Tensor, mean: tf.Tensor, square: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Adam with bias correction by the number of steps (Kingma & Ba 2015, arXiv 1412.6980)."""
    root = tf.sqrt(1 - SQUARE_MEMORY**step)
    mean = mean + (1 - MEMORY) * (gradient - mean)
    square = square + (1 - SQUARE_MEMORY) * (tf.square(gradient) - square)
    return root / (1 - MEMORY**step) * mean / (tf.sqrt(square) + SMALLEST * root), [mean, square]


RULES = {"sgd": (sgd, 0), "adagrad": (adagrad, 1), "adam": (adam, 2)}  # and how many slots a table has


class Optimizer:
    """A rule of `RULES` on a few tables, whole or on some rows, their slots and their decay alone.

    Rows that occur more than once are added up first, unless not to `add_up`: plain descent takes them one by one, in
    an order of its own outside XLA. `decay` (decoupled) draws the rows that move towards 0, by `rate` times itself.
    Raises ValueError for rows taken one by one by any other rule, or with decay.
    """

    def __init__(
        self, rule: str, tables: Sequence[tf.Variable], decay: float = 0.0, add_up: bool = True, xla: bool = False
    ):
        (self.rule, n_slots), self.decay, self.add_up = RULES[rule], decay, add_up
        if not add_up and (rule != "sgd" or decay):
            raise ValueError(f"add_up: expected True for all but sgd without decay, got False for {rule} with {decay}")
        zeros = [functools.partial(tf.zeros, table.shape) for table in tables]  # as values they would be copied
        self.slots = [[tf.Variable(each, dtype=tf.float32) for _ in range(n_slots)] for each in zeros]
        compiled = functools.partial(tf.function, jit_compile=True) if xla else lambda function: function
        self._move_whole, self._rows_after = map(compiled, (self._assign, self._after_sums))

    def reset(self) -> None:
        """Forget all gradients."""
        for slot in sum(self.slots, []):
            write_rows(slot, lambda first, shape: np.zeros(shape, np.float32))

    def apply(
        self, tables: Sequence[tf.Variable], gradients: Sequence[tf.Tensor], rate: tf.Tensor, step: tf.Tensor
    ) -> None:
        """Move the whole tables by one step; `step` counts from 1, `rate` and `step` are float32 scalars."""
        for variables, gradient in zip(self._with_slots(tables), gradients, strict=True):
            self._move_whole(variables, gradient, rate, step)

    def apply_to_rows(
        self,
        tables: Sequence[tf.Variable],
        rows: Sequence[tf.Tensor],
        gradients: Callable[..., Sequence[tf.Tensor]],
        inputs: Sequence[Any],
        rate: tf.Tensor,
        step: tf.Tensor,
    ) -> None:
        """Move the `rows` of each table, codes (n,), by one step along `gradients(*inputs)`, (n, dim) for each table.

        A function and not its values, so that one compiled function has the gradients and what comes of them.
        """
        if not self.add_up:
            for table, codes, gradient in zip(tables, rows, gradients(*inputs), strict=True):
                table.scatter_sub(tf.IndexedSlices(rate * gradient, codes))
            return
        variables, distinct = self._with_slots(tables), [tf.unique(codes) for codes in rows]
        places, now = [place for _, place in distinct], []
        for (codes, place), each in zip(distinct, variables, strict=True):
            padded = tf.pad(codes, [[0, tf.size(place) - tf.size(codes)]])  # a number of rows that XLA knows beforehand
            padded.set_shape(place.shape)
            now.append([tf.gather(variable, padded) for variable in each])
        after = self._rows_after(gradients, inputs, places, now, rate, step)
        for (codes, _), each, values in zip(distinct, variables, after, strict=True):
            for variable, value in zip(each, values, strict=True):
                variable.scatter_update(tf.IndexedSlices(value[: tf.size(codes)], codes))

    def _with_slots(self, tables):
        return [[table, *map(local, slots)] for table, slots in zip(tables, self.slots, strict=True)]

    def _after_sums(self, gradients, inputs, places, now, rate, step):
        return [
            self._after(tf.math.unsorted_segment_sum(gradient, place, tf.shape(gradient)[0]), rate, step, *variables)
            for gradient, place, variables in zip(gradients(*inputs), places, now, strict=True)
        ]

    def _assign(self, variables, gradient, rate, step):
        for variable, value in zip(variables, self._after(gradient, rate, step, *variables), strict=True):
            variable.assign(value)

    def _after(self, gradient, rate, step, table, *slots):
        change, slots = self.rule(gradient, step, *slots)
        return [table - rate * (change + self.decay * table if self.decay else change), *slots]


def schedule(kind: str, step: int, n_steps: int) -> float:
    """Return the share of the highest learning rate at a step in 1…n_steps: "constant", or "cosine".

    The latter rises linearly over the first fiftieth of the steps and then falls along a cosine to 0.
    """
    if kind == "constant":
        return 1.0
    warm = max(1, math.floor(WARM_UP * n_steps))
    if step <= warm:
        return step / warm
    return (1 + math.cos(math.pi * (step - warm) / (n_steps - warm))) / 2
