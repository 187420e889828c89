"""Sampled recipes: every loss, kind of negatives and optimiser solves a checkerboard; wrong settings are refused."""

import numpy as np
import pytest
from test_training import groups

from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.files import read_json
from recsys.models.embeddings import Embeddings
from recsys.training.loop import Loop
from recsys.training.recipes import CHOICES, MAX_SONGS_FOR_FULL, RECIPES
from recsys.training.sampled_softmax import SampledLoop
from recsys.training.trainer import load, train

SMALL = RECIPES["fast"].override(dim=8, batch_size=64, n_negatives=64, epochs=4, learning_rate=0.03)
RATES = {"sgd": 1.0, "adagrad": 0.1, "adam": 0.02}
OWN = (np.arange(60)[:, None] - np.arange(40)) % 2 == 0


@pytest.mark.parametrize("j", range(3))
@pytest.mark.parametrize("i", range(4))
def test_a_checkerboard_is_learnt(i, j):
    loss, negatives, optimizer = CHOICES["loss"][i], CHOICES["negatives"][j], list(RATES)[(i + j) % 3]
    rows = np.random.default_rng(0).permutation(np.argwhere(OWN))
    split = Split.from_arrays(rows[:1100], rows[1100:], rows[:1])
    settings = {"loss": loss, "negatives": negatives, "optimizer": optimizer, "learning_rate": RATES[optimizer]}
    gamma = 1.25 if loss == "bsl" else 1.0
    recipe = SMALL.override(grid=((0.2, gamma),), batch_size=40, n_negatives=40, epochs=10, **settings)
    model = Embeddings(np.arange(60), np.arange(40), 8, similarity="cosine")
    loop = SampledLoop(model, split, recipe)
    loop.start(split.pairs("train"), 0.2, gamma, epochs=10)
    for _ in range(10):
        loop.train_epoch()
    scores = model.scores(np.arange(60))
    assert (np.where(OWN, scores, np.inf).min(axis=1) > np.where(OWN, -np.inf, scores).max(axis=1)).mean() > 0.95


def test_a_loss_that_explodes_names_its_step_and_keeps_the_best_model(tmp_path, monkeypatch):
    train_epoch = Loop.train_epoch

    def poisoned(self):
        if self.epoch == 2:
            self.model.set_weights([table * np.nan for table in self.model.get_weights()])
        return train_epoch(self)

    monkeypatch.setattr(Loop, "train_epoch", poisoned)
    split = groups(1000)
    with pytest.raises(FloatingPointError, match=r"epoch 3, step 1 of \d+: expected a finite loss"):
        train(split, SMALL, folder=tmp_path, verbose=False, xla=False)
    history = read_json(tmp_path / "history.json")
    assert history["status"] == "failed" and history["best_epoch"] == 2
    assert validation_ndcg(load(tmp_path), split) == history["epochs"][1]["val_ndcg@20"]


def test_the_refit_takes_as_many_epochs_as_were_best():
    recipe = SMALL.override(epochs=3, patience=2)
    history = train(groups(1000), recipe, verbose=False, xla=False).history
    ndcg = [epoch["val_ndcg@20"] for epoch in history["epochs"]]
    assert history["best_epoch"] == 1 + int(np.argmax(ndcg)) == len(history["refit_losses"])


def test_narrow_products_and_xla_change_rounding_only():
    split, plain = groups(1000), SMALL.override(epochs=1)
    wide, *others = (
        train(split, recipe, verbose=False, xla=xla)
        for recipe, xla in ((plain, False), (plain, True), (plain.override(precision="mixed_bfloat16"), False))
    )
    for other, margin in zip(others, (1e-5, 0.02), strict=True):
        for name in ("loss", "val_loss"):
            one, two = (each.history["epochs"][0][name] for each in (wide, other))
            assert one == pytest.approx(two, rel=margin)
        assert other.model.scores([0]).dtype == np.float32


