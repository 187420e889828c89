"""The recipe `best`: it solves toys, chooses on validation alone, then learns from train and validation."""

import dataclasses
import itertools
import json
import re
import signal

import numpy as np
import pytest
from scipy import sparse
from test_training import groups

from recsys.data.interactions import Interactions
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.evaluation.sampled import draw_candidates, sampled_accuracy
from recsys.files import read_json
from recsys.models.embeddings import Embeddings
from recsys.training import additions, losses, recipes, selection, trainer
from recsys.training.full_softmax import FullLoop
from recsys.training.recipes import RECIPES
from recsys.training.selection import climb
from recsys.training.spectral import spectral_vectors
from recsys.training.trainer import load, train

SMALL = dataclasses.replace(
    RECIPES["best"], dim=8, batch_size=100, learning_rate=0.03, epochs=5, trial_epochs=2,
    grid=((0.1, 1.25), (0.2, 1.0)), gammas=(), spectral_dim=0,
)  # fmt: skip


def started_loop(split, recipe=SMALL, temperature=0.2, gamma=1.0, epochs=1):
    model = Embeddings(np.arange(400), np.arange(300), 8, similarity="cosine", seed=0)
    loop = FullLoop(model, split, recipe)
    loop.start(split.pairs("train"), temperature, gamma, epochs=epochs)
    return loop


def quick(split, recipe=SMALL, *, verbose=False, **settings):
    return train(split, recipe, verbose=verbose, xla=False, **settings)


def weights(trained):
    return np.concatenate([table.ravel() for table in trained.model.get_weights()])


def test_a_checkerboard_is_learnt():
    own = (np.arange(60)[:, None] - np.arange(40)) % 2 == 0
    rows = np.random.default_rng(0).permutation(np.argwhere(own))
    recipe = SMALL.override(batch_size=10, epochs=10, grid=((0.2, 1.0),))
    scores = quick(Split.from_arrays(rows[:1100], rows[1100:], rows[:1]), recipe).model.scores(np.arange(60))
    assert min(np.where(own, scores, np.inf).min(axis=1) - np.where(own, -np.inf, scores).max(axis=1)) > 0


def test_xla_changes_rounding_only():
    plain, compiled = (train(groups(1000), SMALL, verbose=False, xla=xla).history["epochs"] for xla in (False, True))
    for one, two in zip(plain, compiled, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)


def test_a_step_is_one_of_adam_on_the_loss_of_all_songs_of_the_users(monkeypatch):
    monkeypatch.setattr(recipes, "MIN_STEPS_PER_EPOCH", 1)
    split = groups(500)
    loop, seen = started_loop(split, SMALL.override(batch_size=400), gamma=1.25), split.seen("train")
    model = loop.model
    users, songs = (table / np.linalg.norm(table, axis=1, keepdims=True) for table in model.get_weights())
    logits, own = users @ songs.T / 0.2, seen.toarray() > 0
    expected = 1.25 * np.log(np.where(own, 0, np.exp(logits)).sum(axis=1))[:, None] - logits
    before = model.get_weights()
    facts = loop.train_epoch()
    assert facts["loss"] == pytest.approx(expected[own].mean(), rel=1e-5) and facts["unknown_rows"] == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        moved = np.abs(new - old)
        assert moved.max() <= 0.03 * 1.001 and np.median(moved) == pytest.approx(0.03, rel=0.05)  # Adam's first step


