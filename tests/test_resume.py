"""A training that is killed goes on to the same bits; what does not fit is not gone on with."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_training import groups

from recsys import workflow
from recsys.models.embeddings import Embeddings
from recsys.runs import Run, read_json, write_json
from recsys.training import checkpoints, history
from recsys.training.recipes import RECIPES
from recsys.training.trainer import load, train

TINY = {
    "author": RECIPES["author"].override(batch_size=64, epochs=12, patience=3),
    "fast": RECIPES["fast"].override(dim=8, batch_size=64, n_negatives=64, epochs=6, average=3),
    "best": RECIPES["best"].override(
        dim=8, batch_size=20, learning_rate=0.03, epochs=4, trial_epochs=2, every=1, grid=((0.1, 1.25), (0.2, 1.0))
    ),
}
KILLED = """
import os, random, signal, sys, time
from recsys import loops, record, training
from test_resume import TINY
from test_training import groups

record.CHECKPOINT_SECONDS, record.CHECKPOINT_SHARE, loops.ROWS_PER_CALL = 0.0, 1.0, 640
split, rng = groups(1500), random.Random(0)

def attempt(folder, lines):
    reads, writes = os.pipe()
    if not (child := os.fork()):  # TensorFlow is imported, and nothing of it has begun
        os.dup2(writes, 1)
        for name, recipe in TINY.items():
            training.train(split, recipe, folder=f"{sys.argv[1]}/{folder}/{name}", xla=False)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as said:
        for line in said:
            print(line, end="")
            lines -= "epoch " in line or "trial " in line
            if not lines:
                time.sleep(0.03 * rng.random())
                os.kill(child, signal.SIGKILL)
                break
    print("status", os.waitpid(child, 0)[1], flush=True)

attempt("whole", 1000)
for _ in range(10):
    attempt("killed", rng.randrange(1, 6))
attempt("killed", 1000)
"""


def weights(model):
    return np.concatenate([table.ravel() for table in model.get_weights()])


def test_killed_at_ten_random_moments_it_ends_with_the_same_bits(tmp_path):
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300).stdout
    ends = [line for line in said.splitlines() if line.startswith("status")]
    assert ends == ["status 0", *["status 9"] * 10, "status 0"], said
    assert said.count("goes on from") >= 5
    for name in TINY:
        folders = [tmp_path / kind / name for kind in ("whole", "killed")]
        one, other = (weights(load(folder)) for folder in folders)
        assert (one == other).all(), name
        histories = [timeless(read_json(folder / "history.json")) for folder in folders]
        assert histories[0] == histories[1]
        assert sorted(path.name for path in folders[1].iterdir()) == ["history.json", "model.keras"]


def timeless(value):
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if "second" not in k and k != "finished_at"}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def stopped(split, recipe, folder, monkeypatch, after=3):
    """Train until the checkpoint number `after`, then stop as Ctrl-C does."""
    monkeypatch.setattr(history, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(history, "CHECKPOINT_SHARE", 1.0)
    write, written = checkpoints.write, []

    def stop(*what):
        write(*what)
        written.append(what)
        if len(written) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "write", stop)
        train(split, recipe, folder=folder, verbose=False, xla=False)


def test_a_checkpoint_of_other_inputs_or_a_damaged_one_is_not_used(tmp_path, monkeypatch, capsys):
    split, recipe = groups(500), TINY["fast"]
    stopped(split, recipe, tmp_path, monkeypatch)
    kept = (tmp_path / "checkpoint").read_bytes()
    assert not kept.count(b"pickle") and checkpoints.read(tmp_path / "checkpoint")[0]["phase"] == ""
    fresh = weights(train(split, recipe, seed=1, verbose=False, xla=False).model)
    other = train(split, recipe, seed=1, folder=tmp_path, xla=False)
    assert "of other settings, data or code, and is not used" in capsys.readouterr().out
    assert (weights(other.model) == fresh).all() and not (tmp_path / "checkpoint").exists()
    for damaged in (kept[: len(kept) // 2], b"", b"nonsense"):
        (tmp_path / "checkpoint").write_bytes(damaged)
        assert checkpoints.read(tmp_path / "checkpoint") == ({}, {})


def test_a_half_trained_run_is_not_judged_unless_interrupted_with_a_best_model(tmp_path, capsys):
    run = Run("half", tmp_path)
    run.note(recipes=["author"])
    Embeddings([1], [2, 3]).write(run.folder / "author" / "model.keras")
    for status, best in (("running", 2), ("failed", 2), ("interrupted", None)):
        write_json(run.folder / "author" / "history.json", {"status": status, "best_epoch": best})
        with pytest.raises(RuntimeError, match=f"author: expected a finished training, got one that is {status}; run"):
            workflow.open_models(run)
    write_json(run.folder / "author" / "history.json", {"status": "interrupted", "best_epoch": 2})
    monkey = pytest.MonkeyPatch()
    monkey.setattr(workflow, "open_split", lambda run: None)
    assert workflow.open_models(run)[1]["author"].n_items == 2
    monkey.undo()
    assert "its training was interrupted; this is its model after epoch 2" in capsys.readouterr().out
