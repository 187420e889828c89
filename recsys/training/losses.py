"""From a batch of positives to a loss: candidates → logits → − log q → accidental hits → cross-entropy.

Each loss in `LOSSES` maps the positives' logits (batch,), the negatives' logits (batch, n), log q and γ to losses
(batch,). A negative whose logit is −∞ does not count. log q (n,) is the logarithm of how much more often than uniformly
each negative is drawn. It keeps the expectation of sums over the negatives; for uniform negatives it is 0.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

ORDER, NEGATIVES, VALIDATION, SAMPLE, WINDOWS = range(5)  # what random numbers are for: each has a stream of its own


def key(*numbers: int) -> int:
    """Return the key of a random draw, a function of some numbers such as seed and epoch: a non-negative int32."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def uniform(shape: tuple, pool: int | tf.Tensor, key: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
    """Draw numbers below `pool` with replacement, int32 of a shape. The draw depends on key and step alone."""
    return tf.random.stateless_uniform(shape, tf.stack([key, step]), 0, pool, tf.int32, alg="philox")


def uniform_candidates(positives: np.ndarray | tf.Tensor, n_negatives: int, pool: int, key, step) -> tf.Tensor:
    """Return candidates, int32 (batch, 1 + n_negatives): a positive (batch,), and song codes drawn below `pool`."""
    negatives = uniform((tf.shape(positives)[0], n_negatives), pool, key, step)
    return tf.concat([positives[:, None], negatives], axis=1)


