"""Adam on whole tables, and the schedule of its learning rate."""

import math
from collections.abc import Sequence

import tensorflow as tf

MEMORY, SQUARE_MEMORY, SMALLEST = 0.9, 0.999, 1e-8
WARM_UP = 0.02  # share of the steps


class Adam:
    """Adam with bias correction (Kingma & Ba 2015, arXiv 1412.6980) on a few variables, dense."""

    def __init__(self, variables: Sequence[tf.Variable]):
        self.variables = list(variables)
        self.means, self.squares = ([tf.Variable(tf.zeros_like(each)) for each in variables] for _ in range(2))

    def reset(self) -> None:
        """Forget all gradients."""
        for slot in self.means + self.squares:
            slot.assign(tf.zeros_like(slot))

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor, step: tf.Tensor) -> None:
        """Move the variables by one step; `step` counts from 1, `rate` and `step` are float32 scalars."""
        rate = rate * tf.sqrt(1 - SQUARE_MEMORY**step) / (1 - MEMORY**step)
        smallest = SMALLEST * tf.sqrt(1 - SQUARE_MEMORY**step)
        for variable, mean, square, gradient in zip(self.variables, self.means, self.squares, gradients, strict=True):
            gradient = tf.convert_to_tensor(gradient)
            mean.assign_add((1 - MEMORY) * (gradient - mean))
            square.assign_add((1 - SQUARE_MEMORY) * (tf.square(gradient) - square))
            variable.assign_sub(rate * mean / (tf.sqrt(square) + smallest))


def schedule(step: int, n_steps: int) -> float:
    """Return the share of the highest learning rate at a step in 1…n_steps: linear warm-up, then a cosine to 0."""
    warm = max(1, math.floor(WARM_UP * n_steps))
    if step <= warm:
        return step / warm
    return (1 + math.cos(math.pi * (step - warm) / (n_steps - warm))) / 2
