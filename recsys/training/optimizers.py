"""Gradient descent on tables of vectors, whole or only the rows of a batch, and schedules of the learning rate."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from recsys.models.embeddings import write_rows
from recsys.training.devices import compiled, local

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # names and values of the Adam paper
WARM_UP = 0.02  # share of the steps
Tables = Sequence[tf.Variable]


def sgd(gradient: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Plain gradient descent."""
    return gradient, []


def adagrad(gradient: tf.Tensor, step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Adagrad (Duchi et al. 2011); the sum of squares starts from 0."""
    total = total + tf.square(gradient)
    return gradient / (tf.sqrt(total) + EPSILON), [total]


def adam(gradient: tf.Tensor, step: tf.Tensor, mean: tf.Tensor, square: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Adam with bias correction by the number of steps (Kingma & Ba 2015, arXiv 1412.6980)."""
    root = tf.sqrt(1 - BETA_2**step)
    mean = mean + (1 - BETA_1) * (gradient - mean)
    square = square + (1 - BETA_2) * (tf.square(gradient) - square)
    return root / (1 - BETA_1**step) * mean / (tf.sqrt(square) + EPSILON * root), [mean, square]


# a rule maps gradient, step and slots (arrays of the table's shape) to a change and new slots; with the number of slots
RULES = {"sgd": (sgd, 0), "adagrad": (adagrad, 1), "adam": (adam, 2)}


class Optimizer:
    """Move a few tables by one of the `RULES`, and keep its slots.

    Where a batch has a row more than once, its gradients are summed first. With XLA, plain gradient descent subtracts
    them one by one instead (`row_by_row`): XLA has no `tf.unique`, and can then compile a whole training step.
    """

    def __init__(self, rule: str, tables: Tables, xla: bool = False):
        self.rule, n_slots = RULES[rule]
        self.row_by_row = xla and rule == "sgd"
        zeros = [functools.partial(tf.zeros, table.shape) for table in tables]  # functions, as values would be copied
        self.slots = [[tf.Variable(each, dtype=tf.float32) for _ in range(n_slots)] for each in zeros]
        self._move_table, self._move_gathered = compiled(self._assign, xla), compiled(self._after_sums, xla)

    def reset(self) -> None:
        for slot in sum(self.slots, []):
            write_rows(slot, lambda first, shape: np.zeros(shape, np.float32))

    def apply(self, tables: Tables, gradients: Sequence[tf.Tensor], rate: tf.Tensor, step: tf.Tensor) -> None:
        """Move whole tables by one step. `rate` and `step` are float32 scalars; `step` counts from 1."""
        for variables, gradient in zip(self._with_slots(tables), gradients, strict=True):
            self._move_table(variables, gradient, rate, step)

    def apply_to_rows(self, tables: Tables, rows, gradients, inputs, rate: tf.Tensor, step: tf.Tensor) -> None:
        """Move some rows of each table, codes (n,), by one step along `gradients(*inputs)`: (n, dim) for each table.

        `gradients` is a function because XLA compiles it together with the step that follows.
        """
        if self.row_by_row:
            for table, codes, gradient in zip(tables, rows, gradients(*inputs), strict=True):
                table.scatter_sub(tf.IndexedSlices(rate * gradient, codes))
            return
        variables, distinct = self._with_slots(tables), [tf.unique(codes) for codes in rows]
        places, gathered = [place for _, place in distinct], []
        for (codes, place), each in zip(distinct, variables, strict=True):
            padded = tf.pad(codes, [[0, tf.size(place) - tf.size(codes)]])
            padded.set_shape(place.shape)  # XLA needs a shape that is known beforehand
            gathered.append([tf.gather(variable, padded) for variable in each])
        moved = self._move_gathered(gradients, inputs, places, gathered, rate, step)
        for (codes, _), each, values in zip(distinct, variables, moved, strict=True):
            for variable, value in zip(each, values, strict=True):
                variable.scatter_update(tf.IndexedSlices(value[: tf.size(codes)], codes))

    def _with_slots(self, tables):
        return [[table, *map(local, slots)] for table, slots in zip(tables, self.slots, strict=True)]

    def _after_sums(self, gradients, inputs, places, gathered, rate, step):
        return [
            self._after(tf.math.unsorted_segment_sum(gradient, place, tf.shape(gradient)[0]), rate, step, *variables)
            for gradient, place, variables in zip(gradients(*inputs), places, gathered, strict=True)
        ]

    def _assign(self, variables, gradient, rate, step):
        for variable, value in zip(variables, self._after(gradient, rate, step, *variables), strict=True):
            variable.assign(value)

    def _after(self, gradient, rate, step, table, *slots):
        change, slots = self.rule(gradient, step, *slots)
        return [table - rate * change, *slots]


def schedule(kind: str, step: int, n_steps: int) -> float:
    """Return the learning rate at a step in 1…n_steps, as a share of the highest: "constant" or "cosine".

    "cosine" rises linearly over the first 2 % of the steps, then falls along a cosine to 0.
    """
    if kind == "constant":
        return 1.0
    warm_up = max(1, math.floor(WARM_UP * n_steps))
    if step <= warm_up:
        return step / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / (n_steps - warm_up))) / 2