def test_accuracies_are_those_of_the_described_system_and_unknown_songs_are_misses():
    split = groups(1000, cold=50)
    loop = started_loop(split)
    model = loop.model
    model.set_weights([10 * table for table in model.get_weights()])
    n = len(split.validation)
    evaluated = loop.evaluate()
    assert evaluated["val_unknown_rows"] == 50
    drawn = draw_candidates(split.validation.item, 20, split.n_items_all, 1)
    other = sampled_accuracy(model, split.validation, drawn)["as_author"]["value"]
    assert evaluated["val_accuracy"] == pytest.approx(other, abs=4 * np.sqrt(0.05 / n))
    batches = range(-(-n // 100))
    item = np.pad(split.validation.item, (0, len(batches) * 100 - n)).reshape(-1, 100)
    key = losses.key(0, 0, losses.VALIDATION)
    draws = [losses.uniform_candidates(row, 20, 350, key, step) for step, row in enumerate(item)]
    own = sampled_accuracy(model, split.validation, np.concatenate(draws)[:n])["as_author"]["value"]
    assert evaluated["val_accuracy"] == pytest.approx(own, abs=1e-6)


def test_the_running_accuracy_is_that_of_the_model_on_the_distinct_rows():
    split = groups(4000, cold=300)
    loop = started_loop(split, dataclasses.replace(SMALL, learning_rate=1e-12), epochs=2)
    seen, model = split.seen("train").tocoo(), loop.model
    rows = Interactions(seen.row, seen.col)
    drawn = draw_candidates(rows.item, 20, split.n_items_all, 1)
    expected = sampled_accuracy(model, rows, drawn)["as_author"]["value"]
    assert 0.05 < loop.train_epoch()["accuracy"] == pytest.approx(expected, abs=0.02)


def test_the_history_holds_every_choice(tmp_path, capsys):
    split = groups(3000)
    trained = quick(split, folder=tmp_path, verbose=True)
    history, epochs = trained.history, trained.history["epochs"]
    assert history == read_json(tmp_path / "history.json") and json.dumps(history)
    trials = [(each["temperature"], each["gamma"]) for each in history["trials"]]
    assert trials == list(SMALL.grid) and all(each["epochs"] == 2 for each in history["trials"])
    best = max(history["trials"], key=lambda each: each["ndcg@20"])
    assert history["settings"] == {name: best[name] for name in ("temperature", "gamma")}
    assert [epoch["epoch"] for epoch in epochs if "val_ndcg@20" in epoch] == [4, 5]
    for name in ("loss", "accuracy", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "rows_per_second"):
        assert all(epoch[name] > 0 for epoch in epochs)
    assert history["status"] == "finished" and history["refit"] and len(history["refit_losses"]) == 5
    assert 0 < history["refit_seconds"] < history["seconds"] and history["best_epoch"] == 5
    assert history["n_parameters"] == (400 + 300) * 8
    for own, kept in zip(trained.model.get_weights(), load(tmp_path).get_weights(), strict=True):
        assert (own == kept).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.json", "model.keras"]
    lines = capsys.readouterr().out.splitlines(keepends=True)
    trial, ends = [False, False, True], [line.endswith("\n") for line in lines]  # a line for each epoch covers the last
    assert ends == [True, *trial, *trial, *[False] * 5, *[False] * 5, True, True]  # training, then refit
    assert re.fullmatch(r"best: refit: epoch 5 of 5, loss \d\.\d{4} *\r", lines[16])
    assert re.fullmatch(r"best: trial 1: epoch 2 of 2, loss \d\.\d{4} *\r", lines[2])
    assert re.fullmatch(r"best: trial 1: temperature 0.1, gamma 1.25, NDCG@20 on validation 0.\d{4} *\n", lines[3])
    assert re.fullmatch(
        r"best: epoch  4 of 5: loss \d+\.\d{4}, accuracy \d+\.\d\d%; "
        r"validation accuracy \d+\.\d\d%, NDCG@20 \d\.\d{4}; [\d,]+ rows/s; \d+:\d\d to epoch 5 *\r",
        lines[10],
    )
    assert quick(split, folder=tmp_path).reused and not quick(split, folder=tmp_path, seed=1).reused


def test_the_choice_is_the_best_on_validation():
    split = groups(3000)
    good = quick(split, SMALL.override(batch_size=20, trial_epochs=5, grid=((0.15, 1.0), (0.15, 50.0)))).history
    assert good["settings"] == {"temperature": 0.15, "gamma": 1.0}
    assert good["trials"][0]["ndcg@20"] > good["trials"][1]["ndcg@20"]
    loop = started_loop(split, SMALL.override(batch_size=20), 0.15, epochs=5)
    for _ in range(5):
        loop.train_epoch()
    assert validation_ndcg(loop.model, split) == good["trials"][0]["ndcg@20"] == good["epochs"][-1]["val_ndcg@20"]


@pytest.mark.parametrize(("peak", "first"), [*itertools.product(range(5), range(5))])
def test_a_climb_finds_the_peak_and_asks_for_no_value_twice(peak, first):
    asked = []

    def value(point):
        asked.append(point)
        return -abs(point - peak)

    assert climb(range(5), first, value) == peak and climb([peak], 0, value) == peak
    assert len(asked) - 1 == len(set(asked)) <= abs(peak - first) + 3


@pytest.mark.parametrize(
    ("values", "last", "chosen"),
    [
        ([0.3, 0.2, 0.1, 0.35, 0.34], [(0.07, 1.0), (0.1, 1.15), (0.1, 1.3)], (0.1, 1.15)),
        ([0.3, 0.4, 0.5, 0.4], [(0.2, 1.0), (0.2, 1.15)], (0.2, 1.0)),
        ([0.3, 0.2, 0.31, 0.312, 0.311], [(0.07, 1.0), (0.07, 1.15), (0.07, 1.3)], (0.07, 1.0)),
    ],
)
def test_trials_go_on_only_where_they_gain(monkeypatch, values, last, chosen):
    recipe = dataclasses.replace(SMALL, grid=RECIPES["best"].grid, gammas=RECIPES["best"].gammas, trial_epochs=1)
    planted = iter(values)
    monkeypatch.setattr(selection, "validation_ndcg_by_user", lambda *_: np.full(40, next(planted)))
    history = quick(groups(500), recipe).history
    pairs = [(each["temperature"], each["gamma"]) for each in history["trials"]]
    assert pairs == [(0.1, 1.0), (0.15, 1.0), *last] and tuple(history["settings"].values()) == chosen


@pytest.mark.parametrize(("gains", "tried", "kept"), [(True, [1, 2, 4, 5], 5), (False, [1, 2], 1)])
def test_the_number_of_epochs_doubles_while_that_gains(monkeypatch, tmp_path, gains, tried, kept):
    monkeypatch.setattr(additions, "is_better", lambda one, other: gains)
    split, recipe = groups(1000), SMALL.override(grid=((0.2, 1.0),))
    trained = quick(split, dataclasses.replace(recipe, first_epochs=1), folder=tmp_path)
    at_once = quick(split, dataclasses.replace(recipe, first_epochs=0, epochs=kept))
    assert [each["epochs"] for each in trained.history["lengths"]] == tried
    for facts in (trained.history, at_once.history):
        assert facts["length"] == facts["best_epoch"] == len(facts["epochs"]) == len(facts["refit_losses"]) == kept
    assert "epochs_of_shorter" not in read_json(tmp_path / "history.json")
    assert (weights(trained) == weights(at_once)).all()


def test_a_gain_is_more_than_its_standard_error():
    users = np.random.default_rng(0).normal(size=400)
    gains = np.tile([0.0, 2.0], 200)  # mean 1, standard error 0.05
    assert additions.is_better(users + gains, users) and not additions.is_better(users + gains - 0.96, users)


def test_the_choice_says_by_how_much_it_leads():
    history = quick(groups(3000)).history
    best, other = sorted(history["trials"], key=lambda each: -each["ndcg@20"])
    lead, gains = history["lead"], np.subtract(best["groups"], other["groups"])
    assert lead["over"] == {name: other[name] for name in ("temperature", "gamma")}
    assert lead["ndcg@20"] == best["ndcg@20"] - other["ndcg@20"]
    assert lead["standard_error"] == pytest.approx(gains.std(ddof=1) / np.sqrt(20))
    assert np.mean(best["groups"]) == pytest.approx(best["ndcg@20"], abs=1e-3)  # groups of 20 users
    assert "lead" not in quick(groups(500), SMALL.override(grid=((0.1, 1.0),))).history


def test_a_warm_start_has_the_spectral_vectors_and_a_little_of_the_seeds():
    split = groups(1000)
    loop = started_loop(split)
    for spectral, warm in zip(spectral_vectors(split.seen("train"), 7), loop.model.get_weights(), strict=True):
        rest = warm - spectral
        assert 0 < np.abs(rest).max() < 0.1 * np.abs(spectral).max()
    first = loop.model.get_weights()
    loop.train_epoch()
    loop.start(split.pairs("train"), 0.2, 1.0, epochs=1)
    assert all((one == two).all() for one, two in zip(first, loop.model.get_weights(), strict=True))


@pytest.mark.parametrize("rows", [[[0, 0], [0, 1]], [[0, 0], [1, 0]], [[0, 0], [1, 1], [2, 2]]])
def test_spectral_vectors_of_very_few_rows_have_length_one(rows):
    users, songs = np.transpose(rows)
    seen = sparse.csr_matrix((np.ones(len(rows), np.float32), (users, songs)))
    for vectors, n in zip(spectral_vectors(seen, 8), seen.shape, strict=True):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(n), abs=1e-6)


def test_equal_seeds_give_equal_bits_even_without_test():
    split = groups(1000)
    blind = dataclasses.replace(split, test=Interactions(*np.empty((2, 0), np.int32)))
    first, again, other = (weights(quick(*each)) for each in ((split,), (blind,), (split, SMALL.override(epochs=4))))
    assert (first == again).all() and (first != other).any()
    assert (first != weights(quick(split, seed=1))).any()


def test_the_refit_learns_from_validation_each_warm_pair_once(monkeypatch):
    monkeypatch.setattr(recipes, "MIN_STEPS_PER_EPOCH", 1)
    split, pair, recipe = groups(3000), [0, 299], SMALL.override(batch_size=20, epochs=16, grid=((0.15, 1.0),))
    recipe = dataclasses.replace(recipe, first_epochs=0)
    assert split.seen("train")[*pair] == 0  # a song of another group
    rows = [np.stack([part.user, part.item], axis=1) for part in (split.train, split.validation, split.test)]
    more = np.concatenate([rows[1], [pair] * 3, [[0, 305], [400, 7]]])
    twice, once = (quick(Split.from_arrays(rows[0], each, rows[2]), recipe) for each in (more, np.unique(more, axis=0)))
    without = quick(split, recipe)
    after, before = ((row > row[299]).sum() for row in (each.model.scores([0])[0] for each in (twice, without)))
    assert after < 30 < before
    assert (twice.model.n_users, twice.model.n_items) == (400, 300)
    assert (weights(twice) == weights(once)).all()


def test_batches_fit_into_memory_and_are_not_too_few(monkeypatch):
    split, sizes = groups(500), []
    loop = started_loop(split)
    step = loop._step
    loop._step = lambda users, *rest: (sizes.append(len(users)), step(users, *rest))[1]
    for memory, fewest, expected in ((300 * 30, 1, [30] * 13 + [10]), (2**24, 1, [100] * 4), (2**24, 8, [50] * 8)):
        sizes.clear()
        monkeypatch.setattr(recipes, "MAX_LOGITS_PER_BATCH", memory)
        monkeypatch.setattr(recipes, "MIN_STEPS_PER_EPOCH", fewest)
        loop.start(split.pairs("train"), 0.2, 1.0, epochs=1)
        loop.train_epoch()
        assert sizes == expected


def test_data_that_cannot_be_trained_on_are_a_clear_error(tmp_path, monkeypatch):
    split = groups(500)
    with pytest.raises(FloatingPointError, match=r"trial 1, epoch 1, step \d+ of 25: expected a finite"):
        quick(split, SMALL.override(learning_rate=1e38, grid=((0.025, 1.0), (1.0, 1.0))), folder=tmp_path)
    assert read_json(tmp_path / "history.json")["status"] == "failed" and load(tmp_path).n_items == 300
    with pytest.raises(ValueError, match="validation: expected users with a relevant song"):
        quick(Split.from_arrays([[0, 0], [1, 1]], [[0, 0]], [[0, 1]]))
    with pytest.raises(ValueError, match="users with some, but not all songs"):
        FullLoop(Embeddings([0], [1]), split, SMALL).start(split.train[:1], 1, 1, 1)
    monkeypatch.setattr(trainer, "MAX_SONGS_FOR_FULL", 299)
    with pytest.raises(ValueError, match="best: expected at most 299 songs, .* got 300"):
        quick(split)


def test_an_interrupt_leaves_a_model_that_loads(tmp_path, monkeypatch):
    train_epoch = FullLoop.train_epoch
    calls = []

    def interrupted(self):
        calls.append(self.epoch)
        if len(calls) == 2 + 2 + 5 + 1:  # epochs of trials, of the training, then in the refit
            signal.raise_signal(signal.SIGINT)
        return train_epoch(self)

    monkeypatch.setattr(FullLoop, "train_epoch", interrupted)
    split = groups(500)
    with pytest.raises(KeyboardInterrupt):
        quick(split, folder=tmp_path)
    history = read_json(tmp_path / "history.json")
    assert history["status"] == "interrupted" and len(history["epochs"]) == 5 and "refit" not in history
    ndcg = [each.get("val_ndcg@20", 0) for each in history["epochs"]]
    assert validation_ndcg(load(tmp_path), split) == ndcg[history["best_epoch"] - 1] == ndcg[-1]
    continued, undisturbed = quick(split, folder=tmp_path), quick(split)
    assert (weights(continued) == weights(undisturbed)).all()
    assert len(calls) == (2 + 2 + 5 + 1) + 5 + (2 + 2 + 5 + 5)  # continuing took only the epochs of the refit


def test_overrides():
    best = RECIPES["best"]
    assert best.override(pool="", dim=0, epochs=0, batch_size=0, learning_rate=0.0) == best
    assert best.override(batch_size=64, learning_rate=0.1) == dataclasses.replace(
        best, batch_size=64, learning_rate=0.1
    )
    assert best.override(batch_size=64).learning_rate == best.learning_rate
    with pytest.raises(ValueError, match="best, pool: expected 'all', as this recipe .* got 'train'; the recipe fast"):
        best.override(pool="train")
    with pytest.raises(ValueError, match="epochs: expected more than 0, got -1"):
        best.override(epochs=-1)
    with pytest.raises(ValueError, match="grid: expected pairs"):
        best.override(grid=((0.0, 1.0),))
