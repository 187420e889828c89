"""A checkpoint that does not fit is not used. tests/chaos/test_exact_resume.py kills trainings that continue."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_training import groups

from recsys import workflow
from recsys.data.split import PARTS
from recsys.files import write_json
from recsys.models.embeddings import Embeddings
from recsys.runs import Run
from recsys.training import history
from recsys.training.recipes import RECIPES
from recsys.training.trainer import train

TINY = {
    "author": RECIPES["author"].override(batch_size=64, epochs=12, patience=3),
    "fast": RECIPES["fast"].override(dim=8, batch_size=64, n_negatives=64, epochs=6),
    "best": RECIPES["best"].override(
        dim=4, batch_size=20, learning_rate=0.03, epochs=4, first_epochs=2, trial_epochs=2, evaluate_every=1,
        grid=((0.1, 1.25), (0.2, 1.0)), next_dim=8,
    ),
}  # fmt: skip


def placed(split):
    """Return the split with the rows of each user in the order in which they stand."""
    parts = {name: getattr(split, name) for name in PARTS}
    rows = {name: dataclasses.replace(each, place=np.arange(len(each))) for name, each in parts.items()}
    return dataclasses.replace(split, **rows)


def weights(model):
    return np.concatenate([table.ravel() for table in model.get_weights()])


def stopped(split, recipe, folder, monkeypatch, after=3):
    """Train until checkpoint number `after`, then stop as Ctrl-C does."""
    monkeypatch.setattr(history, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(history, "CHECKPOINT_SHARE", 1.0)
    write, written = history.write_checkpoint, []

    def stop(*what):
        write(*what)
        written.append(what)
        if len(written) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(history, "write_checkpoint", stop)
        train(split, recipe, folder=folder, verbose=False, xla=False)


def test_a_checkpoint_of_other_inputs_or_a_damaged_one_is_not_used(tmp_path, monkeypatch, capsys):
    split, recipe = groups(500), TINY["fast"]
    stopped(split, recipe, tmp_path, monkeypatch)
    kept = (tmp_path / "checkpoint").read_bytes()
    assert not kept.count(b"pickle") and history.read_checkpoint(tmp_path / "checkpoint")[0]["phase"] == ""
    fresh = weights(train(split, recipe, seed=1, verbose=False, xla=False).model)
    other = train(split, recipe, seed=1, folder=tmp_path, xla=False)
    assert "starts again without its checkpoint, because these have changed: SEED" in capsys.readouterr().out
    assert (weights(other.model) == fresh).all() and not (tmp_path / "checkpoint").exists()
    for damaged in (kept[: len(kept) // 2], b"", b"nonsense"):
        (tmp_path / "checkpoint").write_bytes(damaged)
        assert history.read_checkpoint(tmp_path / "checkpoint") == ({}, {})


def test_a_half_trained_run_is_opened_only_if_interrupted_with_a_best_model(tmp_path, monkeypatch, capsys):
    run = Run("half", tmp_path)
    run.note(recipes=["author"])
    Embeddings([1], [2, 3]).write(run.folder / "author" / "model.keras")
    for status, best in (("running", 2), ("failed", 2), ("interrupted", None)):
        write_json(run.folder / "author" / "history.json", {"status": status, "best_epoch": best, "recency": {}})
        with pytest.raises(RuntimeError, match=f"author: expected a finished training, got one that is {status}; open"):
            workflow.open_models(run)
    write_json(run.folder / "author" / "history.json", {"status": "interrupted", "best_epoch": 2, "recency": {}})
    monkeypatch.setattr(workflow, "open_split", lambda run: None)
    assert workflow.open_models(run)[1]["author"].n_items == 2
    assert "training was interrupted. This is its best model so far, from epoch 2" in capsys.readouterr().out


# as written by the code before it was split into packages, shortened
OLD_INPUTS = {
    "prepared": "4c5b0ef8bd79", "rows": "866d3f81735e", "code": ["51bc696ef0a2"], "machine": ["2.21.0"],
    "recipe": {"name": "author", "dim": 15, "latest": [], "least_steps": 0, "decay": 0.0, "average": 1, "every": 1},
    "seed": 0, "xla": False, "deterministic": True,
}  # fmt: skip
OLD_HISTORY = {
    "inputs": OLD_INPUTS, "seed": 0, "status": "finished", "finished_at": "2026-11-01 10:00:00", "best_epoch": 1,
    "best_worth": -0.9, "epochs": [{"epoch": 1, "loss": 2.1, "val_loss": 0.9}], "latest": {}, "pulls": [],
}  # fmt: skip


def test_a_training_of_an_earlier_version_is_trained_again(tmp_path, monkeypatch, capsys):
    run, split, recipe = Run("old", tmp_path), groups(500), TINY["author"].override(epochs=1)
    run.note(recipes=["author"])
    folder = run.folder / "author"
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "files" / "model_of_november_2026.keras", folder / "model.keras")
    write_json(folder / "history.json", OLD_HISTORY)
    monkeypatch.setattr(workflow, "open_split", lambda run: split)
    with pytest.raises(RuntimeError, match="got one by an earlier version; open notebooks/02_train.ipynb with RUN"):
        workflow.open_models(run)
    trained = workflow.train_run(run, split, {"author": recipe}, xla=False)["author"]
    out = capsys.readouterr().out
    assert "author: trains again, because these have changed since 2026-11-01 10:00:00: the data, the code, " in out
    assert not trained.reused and workflow.open_models(run)[2]["author"] == trained.history
    assert trained.history["recency"] == {} and "latest" not in trained.history


def test_a_checkpoint_of_an_earlier_version_is_not_used(tmp_path, capsys):
    running = OLD_HISTORY | {"status": "running"}
    facts = {"loop": {"epoch": 0, "step": 5, "sums": [9.0, 3.0, 5.0]}, "phase": "", "history": running, "seconds": {}}
    arrays = {"loop 0": np.zeros((400, 15)), "loop 1": np.zeros((300, 15))}
    history.write_checkpoint(tmp_path / "checkpoint", facts, arrays)
    write_json(tmp_path / "history.json", running)
    trained = train(groups(500), TINY["author"].override(epochs=1), folder=tmp_path, xla=False)
    out = capsys.readouterr().out
    assert "author: starts again without its checkpoint, because these have changed: the data, the code" in out
    assert trained.history["status"] == "finished" and not (tmp_path / "checkpoint").exists()
