"""Workers in processes of their own end with equal vectors, where one worker does; after a kill they end there too."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_resume import TINY, placed
from test_training import groups

from recsys.files import read_json
from recsys.training import launch, workers
from recsys.training.trainer import load, train

HERE = Path(__file__).parent
RECIPES = {  # small, but with the phases that differ: additions with the next-song part, and the refit
    "fast": TINY["fast"].override(epochs=3),
    "best": dataclasses.replace(TINY["best"].override(epochs=1, temperature=0.1, gamma=1.25), next_epochs=1),
}
WORKER = """
import os, sys
import numpy as np
from recsys.training import history, launch, loop
launch.end_with_supervisor()
from recsys.training import workers
from recsys.training.trainer import train
from test_resume import placed
from test_training import groups
from test_workers import RECIPES

history.CHECKPOINT_SECONDS, history.CHECKPOINT_SHARE, loop.ROWS_PER_CALL = 0.0, 1.0, 640
with workers.meet().scope(), workers.loss_of_another():
    number = workers.number()
    open(f"{sys.argv[1]}/pid-{number}", "w").write(str(os.getpid()))
    for name in sys.argv[2:]:
        trained = train(placed(groups(1000)), RECIPES[name], folder=f"{sys.argv[1]}/{name}", verbose=number == 0)
        np.savez(f"{sys.argv[1]}/{name}-{number}.npz", *trained.model.get_weights())
    workers.of_first(lambda: None)
"""


def run(folder, *names):
    """Train recipes with two workers into a folder."""
    launch.run_workers(2, [sys.executable, "-c", WORKER, str(folder), *names])


def weights(path):
    with np.load(path) as file:
        return [file[name] for name in file.files]


def test_two_workers_end_where_one_does_also_after_one_was_killed(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parent}")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    run(whole, *RECIPES)
    for name, recipe in RECIPES.items():
        first, second = (weights(whole / f"{name}-{number}.npz") for number in range(2))
        assert all((one == other).all() for one, other in zip(first, second, strict=True)), name
        trained = train(placed(groups(1000)), recipe, verbose=False, xla=False)
        history = read_json(whole / name / "history.json")
        assert history["workers"] == 2 and history["status"] == "finished"
        for figure in ("loss", "val_loss"):
            ours, theirs = ([each[figure] for each in facts["epochs"]] for facts in (history, trained.history))
            assert ours == pytest.approx(theirs, rel=1e-4), name
        for own, other in zip(first, trained.model.get_weights(), strict=True):
            assert np.abs(own - other).max() < 1e-2 * np.abs(other).max(), name

    threading.Thread(target=kill, args=(killed, random.randrange(2)), daemon=True).start()
    with pytest.raises(RuntimeError, match=r"worker \d of 2 (was killed by signal|ended with status 1)"):
        run(killed, "fast")
    assert time.monotonic() - float((killed / "killed").read_text()) < 20
    run(killed, "fast")
    assert "fast: continues from its checkpoint" in capfd.readouterr().out
    for number in range(2):
        one, other = (weights(folder / f"fast-{number}.npz") for folder in (whole, killed))
        assert all((each == again).all() for each, again in zip(one, other, strict=True))
    assert not (killed / "fast" / "checkpoint").exists()
    np.testing.assert_array_equal(load(killed / "fast").get_weights()[0], one[0])


def kill(folder: Path, victim: int) -> None:
    """Kill a worker at a random moment after the first checkpoint."""
    wait_for(lambda: (folder / "fast" / "checkpoint").exists() and (folder / f"pid-{victim}").exists())
    time.sleep(0.5 * random.random())
    os.kill(int((folder / f"pid-{victim}").read_text()), signal.SIGKILL)
    (folder / "killed").write_text(str(time.monotonic()))


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def run_scripts(folder: Path, code: str, n: int = 2) -> None:
    """Run workers that are small scripts: `index` is the number of each, `here` the folder."""
    head = "import json, os, sys, time; index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
    launch.run_workers(n, [sys.executable, "-c", f"{head}here = {str(folder)!r}\n{code}"])


def test_a_port_that_is_taken_is_changed(tmp_path):
    code = "open(f'{here}/{index}', 'a').write('x')\nif index and os.path.getsize(f'{here}/1') < 2: sys.exit(75)"
    run_scripts(tmp_path, code)
    assert (tmp_path / "1").read_text() == "xx"
    with pytest.raises(RuntimeError, match="worker 1 of 2 found its port in use, 5 times; all workers are stopped"):
        run_scripts(tmp_path, "sys.exit(75 * index)")


def test_all_workers_stop_when_one_fails(tmp_path):
    code = "open(f'{here}/{index}', 'w').write(str(os.getpid()))\nif index: time.sleep(600)\n"
    code += "while not all(os.path.exists(f'{here}/{each}') for each in (1, 2)): time.sleep(0.01)\nsys.exit(3)"
    with pytest.raises(RuntimeError, match="worker 0 of 3 ended with status 3; all workers are stopped"):
        run_scripts(tmp_path, code, 3)
    assert not any(is_running(int(path.read_text() or 0)) for path in tmp_path.glob("[12]"))


SUPERVISOR = """
import sys
from recsys.training import launch
launch.run_workers(2, [sys.executable, "-c", sys.argv[2], sys.argv[1]])
"""
SUPERVISED = """
import os, sys, time
from recsys.training import launch
launch.end_with_supervisor()
open(f"{sys.argv[1]}/{os.getpid()}", "w")
try:
    time.sleep(600)
