"""Candidates that depend on their key alone, and a loss equal to Keras' and to its own finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import losses


def candidates(key=1, step=0, batch=4000, negatives=20, pool=50):
    return losses.uniform_candidates(tf.zeros(batch, tf.int32), negatives, pool, tf.constant(key), tf.constant(step))


def test_negatives_are_uniform_over_the_pool_with_replacement():
    drawn = candidates().numpy()
    assert drawn.shape == (4000, 21) and (drawn[:, 0] == 0).all()
    counts = np.bincount(drawn[:, 1:].ravel(), minlength=50)
    assert len(counts) == 50
    assert ((counts - 1600) ** 2 / 1600).sum() < 100  # χ² with 49 degrees of freedom: above 100 once in 10⁵
    distinct = np.mean([len(set(row)) for row in drawn[:, 1:]])
    assert distinct == pytest.approx(50 * (1 - 0.98**20), rel=0.01)


def test_negatives_are_a_function_of_key_and_step_in_and_out_of_xla():
    once = candidates(7, 3).numpy()
    assert (candidates(7, 3).numpy() == once).all()
    assert (tf.function(candidates, jit_compile=True)(7, 3).numpy() == once).all()
    assert (candidates(7, 4).numpy() != once).mean() > 0.9 and (candidates(8, 3).numpy() != once).mean() > 0.9


def test_softmax_and_accuracy_equal_keras_and_a_tie_is_a_hit():
    logits = np.random.default_rng(0).normal(0, 3, (500, 21)).astype(np.float32)
    logits[:50] = 1.0
    labels, real = np.eye(21)[np.zeros(500, int)], tf.ones(500, bool)
    ours = losses.softmax(tf.constant(logits), real)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)(labels, logits)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    hits = losses.hits(tf.constant(logits), real)
    assert (hits.numpy() == (keras.metrics.categorical_accuracy(labels, logits).numpy() == 1)).all()
    assert hits.numpy()[:50].all()
    np.testing.assert_allclose(losses.mean(ours, real), np.mean(theirs), rtol=1e-5)


def test_softmax_has_the_slope_of_its_finite_differences():
    logits = tf.constant(np.random.default_rng(1).normal(size=(3, 5)))
    real = tf.constant([True, True, False])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.mean(losses.softmax(logits, real), real)
    slope = tape.gradient(loss, logits).numpy()
    for place in np.ndindex(3, 5):
        nudge = np.zeros((3, 5))
        nudge[place] = 1e-6
        up, down = (losses.mean(losses.softmax(logits + sign * nudge, real), real) for sign in (1, -1))
        assert slope[place] == pytest.approx((up - down).numpy() / 2e-6, abs=1e-8)
    assert (slope[2] == 0).all()


def test_rows_that_do_not_count_have_no_loss_no_hit_and_no_gradient():
    logits = tf.constant([[1.0, 0.0, -np.inf], [-np.inf] * 3, [-np.inf, 1.0, 2.0], [np.nan] * 3])
    real = tf.constant([True, False, False, False])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        rows = losses.softmax(logits, real)
    np.testing.assert_allclose(rows, [np.log1p(np.exp(-1)), 0, 0, 0], rtol=1e-6)
    slope = tape.gradient(rows, logits).numpy()
    assert np.isfinite(slope).all() and (slope[1:] == 0).all() and slope[0, 2] == 0
    assert losses.hits(logits, real).numpy().tolist() == [True, False, False, False]
    assert losses.mean(rows, real).numpy() == rows.numpy()[0]
    assert losses.mean(rows * 0, tf.zeros(4, bool)).numpy() == 0


def full_batch(seed=0, n_users=4, n_songs=7):
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rng.random((n_users, n_songs)) < 0.4)
    return rng.normal(0, 2, (n_users, n_songs)), rows.astype(np.int32), columns.astype(np.int32)


@pytest.mark.parametrize("gamma", [1.0, 1.25])
def test_the_full_softmax_equals_a_slow_one(gamma):
    logits, rows, columns = full_batch()
    expected = []
    for row, column in zip(rows, columns, strict=True):
        own = set(columns[rows == row])
        negatives = [np.exp(logits[row, song]) for song in range(7) if song not in own]
        expected.append(gamma * np.log(sum(negatives)) - logits[row, column])
    np.testing.assert_allclose(losses.full_softmax(tf.constant(logits), rows, columns, gamma), expected, rtol=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 1.25])
def test_the_full_softmax_has_the_slope_of_its_finite_differences(gamma):
    logits, rows, columns = full_batch()
    total = lambda values: tf.reduce_sum(losses.full_softmax(tf.convert_to_tensor(values), rows, columns, gamma))  # noqa: E731
    with tf.GradientTape() as tape:
        values = tf.constant(logits)
        tape.watch(values)
        loss = total(values)
    slope = tape.gradient(loss, values).numpy()
    for place in np.ndindex(*logits.shape):
        nudge = np.zeros_like(logits)
        nudge[place] = 1e-6
        difference = (total(logits + nudge) - total(logits - nudge)).numpy() / 2e-6
        assert slope[place] == pytest.approx(difference, abs=1e-7)
    assert (np.abs(slope[rows, columns] + 1) < 1e-12).all()  # another positive's sum does not reach them


def test_a_users_positives_are_no_negatives():
    logits, rows, columns = full_batch()
    before = losses.full_softmax(tf.constant(logits), rows, columns, 1.0).numpy()
    logits[rows[0], columns[0]] += 50
    after = losses.full_softmax(tf.constant(logits), rows, columns, 1.0).numpy()
    assert after[0] == pytest.approx(before[0] - 50) and (after[1:] == before[1:]).all()
