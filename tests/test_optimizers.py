"""Adam held against its definition in NumPy and against Keras', and the schedule by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.optimizers import Adam, schedule


def test_adam_equals_its_definition_and_keras():
    rng = np.random.default_rng(0)
    start, rates = rng.normal(size=(5, 3)).astype(np.float32), [0.1, 0.02, 0.3, 0.1, 0.05]
    gradients = rng.normal(size=(5, 5, 3)).astype(np.float32)
    gradients[1, 2:] = 0
    ours, theirs = tf.Variable(start), keras.Variable(start)
    adam, peer = Adam([ours]), keras.optimizers.Adam(epsilon=1e-8)
    value, mean, square = start.astype(float), 0.0, 0.0
    for step, (rate, gradient) in enumerate(zip(rates, gradients, strict=True), 1):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2.0
        value -= rate * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        adam.apply([tf.constant(gradient)], tf.constant(rate), tf.constant(float(step)))
        peer.learning_rate = rate
        peer.apply([tf.constant(gradient)], [theirs])
        np.testing.assert_allclose(ours, value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_adam_adds_up_the_rows_of_a_sparse_gradient_and_forgets_when_told():
    twice = tf.IndexedSlices(tf.constant([[1.0], [2.0]]), tf.constant([1, 1]), tf.constant([2, 1]))
    results = []
    for gradient in (twice, tf.constant([[0.0], [3.0]])):
        table = tf.Variable([[1.0], [1.0]])
        adam = Adam([table])
        for _ in range(2):
            table.assign([[1.0], [1.0]])
            adam.reset()
            adam.apply([gradient], tf.constant(0.1), tf.constant(1.0))
            results.append(table.numpy().ravel().tolist())
    assert all(result == results[0] for result in results)
    assert results[0] == pytest.approx([1.0, 0.9])


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [schedule(step, 1000) for step in range(1, 1001)]
    assert rates[:20] == pytest.approx(np.arange(1, 21) / 20) and rates[509] == pytest.approx(0.5)
    assert rates[-1] == 0 and (np.diff(rates[19:]) < 0).all()
    assert [schedule(step, 2) for step in (1, 2)] == [1, 0] and schedule(1, 1) == 1