except KeyboardInterrupt:
    open(f"{sys.argv[1]}/interrupted", "a").write("x")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_workers_end_with_the_command_and_the_first_is_interrupted(tmp_path, how):
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), SUPERVISED]
    supervisor = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.glob("[0-9]*"))) == 2)
    supervisor.send_signal(how)
    supervisor.wait(60)
    for path in tmp_path.glob("[0-9]*"):
        wait_for(lambda path=path: not is_running(int(path.name)))
    interrupted = tmp_path / "interrupted"
    assert (interrupted.read_text() if interrupted.exists() else "") == ("x" if how == signal.SIGINT else "")


def is_running(pid: int) -> bool:
    """Return whether a process runs: one whose end nobody has asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_port_in_use_is_an_error_that_says_so(monkeypatch):
    def fail():
        """Fail as TensorFlow 2.21 does."""
        raise workers.tf.errors.UnknownError(None, None, "Could not start gRPC server")

    monkeypatch.setattr(workers.tf.distribute, "MultiWorkerMirroredStrategy", fail)
    with pytest.raises(OSError, match="expected a free port for this worker, got Could not start gRPC server"):
        workers.meet()


@pytest.fixture
def second_of_two(monkeypatch):
    """Make this process the second of two workers; return the list of what the first one adds to each sum."""
    added: list[np.ndarray] = []
    monkeypatch.setattr(workers, "n_workers", lambda: 2)
    monkeypatch.setattr(workers, "number", lambda: 1)
    monkeypatch.setattr(workers, "_sum", lambda values: values + added.pop(0))
    return added


def test_other_vectors_or_inputs_than_those_of_the_first_worker_are_an_error(second_of_two, monkeypatch):
    second_of_two.append(np.array([*range(8), *[0] * 8], np.int32))
    with pytest.raises(RuntimeError, match=r"expected equal vectors on all workers, got others on workers \[1\] than"):
        workers.check_equal([workers.tf.Variable([[1.0, 2.0]])])
    inputs = {"prepared": "a", "rows": "b", "code": ["c"], "recipe": {"dim": 3}, "seed": 0, "machine": ["mine"]}
    for change, expected in (
        ({"rows": "x", "seed": 1}, "worker 1: expected the same data and SEED as on worker 0"),
        ({}, "expected the checkpoint that worker 0 sees; share the folder data/runs"),
    ):
        monkeypatch.setattr(workers, "of_first", lambda make, change=change: [inputs | change, "other checkpoint"])
        with pytest.raises(ValueError, match=expected):
            workers.same_inputs(inputs, "checkpoint")
    monkeypatch.setattr(workers, "of_first", lambda make: [inputs | {"machine": ["first"]}, "checkpoint"])
    assert workers.same_inputs(inputs, "checkpoint")["machine"] == ["first"]
