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
    return softmax_of_sum(positive, tf.reduce_logsumexp(corrected(negatives, log_q), axis=1), gamma)


def bsl(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor) -> tf.Tensor:
    """−s⁺ + γ · log Σ exp(s⁻), the bilateral softmax loss (BSL, arXiv 2312.12882)."""
    return bsl_of_sum(positive, tf.reduce_logsumexp(corrected(negatives, log_q), axis=1), gamma)


def bpr(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor) -> tf.Tensor:
    """The mean of −log σ(s⁺ − s⁻) (BPR, Rendle et al. 2009); it has no γ."""
    return _mean(tf.nn.softplus(negatives - positive[:, None]), negatives, log_q)


def sigmoid(positive: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float, gamma: tf.Tensor) -> tf.Tensor:
    """−log σ(s⁺) + γ times the mean of −log σ(−s⁻): binary cross-entropy."""
    return tf.nn.softplus(-positive) + gamma * _mean(tf.nn.softplus(negatives), negatives, log_q)


def softmax_of_sum(positive: tf.Tensor, log_sum: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """The softmax from the positives' logits and log Σ exp(s⁻)."""
    return tf.nn.softplus(log_sum - positive)


def bsl_of_sum(positive: tf.Tensor, log_sum: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """The bilateral softmax loss from the positives' logits and log Σ exp(s⁻)."""
    return gamma * log_sum - positive


def corrected(negatives: tf.Tensor, log_q: tf.Tensor | float) -> tf.Tensor:
    """Take log q (n,) off negatives (batch, n)."""
    return negatives if isinstance(log_q, float) else negatives - log_q  # nothing is to be taken off uniform ones


def _mean(values: tf.Tensor, negatives: tf.Tensor, log_q: tf.Tensor | float) -> tf.Tensor:
    real = tf.cast(tf.math.is_finite(negatives), values.dtype)
    weights = real * tf.exp(-tf.convert_to_tensor(log_q, values.dtype))
    return tf.reduce_sum(weights * values, axis=1) / tf.maximum(tf.reduce_sum(real, axis=1), 1.0)


LOSSES: dict[str, Callable[..., tf.Tensor]] = {"softmax": softmax, "bsl": bsl, "bpr": bpr, "sigmoid": sigmoid}
OF_SUMS: dict[str, Callable[..., tf.Tensor]] = {"softmax": softmax_of_sum, "bsl": bsl_of_sum}


def hits(positive: tf.Tensor, highest: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return whether no negative's logit exceeds the positive's, bool (batch,), as the author counts: a tie is a hit.

    `highest` (batch,) is the highest logit of each row's negatives.
    """
    return real & (positive >= highest)


def highest_known(logits: tf.Tensor, unknown: tf.Tensor) -> tf.Tensor:
    """Return the highest of each row's first n logits (batch, …) but the `unknown` ones, bool (n,): (batch,)."""
    return tf.reduce_max(tf.where(unknown, -np.inf, logits[:, : unknown.shape[0]]), axis=1)


def sums(row_losses: tf.Tensor, hits: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return what adds up over batches, float64 (3,): the losses, the hits, and the rows that count."""
    return tf.stack([tf.reduce_sum(tf.cast(each, tf.float64)) for each in (row_losses, hits, real)])


def powers(logits: tf.Tensor, highest: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return exp(logits − level) of logits (users, songs), their sum over the songs (users,), and the level.

    The level is `highest`, a scalar that no logit exceeds by far, else the highest logit of each user (users,).
    """
    level = tf.maximum(tf.reduce_max(logits, axis=1), logits.dtype.min) if highest is None else highest
    counted = tf.exp(logits - level[..., None])
    return counted, tf.reduce_sum(counted, axis=1), level


def log_sum_exp(
    users: tf.Tensor,
    songs: tf.Tensor,
    powers: Callable[[tf.Tensor], tuple[tf.Tensor, ...]],
    multiply: Callable[..., tf.Tensor] = tf.matmul,
    places: tf.Tensor | None = None,
) -> tuple[tf.Tensor, ...]:
    """Return log Σ exp of the products of each user (users, dim) with the songs (songs, dim), and those at `places`.

    `powers` maps the products to what is summed, as the function of that name does; what else it returns is returned
    as well, without a gradient. The `places` (n, 2), each once, are
    of products that are not summed, such as a user's positives among all songs. The gradient is written out: it
    scales vectors and no matrix of products, and the sum of a user whose slope is 0 is nobody's business.
    """

    @tf.custom_gradient
    def of(users: tf.Tensor, songs: tf.Tensor) -> tuple:
        products = multiply(users, songs, transpose_b=True)  # (users, songs)
        taken = tf.zeros(0, products.dtype) if places is None else tf.gather_nd(products, places)
        if places is not None:
            with tf.control_dependencies([taken]):  # then nobody else needs them, and they are written in place
                nothing = tf.fill(tf.shape(taken), tf.cast(-np.inf, products.dtype))
                products = tf.tensor_scatter_nd_update(products, places, nothing)
        counted, total, level, *beside = powers(products)

        def gradient(upstream: tf.Tensor, of_taken: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weights, slopes = tf.math.divide_no_nan(upstream, total), counted  # (users,), (users, songs)
            if places is not None:
                values = tf.math.divide_no_nan(of_taken, tf.gather(weights, places[:, 0]))
                slopes = tf.tensor_scatter_nd_update(counted, places, values)
            weights = weights[:, None]
            return weights * multiply(slopes, songs), multiply(slopes, weights * users, transpose_a=True)

        return (tf.math.log(total) + level, taken, *beside), gradient

    return of(users, songs)
