"""Each rule equals its definition in NumPy and that of Keras, on whole tables and on rows; schedules of the rate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.training.optimizers import RULES, Optimizer, schedule

PEERS = {
    "sgd": keras.optimizers.SGD,
    "adagrad": lambda: keras.optimizers.Adagrad(initial_accumulator_value=0.0, epsilon=1e-16),
    "adam": lambda: keras.optimizers.Adam(epsilon=1e-8),
}


class Reference:
    """The rules by definition, row by row, in double precision."""

    def __init__(self, rule, table):
        self.rule, self.value = rule, table.astype(float)
        self.slots = np.zeros((2, *table.shape))

    def apply(self, gradients, rate, step):
        """Move the rows of `gradients` {row: gradient}."""
        for row, g in gradients.items():
            first, second = self.slots[:, row]
            if self.rule == "sgd":
                change = g
            elif self.rule == "adagrad":
                first += g**2
                change = g / (np.sqrt(first) + 1e-8)
            else:
                first += 0.1 * (g - first)
                second += 0.001 * (g**2 - second)
                change = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            self.value[row] -= rate * change


def steps(rule, table, gradients, xla=False):
    """Yield the number, the rate and the table after each step of a rule."""
    variable = tf.Variable(table)
    optimizer = Optimizer(rule, [variable], xla)
    for step, (rate, gradient) in enumerate(zip([0.1, 0.02, 0.3, 0.1, 0.05], gradients, strict=True), 1):
        numbers = tf.constant(rate), tf.constant(float(step))
        if isinstance(gradient, tf.IndexedSlices):
            half = [gradient.values / 2]
            optimizer.apply_to_rows([variable], [gradient.indices], doubled, half, *numbers)
        else:
            optimizer.apply([variable], [gradient], *numbers)
        yield step, rate, variable.numpy()


def doubled(values):
    return [2 * values]


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("rule", sorted(RULES))
def test_whole_tables_equal_the_definition_and_keras(rule, xla):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 3)).astype(np.float32)
    gradients = rng.normal(size=(5, 5, 3)).astype(np.float32)
    reference, theirs, peer = Reference(rule, start), keras.Variable(start), PEERS[rule]()
    for step, rate, ours in steps(rule, start, map(tf.constant, gradients), xla=xla):
        reference.apply(dict(enumerate(gradients[step - 1].astype(float))), rate, step)
        peer.learning_rate = rate
        peer.apply([tf.constant(gradients[step - 1])], [theirs])
        np.testing.assert_allclose(ours, reference.value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("xla", [False, True])
def test_equal_rows_are_summed_and_no_other_row_moves(rule, xla):
    rng = np.random.default_rng(1)
    start = rng.normal(size=(9, 3)).astype(np.float32)
    rows = rng.choice([0, 2, 3, 8], (5, 6))  # some of them more than once
    gradients = rng.normal(size=(5, 6, 3)).astype(np.float32)
    pairs = zip(map(tf.constant, gradients), map(tf.constant, rows.astype("i")), strict=True)
    sparse = [tf.IndexedSlices(*each, (9, 3)) for each in pairs]
    reference = Reference(rule, start)
    for step, rate, ours in steps(rule, start, sparse, xla):
        added = {row: gradients[step - 1][rows[step - 1] == row].sum(axis=0) for row in set(rows[step - 1])}
        reference.apply(added, rate, step)
        np.testing.assert_allclose(ours, reference.value, rtol=1e-4, atol=1e-5)
        assert (ours[[1, 4, 5, 6, 7]] == start[[1, 4, 5, 6, 7]]).all()


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rows_touched_in_each_step_move_as_in_a_whole_table(rule):
    rng = np.random.default_rng(2)
    start, gradients = (rng.normal(size=size).astype(np.float32) for size in ((4, 2), (5, 4, 2)))
    gradients[:, 2:] = 0
    sparse = [tf.IndexedSlices(tf.constant(each[:2]), tf.constant([0, 1]), (4, 2)) for each in gradients]
    for (*_, few), (*_, all_) in zip(steps(rule, start, sparse), steps(rule, start, list(gradients)), strict=True):
        np.testing.assert_allclose(few, all_, rtol=1e-6)


def test_a_reset_forgets_the_gradients():
    half, rows = tf.constant([[0.5], [1.0]]), tf.constant([1, 1])
    for rule, expected, xla in (("adam", 0.9, False), ("sgd", 0.7, False), ("sgd", 0.7, True)):
        table = tf.Variable([[1.0], [1.0]])
        optimizer = Optimizer(rule, [table], xla)
        for _ in range(2):
            table.assign([[1.0], [1.0]])
            optimizer.reset()
            optimizer.apply_to_rows([table], [rows], doubled, [half], tf.constant(0.1), tf.constant(1.0))
            assert table.numpy().ravel() == pytest.approx([1.0, expected])


def test_the_rate_warms_up_and_falls_to_zero_or_is_constant():
    rates = [schedule("cosine", step, 1000) for step in range(1, 1001)]
    assert rates[:20] == pytest.approx(np.arange(1, 21) / 20) and rates[509] == pytest.approx(0.5)
    assert rates[-1] == 0 and (np.diff(rates[19:]) < 0).all()
    assert [schedule("cosine", step, 2) for step in (1, 2)] == [1, 0] and schedule("cosine", 1, 1) == 1
    assert {schedule("constant", step, 9) for step in range(1, 10)} == {1.0}
