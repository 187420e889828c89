"""Candidates depend on their key alone; losses equal slow ones, and their gradients equal finite differences."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.models.embeddings import Embeddings
from recsys.training import losses


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


NAMES = sorted(losses.LOSSES)


def a_batch(n=6):
    """Return logits of three rows, of which the last has a negative that does not count, and log q by column."""
    rng = np.random.default_rng(1)
    negatives = rng.normal(0, 2, (3, n))
    negatives[2, 1] = -np.inf
    return rng.normal(0, 2, 3), negatives, rng.normal(0, 0.5, n)


def test_softmax_and_accuracy_equal_keras_and_a_tie_is_a_hit():
    logits = np.random.default_rng(0).normal(0, 3, (500, 21)).astype(np.float32)
    logits[:50] = 1.0
    labels, real = np.eye(21)[np.zeros(500, int)], tf.ones(500, bool)
    ours = losses.softmax(tf.constant(logits[:, 0]), tf.constant(logits[:, 1:]), 0.0, 1.0)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)(labels, logits)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    highest = losses.highest_negative(tf.constant(logits[:, 1:]), tf.zeros(20, bool))
    hits = losses.hits(tf.constant(logits[:, 0]), highest, real)
    assert (hits.numpy() == (keras.metrics.categorical_accuracy(labels, logits).numpy() == 1)).all()
    assert hits.numpy()[:50].all()
    assert not losses.hits(tf.constant(logits[:, 0]), highest, ~real).numpy().any()
    rest = losses.highest_negative(tf.constant(logits[:, 1:]), tf.constant([True, *[False] * 4])).numpy()
    assert (rest == logits[:, 2:6].max(axis=1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_loss_equals_a_slow_one(name):
    (own, negatives, log_q), gamma = a_batch(), 1.3
    for row in range(3):
        counts = np.isfinite(negatives[row])
        s, w = negatives[row, counts], np.exp(-log_q[counts])
        expected = {
            "softmax": np.log(np.exp(own[row]) + (w * np.exp(s)).sum()) - own[row],
            "bsl": gamma * np.log((w * np.exp(s)).sum()) - own[row],
            "bpr": (w * np.log1p(np.exp(s - own[row]))).mean(),
            "sigmoid": np.log1p(np.exp(-own[row])) + gamma * (w * np.log1p(np.exp(s))).mean(),
        }[name]
        ours = losses.LOSSES[name](tf.constant(own), tf.constant(negatives), tf.constant(log_q), gamma)
        assert ours.numpy()[row] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_each_loss_equals_finite_differences(name):
    own, negatives, log_q = a_batch()
    both = np.concatenate([own[:, None], negatives], axis=1)

    def total(values):
        return tf.reduce_sum(losses.LOSSES[name](values[:, 0], values[:, 1:], tf.constant(log_q), 1.3))

    with tf.GradientTape() as tape:
        values = tf.constant(both)
        tape.watch(values)
        loss = total(values)
    slope = tape.gradient(loss, values).numpy()
    for place in np.ndindex(*both.shape):
        nudge = np.zeros_like(both)
        nudge[place] = 1e-6
        difference = (total(tf.constant(both + nudge)) - total(tf.constant(both - nudge))).numpy() / 2e-6
        assert slope[place] == pytest.approx(difference, abs=1e-7)
    assert slope[2, 2] == 0  # the negative that does not count


def test_accidental_hits_are_masked():
    logits = tf.zeros((2, 3), tf.float64)
    for codes in ([5, 6, 5], [[5, 6, 5], [5, 6, 5]]):
        masked = losses.mask_accidental_hits(logits, tf.constant(codes), tf.constant([5, 7])).numpy()
        assert masked.tolist() == [[-np.inf, 0, -np.inf], [0, 0, 0]]
    assert losses.bsl(tf.zeros(2, tf.float64), masked, 0.0, 1.0).numpy() == pytest.approx([0, np.log(3)])


def test_the_corrected_sum_has_the_expectation_of_a_uniform_one():
    logits, counts, share = np.array([0.0, 1.0, 2.0, -1.0]), np.array([70, 20, 10, 0]), 0.5
    log_q = losses.popularity_log_q(counts, share)
    assert np.exp(log_q) == pytest.approx([4 * (0.5 * p + 0.125) for p in (0.7, 0.2, 0.1, 0)], rel=1e-6)
    q = np.exp(log_q) / 4
    assert q.sum() == pytest.approx(1)
    assert (q * np.exp(logits - log_q)).sum() == pytest.approx(np.exp(logits).mean(), rel=1e-6)  # exact
    n, cumulative = 200_000, tf.constant(np.cumsum(counts), tf.int32)
    drawn = losses.popular(n // 2, cumulative, tf.constant(3), tf.constant(0)).numpy()
    assert np.bincount(drawn, minlength=4) / (n // 2) == pytest.approx([0.7, 0.2, 0.1, 0], abs=0.005)
    drawn = np.concatenate([drawn, losses.uniform((n // 2,), 4, tf.constant(3), tf.constant(0))])
    both = losses.bsl(tf.zeros(1), tf.constant(logits[drawn][None], tf.float32), tf.constant(log_q[drawn]), 1.0)
    assert both.numpy()[0] == pytest.approx(np.log(n * np.exp(logits).mean()), abs=0.01)


def full_batch(seed=0, n_users=4, n_songs=7, dim=3):
    """Return vectors of users and songs, and the rows of users and songs of the positives."""
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rng.random((n_users, n_songs)) < 0.4)
    return rng.normal(0, 1, (n_users, dim)), rng.normal(0, 1, (n_songs, dim)), rows, columns


def full_loss(users, songs, rows, columns, gamma, level=None):
    """Return the loss of every positive, as the full softmax computes it."""
    exponentials = functools.partial(losses.exponentials, level=level)
    positives = tf.constant(np.stack([rows, columns], axis=1), tf.int32)
    vectors = tf.convert_to_tensor(users), tf.convert_to_tensor(songs)
    log_sums, own = losses.log_sum_exp(*vectors, exponentials, positives=positives)
    return losses.bsl_of_log_sum(own, tf.gather(log_sums, rows), gamma)


def assert_gradients(total, values):
    """Compare the gradient of a function of arrays with finite differences."""
    with tf.GradientTape() as tape:
        tensors = [tf.constant(value) for value in values]
        tape.watch(tensors)
        loss = total(*tensors)
    for which, slope in enumerate(tape.gradient(loss, tensors)):
        for place in np.ndindex(*slope.shape):
            up, down = ([value.copy() for value in values] for _ in range(2))
            up[which][place] += 1e-6
            down[which][place] -= 1e-6
            difference = (total(*up) - total(*down)).numpy() / 2e-6
            assert slope.numpy()[place] == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 1.25])
def test_the_full_loss_equals_a_slow_one(gamma):
    users, songs, rows, columns = full_batch()
    logits, expected = users @ songs.T, []
    for row, column in zip(rows, columns, strict=True):
        own = set(columns[rows == row])
        negatives = [np.exp(logits[row, song]) for song in range(7) if song not in own]
        expected.append(gamma * np.log(sum(negatives)) - logits[row, column])
    for level in (None, tf.constant(5.0, tf.float64)):
        ours = full_loss(users, songs, rows, columns, gamma, level)
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 1.25])
def test_the_gradient_of_the_full_loss_equals_finite_differences(gamma):
    users, songs, rows, columns = full_batch()
    assert_gradients(lambda *vectors: tf.reduce_mean(full_loss(*vectors, rows, columns, gamma)), [users, songs])


def test_a_users_positives_are_no_negatives():
    users, songs, rows, columns = full_batch()
    before = full_loss(users, songs, rows, columns, 1.0).numpy()
    best_song = 50 * users[0] / (users[0] @ users[0])  # the first user's score of it is 50
    songs = np.append(songs, [best_song], axis=0)
    after = full_loss(users, songs, np.append(rows, 0), np.append(columns, 7), 1.0).numpy()
    assert after[-1] < -40 and after[:-1][rows == 0] == pytest.approx(before[rows == 0])


@pytest.mark.parametrize("name", sorted(losses.LOSSES_OF_LOG_SUM))
def test_a_loss_of_the_log_sum_equals_the_loss_of_the_logits(name):
    rng = np.random.default_rng(2)
    users, songs, own = rng.normal(size=(5, 3)), rng.normal(size=(6, 3)), rng.normal(size=5)
    out = rng.random((5, 6)) < 0.2

    def masked(logits):
        return tf.where(out, tf.cast(-np.inf, tf.float64), logits)

    def through_sum(users, songs, own):
        vectors = tf.convert_to_tensor(users), tf.convert_to_tensor(songs)
        log_sums, _ = losses.log_sum_exp(*vectors, lambda logits: losses.exponentials(masked(logits), None))
        return tf.reduce_sum(losses.LOSSES_OF_LOG_SUM[name](own, log_sums, 1.3))

    plain = losses.LOSSES[name](tf.constant(own), masked(tf.constant(users @ songs.T)), 0.0, 1.3)
    assert through_sum(users, songs, own).numpy() == pytest.approx(plain.numpy().sum(), rel=1e-12)
    assert_gradients(through_sum, [users, songs, own])


def test_a_user_without_negatives_has_a_finite_gradient():
    def nothing(logits):
        return losses.exponentials(tf.fill(tf.shape(logits), tf.constant(-np.inf)), None)

    with tf.GradientTape() as tape:
        users = tf.ones((2, 3))
        tape.watch(users)
        log_sums, _ = losses.log_sum_exp(users, tf.ones((4, 3)), nothing)
        loss = tf.reduce_sum(losses.softmax_of_log_sum(tf.zeros(2), log_sums, 1.0))
    assert loss.numpy() == 0 and (tape.gradient(loss, users).numpy() == 0).all()


@pytest.mark.parametrize("temperature", [0.025, 0.07, 1.0])
def test_exponentials_of_cosines_do_not_vanish_at_the_lowest_temperature(temperature):
    model = Embeddings([0], [0], 2, similarity="cosine")
    highest = model.highest_logit(tf.constant(temperature))
    cosines = tf.linspace(-1.0, -0.9, 4)[None] / temperature
    values, sums, level = losses.exponentials(cosines, highest)
    exact = np.log(np.exp((cosines.numpy() - 1 / temperature).astype(np.float64)).sum()) + 1 / temperature
    assert (tf.math.log(sums) + level).numpy()[0] == pytest.approx(exact, rel=1e-5)
    assert (values.numpy() > 0).all()
