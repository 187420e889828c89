"""Descent on tables of vectors, whole or only on the rows that a batch touched, and the schedule of its rate."""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from recsys.devices import local, write_rows

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
    """A rule of `RULES` on a few tables; a gradient of rows touches these rows alone, their slots and their decay.

    Rows that occur more than once are added up first, unless not to `add_up`: plain descent takes them one by one, in
    an order of its own outside XLA. `decay` (decoupled) draws the rows that move towards 0, by `rate` times itself.
    """

    def __init__(
        self, rule: str, tables: Sequence[tf.Variable], decay: float = 0.0, add_up: bool = True, xla: bool = False
    ):
        (self.rule, n_slots), self.decay, self.add_up = RULES[rule], decay, add_up
        zeros = [functools.partial(tf.zeros, table.shape) for table in tables]  # as values they would be copied
        self.slots = [[tf.Variable(each, dtype=tf.float32) for _ in range(n_slots)] for each in zeros]
        self._move_whole = tf.function(self._move, jit_compile=True) if xla else self._move
        self._total = tf.function(by_place, jit_compile=True) if xla else by_place

    def reset(self) -> None:
        """Forget all gradients."""
        for slot in sum(self.slots, []):
            write_rows(slot, lambda first, shape: np.zeros(shape, np.float32))

    def apply(
        self, tables: Sequence[tf.Variable], gradients: Sequence[tf.Tensor], rate: tf.Tensor, step: tf.Tensor
    ) -> None:
        """Move the tables by one step; `step` counts from 1, `rate` and `step` are float32 scalars."""
        for table, slots, gradient in zip(tables, self.slots, gradients, strict=True):
            slots = [local(slot) for slot in slots]
            if isinstance(gradient, tf.IndexedSlices):
                rows, values = added_up(gradient, self._total) if self.add_up else (gradient.indices, gradient.values)
                self._move(table, slots, values, rate, step, rows)
            else:
                self._move_whole(table, slots, gradient, rate, step)

    def _move(self, table, slots, gradient, rate, step, rows=None):
        now = (lambda variable: variable) if rows is None else lambda variable: tf.gather(variable, rows)
        change, after = self.rule(gradient, step, *map(now, slots))
        if self.decay:
            change += self.decay * now(table)
        for slot, value in zip(slots, after, strict=True):
            slot.assign(value) if rows is None else slot.scatter_update(tf.IndexedSlices(value, rows))
        move = rate * change
        if rows is None:
            table.assign_sub(move)
        elif self.add_up:  # scatter_sub is slower, but takes rows that occur more than once
            table.scatter_update(tf.IndexedSlices(now(table) - move, rows))
        else:
            table.scatter_sub(tf.IndexedSlices(move, rows))


def by_place(values: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Return the sum of the values (n, dim) of each place in 0…n−1, (n, dim)."""
    return tf.math.unsorted_segment_sum(values, place, tf.shape(values)[0])


def added_up(
    gradient: tf.IndexedSlices, total: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = by_place
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the distinct rows of a gradient, int32 (rows,), and the sum for each, (rows, dim), by `total`."""
    rows, place = tf.unique(gradient.indices)
    return rows, total(gradient.values, place)[: tf.size(rows)]


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
