"""The search for a recipe: it continues, uses validation alone, and its result is the recipe `tuned`."""

import dataclasses

import numpy as np
import pytest
from conftest import REPOSITORY

from recsys import tune, workflow
from recsys.data.split import Split
from recsys.files import read_json, write_json
from recsys.reports import reuse
from recsys.runs import Run
from recsys.training import tuning
from recsys.training.recipes import RECIPES

SHORT = {"epochs": 4, "patience": 4, "trial_epochs": 1, "first_epochs": 0}
SMALL = dataclasses.replace(RECIPES["best"], **SHORT, dim=8, evaluate_every=1)


@pytest.fixture
def split(monkeypatch) -> Split:
    """Two groups of users with songs of their own. Nothing can be read of test."""
    monkeypatch.setitem(RECIPES, "best", SMALL)
    rng = np.random.default_rng(0)
    rows = [(user, song) for user in range(60) for song in (user % 2) * 20 + rng.permutation(20)[:9]]
    rows = np.array(rows).reshape(60, 9, 2)
    first = [(song // 20, song) for song in range(40)]  # so that all songs occur in train
    made = Split.from_arrays([*first, *rows[:, :7].reshape(-1, 2)], rows[:, 7], rows[:, 8])
    object.__setattr__(made, "test", None)
    return made


def test_a_search_continues_and_chooses_on_validation(split, tmp_path):
    where = tuning.folder(split, tmp_path)
    tuning.search(split, where, trials=1, minutes=5)
    assert len((where / "trials.csv").read_text().splitlines()) == 2
    facts = tuning.search(split, where, trials=2, minutes=5)
    table = [line.split(",") for line in (where / "trials.csv").read_text().splitlines()]
    assert [row[0] for row in table] == ["trial", "1", "2"] and facts["trials"] == 2
    first = dict(zip(table[0], table[1], strict=True))
    assert (float(first["temperature"]), float(first["epochs"])) == (SMALL.grid[0][0], 4)
    values = [float(row[table[0].index("ndcg@20")]) for row in table[1:] if row[table[0].index("state")] == "COMPLETE"]
    assert facts["ndcg@20 on validation"] == max(values)
    recipe, settings = tuning.tuned(split, tmp_path), facts["settings"]
    assert recipe.name == "tuned" and recipe.grid == ((settings["temperature"], settings["gamma"]),)
    assert recipe.for_size(*split.size) == recipe and recipe.epochs == settings["epochs"]


def test_the_command_prepares_searches_and_draws(split, tmp_path, monkeypatch, capsys):
    asked = {}
    (tmp_path / "notebooks").symlink_to(REPOSITORY / "notebooks")
    monkeypatch.setattr(tune, "project_root", lambda: tmp_path)
    monkeypatch.setattr(tune, "prepare", lambda *_, **given: asked.update(given) or split)
    assert tune.main(["TRIALS=1", "MINUTES=5", "SPLIT=by-user-last"]) == 0
    assert asked == {"root": tmp_path, "split": "by-user-last"}
    where = tuning.folder(split, tmp_path)
    assert (where / "trials.png").read_bytes()[:4] == b"\x89PNG"
    out = capsys.readouterr().out
    assert "Best of 1 trials: " in out and f"{where.relative_to(tmp_path)} holds recipe.json" in out


def test_wrong_data_or_values_are_one_line_of_an_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").symlink_to(REPOSITORY / "notebooks")
    monkeypatch.setattr(tune, "project_root", lambda: tmp_path)
    for argument, message in {
        "SPLIT=radom": "SPLIT: expected one of auto, given, by-time, random, by-user-last, got 'radom'; did you mean "
        "'random'?",
        "TEST_FRACTION=1.5": "VALIDATION_FRACTION and TEST_FRACTION: expected numbers above 0 with a sum below 1, got "
        "0.1 and 1.5",
    }.items():
        assert tune.main([argument]) == 2 and capsys.readouterr().err == f"make tune: {message}\n"


def test_without_a_search_the_error_names_the_command(split, tmp_path):
    with pytest.raises(FileNotFoundError, match="recipe 'tuned': expected .*recipe.json, found none; run `make tune`"):
        tuning.tuned(split, tmp_path)


def test_another_search_makes_training_run_again(tmp_path):
    run, notebook = Run("a", tmp_path), tmp_path / "02_train.ipynb"
    notebook.touch()
    run.note(prepared="data/prepared/x-1")
    values = {"RECIPES": "best tuned"}
    before = reuse.inputs(run, notebook, values, {})
    write_json(tmp_path / "data/tune/x-1/recipe.json", {})
    after = reuse.inputs(run, notebook, values, {})
    (changed,) = (name for name in before if before[name] != after[name])
    assert reuse.inputs(run, notebook, {"RECIPES": "best"}, {})[changed] == before[changed]


def test_a_wrong_name_is_an_error_before_anything_runs(capsys):
    assert tune.main(["TRIAL=3"]) == 2
    assert "nearest: TRIALS" in capsys.readouterr().err


def test_the_tuned_recipe_is_trained_by_name(split, tmp_path, monkeypatch):
    trained, run = {}, Run("a", tmp_path)
    trainer = workflow.import_trainer()
    monkeypatch.setattr(trainer, "train", lambda split, recipe, **more: trained.update({recipe.name: recipe}))
    settings = {"temperature": 0.123, "gamma": 1.1, "learning_rate": 0.01, "epochs": 3}
    write_json(tuning.folder(split, tmp_path) / "recipe.json", {"settings": settings})
    workflow.train_run(run, split, workflow.choose_recipes(run, split, "best tuned"))
    assert trained["tuned"].grid == ((0.123, 1.1),) and trained["tuned"].epochs == 3 != trained["best"].epochs
    assert read_json(run.folder / "run.json")["recipes"] == ["best", "tuned"]
