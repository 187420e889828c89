"""From a batch of positives to a loss, in the graph and in plain sight: candidates → logits → masks → loss.

Each of `LOSSES` maps the positives' logits (batch,), their negatives' (batch, n), log q and γ to losses (batch,).
A negative of −inf does not count. log q is the logarithm of how much more often than uniformly a negative is drawn, so
that the expectation of what is summed over the negatives is that of uniform ones; 0 where they are uniform.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def key(*numbers: int) -> int:
    """Return the key of a random draw: a non-negative int32, the same for the same numbers, such as seed and epoch."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def uniform(shape: tuple, pool: int | tf.Tensor, key: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Draw numbers below `pool` with replacement, int32 of a shape; a function of key and step alone."""
    return tf.random.stateless_uniform(shape, tf.stack([key, step]), 0, pool, tf.int32, alg="philox")


def uniform_candidates(positives: tf.Tensor, negatives: int, pool: int, key: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Put each positive (batch,) before its negatives, song codes below `pool`: int32 (batch, 1 + negatives)."""
    return tf.concat([positives[:, None], uniform((tf.shape(positives)[0], negatives), pool, key, step)], axis=1)


def popular(n: int, up_to: tf.Tensor, key: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Draw n songs by their number of listens, whose running total is `up_to`, int32 (n_items,): int32 (n,)."""
    return tf.searchsorted(up_to, uniform((n,), up_to[-1], key + 1, step), side="right")


def popularity_log_q(counts: np.ndarray, share: float) -> np.ndarray:
    """Return log q of each song when a `share` of the negatives is drawn by `counts`, the others uniformly: float32."""
    return np.log(share * len(counts) * counts / counts.sum() + (1 - share)).astype(np.float32)


def without_hits(negatives: tf.Tensor, codes: tf.Tensor, positives: tf.Tensor) -> tf.Tensor:
    """Take negatives (batch, n) out that are their row's positive; `codes` (n,) or (batch, n), `positives` (batch,)."""
    return tf.where(codes == positives[:, None], tf.cast(-np.inf, negatives.dtype), negatives)


def softmax(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor) -> tf.Tensor:
    """−s⁺ + log(exp(s⁺) + Σ exp(s⁻)), the cross-entropy of the author; it has no γ."""
    return tf.reduce_logsumexp(tf.concat([positive[:, None], _corrected(negatives, log_q)], axis=1), axis=1) - positive


def bsl(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor) -> tf.Tensor:
    """−s⁺ + γ · log Σ exp(s⁻), the bilateral softmax loss (BSL, arXiv 2312.12882)."""
    return gamma * tf.reduce_logsumexp(_corrected(negatives, log_q), axis=1) - positive


def bpr(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor) -> tf.Tensor:
    """The mean of −log σ(s⁺ − s⁻) (BPR, Rendle et al. 2009); it has no γ."""
    return _mean(tf.nn.softplus(negatives - positive[:, None]), negatives, log_q)


def sigmoid(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor) -> tf.Tensor:
    """−log σ(s⁺) + γ times the mean of −log σ(−s⁻): binary cross-entropy."""
    return tf.nn.softplus(-positive) + gamma * _mean(tf.nn.softplus(negatives), negatives, log_q)


def _corrected(negatives: tf.Tensor, log_q: tf.Tensor | float) -> tf.Tensor:
    return negatives if isinstance(log_q, float) else negatives - log_q  # nothing is to be taken off uniform ones


def _mean(values: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float) -> tf.Tensor:
    real = tf.cast(tf.math.is_finite(negatives), values.dtype)
    weights = real * tf.exp(-tf.convert_to_tensor(log_q, values.dtype))
    return tf.reduce_sum(weights * values, axis=1) / tf.maximum(tf.reduce_sum(real, axis=1), 1.0)


LOSSES: dict[str, Callable[..., tf.Tensor]] = {"softmax": softmax, "bsl": bsl, "bpr": bpr, "sigmoid": sigmoid}


def hits(positive: tf.Tensor, negatives: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return whether no negative has a higher logit, bool (batch,), as the author counts: a tie is a hit."""
    return real & (positive >= tf.reduce_max(negatives, axis=1))


def sums(row_losses: tf.Tensor, hits: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return what adds up over batches, float64 (3,): the losses, the hits, and the rows that count."""
    return tf.stack([tf.reduce_sum(tf.cast(each, tf.float64)) for each in (row_losses, hits, real)])


@tf.custom_gradient
def full_softmax(logits: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """Return each positive's loss over a whole catalogue, (positives,): −s⁺ + γ · log Σ exp(s⁻).

    `logits` (users, songs); `rows` and `columns` (positives,) say where all positives of these users stand, each once.
    A user's positives are no negatives, and share one sum. γ = 1 is the softmax against the others, above 1 the
    bilateral one (BSL, arXiv 2312.12882). A user without a negative has no meaningful loss. The gradient is of the
    logits alone, and written out: the graph's own fills several matrices of that size more.
    """
    places = tf.stack([rows, columns], axis=1)
    positives = tf.gather_nd(logits, places)
    negatives = tf.tensor_scatter_nd_update(logits, places, tf.fill(tf.shape(positives), logits.dtype.min))
    highest = tf.reduce_max(negatives, axis=1, keepdims=True)
    powers = tf.exp(negatives - highest)  # (users, songs)
    total = tf.reduce_sum(powers, axis=1)
    row_losses = gamma * tf.gather(tf.math.log(total) + highest[:, 0], rows) - positives

    def gradient(upstream: tf.Tensor) -> tuple:
        of_users = gamma * tf.math.unsorted_segment_sum(upstream, rows, tf.size(total)) / total
        return tf.tensor_scatter_nd_update(powers * of_users[:, None], places, -upstream), None, None, None

    return row_losses, gradient
