"""From a batch of positives to a loss, in the graph and in plain sight: candidates → logits → loss."""

import numpy as np
import tensorflow as tf


def key(*numbers: int) -> int:
    """Return the key of a random draw: a non-negative int32, the same for the same numbers, such as seed and epoch."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def shuffled(n: int, key: int) -> tf.Tensor:
    """Return the numbers 0…n−1 in an order that depends on the key alone, int32 (n,)."""
    return tf.random.experimental.stateless_shuffle(tf.range(n), [key, 0], "philox")


def uniform_candidates(positives: tf.Tensor, negatives: int, pool: int, key: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Put each positive (batch,) before its negatives: int32 (batch, 1 + negatives).

    Negatives are song codes below `pool`, drawn with replacement; a function of key and step alone.
    """
    shape = (tf.shape(positives)[0], negatives)
    drawn = tf.random.stateless_uniform(shape, tf.stack([key, step]), 0, pool, tf.int32, alg="philox")
    return tf.concat([positives[:, None], drawn], axis=1)


def softmax(logits: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return each row's cross-entropy of the softmax over its candidates, (batch,); the positive is column 0.

    −inf is a candidate that does not count. Rows that are not `real` (batch,) have loss 0 and no gradient.
    """
    logits = tf.where(real[:, None], logits, 0.0)
    return tf.where(real, tf.reduce_logsumexp(logits, axis=1) - logits[:, 0], 0.0)


def hits(logits: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return whether the positive has the highest logit, bool (batch,), as the author counts: a tie is a hit."""
    return real & (tf.argmax(logits, axis=1) == 0)


def mean(values: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return the mean over the real rows of a batch; 0 where there is none."""
    return tf.reduce_sum(values) / tf.maximum(tf.reduce_sum(tf.cast(real, values.dtype)), 1.0)


def sums(row_losses: tf.Tensor, hits: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return what adds up over batches, float64 (3,): the losses, the hits, and the rows that count."""
    return tf.stack([tf.reduce_sum(tf.cast(each, tf.float64)) for each in (row_losses, hits, real)])


def full_softmax(logits: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """Return each positive's loss over a whole catalogue, (positives,): −s⁺ + γ · log Σ exp(s⁻).

    `logits` (users, songs); `rows` and `columns` (positives,) say where all positives of these users stand, each once.
    A user's positives are no negatives, and share one sum. γ = 1 is the softmax against the others, above 1 the
    bilateral one (BSL, arXiv 2312.12882). A user without a negative has no meaningful loss.
    """
    places = tf.stack([rows, columns], axis=1)
    positives = tf.gather_nd(logits, places)
    negatives = tf.tensor_scatter_nd_update(logits, places, tf.fill(tf.shape(positives), logits.dtype.min))
    return gamma * tf.gather(tf.reduce_logsumexp(negatives, axis=1), rows) - positives
