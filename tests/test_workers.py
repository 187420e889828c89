"""Workers in processes of their own end with equal vectors, where one worker does; after a kill they end there too."""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_resume import TINY, placed
from test_training import groups

from recsys.files import read_json
from recsys.training import launch
from recsys.training.trainer import load, train

HERE = Path(__file__).parent
RECIPES = {"fast": TINY["fast"].override(epochs=2), "best": TINY["best"].override(epochs=4)}
WORKER = """
import os, sys, time
import numpy as np
from recsys.training import history, loop, launch
launch.end_with_supervisor()
from recsys.training import workers
from recsys.training.trainer import train
from test_training import groups
from test_resume import placed
from test_workers import RECIPES

history.CHECKPOINT_SECONDS, history.CHECKPOINT_SHARE, loop.ROWS_PER_CALL = 0.0, 1.0, 640
split = placed(groups(1500))
try:
    strategy = workers.meet()
except OSError as error:
    sys.exit(print(error, file=sys.stderr) or launch.PORT_TAKEN)
with strategy.scope():
    number = workers.number()
    open(f"{sys.argv[1]}/pid-{number}", "w").write(str(os.getpid()))
    for name, recipe in RECIPES.items():
        trained = train(split, recipe, folder=f"{sys.argv[1]}/{name}", verbose=number == 0)
        np.savez(f"{sys.argv[1]}/{name}-{number}.npz", *trained.model.get_weights())
    workers.of_first(lambda: None)
"""


@pytest.fixture
def run(monkeypatch):
    """Return a function that trains the recipes with two workers into a folder."""
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parent}")
    return lambda folder: launch.run_workers(2, [sys.executable, "-c", WORKER, str(folder)])


def weights(path):
    with np.load(path) as file:
        return [file[name] for name in file.files]


def test_two_workers_end_where_one_does_also_after_one_was_killed(run, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    run(whole)
    for name, recipe in RECIPES.items():
        first, second = (weights(whole / f"{name}-{number}.npz") for number in range(2))
        assert all((one == other).all() for one, other in zip(first, second, strict=True)), name
        trained = train(placed(groups(1500)), recipe, verbose=False, xla=False)
        history = read_json(whole / name / "history.json")
        assert history["workers"] == 2 and history["status"] == "finished"
        for figure in ("loss", "val_loss"):
            ours, theirs = ([each[figure] for each in facts["epochs"]] for facts in (history, trained.history))
            assert ours == pytest.approx(theirs, rel=1e-4), name
        for own, other in zip(first, trained.model.get_weights(), strict=True):
            assert np.abs(own - other).max() < 1e-2 * np.abs(other).max(), name

    victim = random.Random().randrange(2)
    threading.Thread(target=kill, args=(killed, victim), daemon=True).start()
    with pytest.raises(RuntimeError, match=r"worker \d of 2 (was killed by signal|ended with status)"):
        run(killed)
    ended, when = time.monotonic(), float((killed / "killed").read_text())
    assert ended - when < 20
    run(killed)
    for name in RECIPES:
        one, other = (weights(folder / f"{name}-1.npz") for folder in (whole, killed))
        assert all((each == again).all() for each, again in zip(one, other, strict=True)), name
        assert not (killed / name / "checkpoint").exists()
        np.testing.assert_array_equal(load(killed / name).get_weights()[0], one[0])


def kill(folder: Path, victim: int) -> None:
    """Kill a worker at a random moment after the first checkpoint."""
    while not list(folder.glob("*/checkpoint")) or not (folder / f"pid-{victim}").exists():
        time.sleep(0.01)
    time.sleep(random.random())
    os.kill(int((folder / f"pid-{victim}").read_text()), signal.SIGKILL)
    (folder / "killed").write_text(str(time.monotonic()))