def test_best_draws_negatives_if_there_are_too_many_songs():
    best, fast = RECIPES["best"], RECIPES["fast"]
    assert fast.for_size(10**6, 1000, 10**9) == fast
    large = best.for_size(1000, 100, MAX_SONGS_FOR_FULL + 1)
    assert (large.name, large.dim, large.grid) == ("best", best.dim, best.grid)
    assert (large.negatives, large.n_negatives, large.batch_size) == ("shared", 1024, fast.batch_size)


def test_very_many_rows_are_trained_in_fewer_epochs():
    author, fast, best = (RECIPES[name] for name in ("author", "fast", "best"))
    assert fast.for_size(7 * 10**6, 10**5, 10**5) == fast and author.for_size(10**9, 10**5, 10**5) is author
    assert best.for_size(10**9, 1000, MAX_SONGS_FOR_FULL) == best
    for recipe in (fast, best):
        for n_rows, epochs in ((4 * 10**7, 3), (10**9, 2)):
            assert recipe.for_size(n_rows, 1000, MAX_SONGS_FOR_FULL + 1).epochs == epochs
    for n_rows, epochs in ((3 * 10**6, 8), (10**7, 3), (10**9, 1)):
        assert best.for_size(n_rows, 1000, MAX_SONGS_FOR_FULL + 1).trial_epochs == epochs


@pytest.mark.parametrize(
    ("n_users", "n_items", "epochs", "trial_epochs"),
    [
        (14_261, 9_998, 48, 8),  # 30Music
        (43_169, 35_648, 32, 5),  # Amazon-CDs: 92 steps in an epoch
        (200_000, 150_000, 8, 1),
        (0, 0, 48, 8),
    ],
)
def test_best_has_fewer_epochs_if_they_have_very_many_steps(n_users, n_items, epochs, trial_epochs):
    recipe = RECIPES["best"].for_size(10**6, n_users, n_items)
    assert (recipe.epochs, recipe.trial_epochs) == (epochs, trial_epochs) and recipe.lengths[-1] == epochs
    alone = recipe.override(epochs=20)
    assert alone.epochs == 20 and alone.lengths == [8, 16, 20]


@pytest.mark.parametrize(
    "name, settings, expected",
    [("best", {"negatives": "shared"}, "best, negatives: expected full, as its batches are of users"),
     ("fast", {"negatives": "full"}, "fast, negatives: expected shared, as its batches are of rows"),
     ("best", {"n_negatives": 5}, "best, n_negatives: expected 0"),
     ("fast", {"temperature": 0.02}, "fast, temperature: expected 0.025 or more for cosines, got 0.02"),
     ("best", {"loss": "bpr", "gamma": 1.0}, "best, loss: expected 'bsl'"),
     ("author", {"gamma": 1.2}, "author, gamma: expected 1, as the loss softmax has no gamma; got 1.2"),
     ("author", {"optimizer": "adam"}, "author: expected a LEARNING_RATE for the optimizer adam, got none"),
     ("fast", {"loss": "hinge"}, "loss: expected one of softmax, bsl, bpr, sigmoid; got 'hinge'"),
     ("fast", {"grid": ((0.1, 1.0), (0.2, 1.0))}, "trial_epochs: expected more than 0"),
     ("fast", {"precision": "float8"}, "precision: expected one of float32, tf32")],
)  # fmt: skip
def test_a_setting_that_does_not_apply_is_a_clear_error(name, settings, expected):
    with pytest.raises(ValueError, match=expected):
        RECIPES[name].override(**settings)


def test_a_temperature_or_gamma_replaces_those_of_the_grid():
    best = RECIPES["best"]
    assert best.override(temperature=0.3).grid == tuple(dict.fromkeys((0.3, gamma) for _, gamma in best.grid))
    assert best.override(temperature=0.3, gamma=1.1).grid == ((0.3, 1.1),)
    assert RECIPES["author"].override(optimizer="adam", learning_rate=0.01).learning_rate == 0.01