def popular(n: int, cumulative_counts: tf.Tensor, key: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Draw n songs in proportion to their number of listens, given as a cumulative sum (n_items,): int32 (n,)."""
    listens = uniform((n,), cumulative_counts[-1], key + 1, step)
    return tf.searchsorted(cumulative_counts, listens, side="right")


def popularity_log_q(counts: np.ndarray, share: float) -> np.ndarray:
    """Return log q of each song if a `share` of the negatives is drawn by `counts`, the rest uniformly: float32."""
    return np.log(share * len(counts) * counts / counts.sum() + (1 - share)).astype(np.float32)


def mask_accidental_hits(logits: tf.Tensor, negatives: tf.Tensor, positives: tf.Tensor) -> tf.Tensor:
    """Set the logits (batch, n) to −∞ where the negatives' codes, (batch, n) or (n,), are the positive's (batch,)."""
    return tf.where(negatives == positives[:, None], tf.cast(-np.inf, logits.dtype), logits)


def subtract_log_q(negatives: tf.Tensor, log_q: tf.Tensor | float) -> tf.Tensor:
    """Subtract log q (n,) from the negatives' logits (batch, n). A plain number means uniform negatives: no change."""
    return negatives if isinstance(log_q, float) else negatives - log_q


def softmax(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor | float) -> tf.Tensor:
    """−s⁺ + log(exp s⁺ + Σ exp s⁻), the cross-entropy of the described system. It has no γ."""
    return softmax_of_log_sum(positive, tf.reduce_logsumexp(subtract_log_q(negatives, log_q), axis=1), gamma)


def bsl(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor | float) -> tf.Tensor:
    """−s⁺ + γ · log Σ exp s⁻, the bilateral softmax loss (BSL, arXiv 2312.12882)."""
    return bsl_of_log_sum(positive, tf.reduce_logsumexp(subtract_log_q(negatives, log_q), axis=1), gamma)


def bpr(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor | float) -> tf.Tensor:
    """The mean of −log σ(s⁺ − s⁻) over the negatives (BPR, Rendle et al. 2009). It has no γ."""
    return _mean(tf.nn.softplus(negatives - positive[:, None]), negatives, log_q)


def sigmoid(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor | float) -> tf.Tensor:
    """Binary cross-entropy: −log σ(s⁺) + γ times the mean of −log σ(−s⁻) over the negatives."""
    return tf.nn.softplus(-positive) + gamma * _mean(tf.nn.softplus(negatives), negatives, log_q)


def softmax_of_log_sum(positive: tf.Tensor, log_sum: tf.Tensor, gamma: tf.Tensor | float) -> tf.Tensor:
    """`softmax` of the positives' logits and log Σ exp s⁻."""
    return tf.nn.softplus(log_sum - positive)


def bsl_of_log_sum(positive: tf.Tensor, log_sum: tf.Tensor, gamma: tf.Tensor | float) -> tf.Tensor:
    """`bsl` of the positives' logits and log Σ exp s⁻."""
    return gamma * log_sum - positive


def _mean(values: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float) -> tf.Tensor:
    real = tf.cast(tf.math.is_finite(negatives), values.dtype)
    weights = real * tf.exp(-tf.convert_to_tensor(log_q, values.dtype))
    return tf.reduce_sum(weights * values, axis=1) / tf.maximum(tf.reduce_sum(real, axis=1), 1.0)


LOSSES: dict[str, Callable[..., tf.Tensor]] = {"softmax": softmax, "bsl": bsl, "bpr": bpr, "sigmoid": sigmoid}
LOSSES_OF_LOG_SUM: dict[str, Callable[..., tf.Tensor]] = {"softmax": softmax_of_log_sum, "bsl": bsl_of_log_sum}


def hits(positive: tf.Tensor, highest: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return whether a row is real and its positive's logit is not below the highest of its negatives, bool (batch,).

    A tie is a hit, as in the described system.
    """
    return real & (positive >= highest)


def highest_negative(logits: tf.Tensor, ignored: tf.Tensor) -> tf.Tensor:
    """Return the highest of each row's first n logits (batch, …) without those `ignored`, bool (n,): (batch,)."""
    return tf.reduce_max(tf.where(ignored, -np.inf, logits[:, : ignored.shape[0]]), axis=1)


def totals(row_losses: tf.Tensor, hits: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return the sum of the losses, the number of hits and the number of real rows, float64 (3,)."""
    return tf.stack([tf.reduce_sum(tf.cast(each, tf.float64)) for each in (row_losses, hits, real)])


def exponentials(logits: tf.Tensor, level: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return exp(logits − level) of logits (users, songs), their sum over songs (users,), and the level.

    The level keeps exp from overflowing: a scalar that no logit exceeds, or else each user's highest logit (users,).
    """
    level = tf.maximum(tf.reduce_max(logits, axis=1), logits.dtype.min) if level is None else level
    values = tf.exp(logits - level[..., None])
    return values, tf.reduce_sum(values, axis=1), level


def log_sum_exp(users, songs, exponentials: Callable, multiply=tf.matmul, positives=None) -> tuple[tf.Tensor, ...]:
    """Return log Σ exp over songs of the products of users (users, dim) and songs (songs, dim): (users,).

    `positives` (n, 2), distinct pairs of a user's and a song's row, are left out of the sums; their products (n,) are
    returned too. What `exponentials` returns beyond the function of that name is passed on, without a gradient.
    The gradient is written by hand: it scales vectors instead of the matrix of products, which is faster. A user whose
    loss has no slope gets a gradient of 0, even if their sum is 0.
    """

    @tf.custom_gradient
    def function(users: tf.Tensor, songs: tf.Tensor) -> tuple:
        products = multiply(users, songs, transpose_b=True)  # (users, songs)
        of_positives = tf.zeros(0, products.dtype) if positives is None else tf.gather_nd(products, positives)
        if positives is not None:
            with tf.control_dependencies([of_positives]):  # after this read the products can be overwritten in place
                masked = tf.fill(tf.shape(of_positives), tf.cast(-np.inf, products.dtype))
                products = tf.tensor_scatter_nd_update(products, positives, masked)
        values, sums, level, *more = exponentials(products)

        def gradient(upstream: tf.Tensor, upstream_of_positives: tf.Tensor, *_: tf.Tensor):
            weights, slopes = tf.math.divide_no_nan(upstream, sums), values  # (users,), (users, songs)
            if positives is not None:
                own = tf.math.divide_no_nan(upstream_of_positives, tf.gather(weights, positives[:, 0]))
                slopes = tf.tensor_scatter_nd_update(values, positives, own)
            weights = weights[:, None]
            return weights * multiply(slopes, songs), multiply(slopes, weights * users, transpose_a=True)

        return (tf.math.log(sums) + level, of_positives, *more), gradient

    return function(users, songs)
