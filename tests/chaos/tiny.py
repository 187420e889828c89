"""A tiny data set, and the project's steps and commands on it without papermill, in forks that start in no time.

A fork server imports everything once, TensorFlow too, which starts only in the forks. Faults need no hooks in the
project: Python reports each change of the file system before it happens, so a process can be killed at the n-th one.
"""

import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import psutil
import pytest
from conftest import timeless
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from recsys import workflow
from recsys.audit.checks import check_evaluation, check_split, require_clean
from recsys.audit.measures import measure
from recsys.data import engine
from recsys.evaluation import sampled
from recsys.evaluation.evaluate import evaluate
from recsys.files import read_json
from recsys.models import baselines
from recsys.models.model_files import read_model
from recsys.recommend import main as recommend
from recsys.reports import comparison, runner
from recsys.reports.execution import RunFailed
from recsys.reports.summary import summarise
from recsys.runs import Run
from recsys.training.recipes import RECIPES

COLUMNS = {"user_column": "who", "item_column": "song", "time_column": "played_at"}
TINY = dataclasses.replace(
    RECIPES["best"], dim=4, batch_size=64, epochs=1, grid=((0.1, 1.0),), gammas=(), recency=((1.0, 2.0),), next_dim=0,
    next_shares=(0.5,), spectral_dim=4, spectral_shares=(0.5,), trends=(0.1,),
)  # fmt: skip
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.truncate")
FORKS = multiprocessing.get_context("forkserver")
HERE = Path(__file__).resolve().parent
FORKS.set_forkserver_preload(["tiny", "recsys.training.trainer"])


def make_project(root: Path, order: int = 0) -> Path:
    """Write listens, some at equal times, and notebooks without code; `order` shuffles the rows of the listens."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").touch()
    rng = np.random.default_rng(0)
    who, late = rng.integers(0, 30, 600), np.sort(rng.choice(10**6, 600, replace=False)) // 2000 * 2000
    song = who % 3 * 20 + (20 * rng.random(600) ** 1.5).astype(int)
    rows = [f"u{a},s{b},{1_600_000_000 + c}" for a, b, c in zip(who, song, late, strict=True)]
    rows = [rows[each] for each in np.random.default_rng(order).permutation(600)] if order else rows
    (root / "listens.csv").write_text("\n".join(["who,song,played_at", *rows]) + "\n")
    for name in STEPS:
        write_notebook(root / "notebooks" / f"{name}.ipynb")
    return root


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook with the parameter RUN and code cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tagged = new_code_cell('RUN: str = "sample"  # the run', id="parameters", metadata={"tags": ["parameters"]})
    code = [new_code_cell(text, id=f"cell-{number}") for number, text in enumerate(cells)]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A step", id="title"), tagged, *code]), path)
    return path


def prepare(run: Run) -> None:
    """Prepare the listens."""
    workflow.prepare_run(run, "csv", "listens.csv", **COLUMNS)


def train(run: Run, **settings: Any) -> None:
    """Train one recipe for an epoch, with other settings where they are given."""
    split = workflow.open_split(run)
    require_clean(split, check_split(split))
    workflow.train_run(run, split, {"best": dataclasses.replace(TINY, **settings)}, xla=False)


def evaluate_models(run: Run) -> None:
    """Evaluate the model and two baselines, as 03_evaluate does."""
    split, models, histories = workflow.open_models(run)
    fitted, _ = baselines.fit_all(split, ["popularity", "itemknn"], 0)
    scorers = {name: each.scorer for name, each in fitted.items()} | models
    validation = workflow.ndcg_on_validation(split, fitted, models, histories)
    evaluation = evaluate(scorers, split, (5, 20), 0, validation)
    candidates = sampled.draw_candidates(split.test.item, sampled.NEGATIVES, split.n_items_all, 0)
    accuracy = {name: sampled.sampled_accuracy(scorers[name], split.test[:], candidates, seed=0) for name in scorers}
    checks = check_evaluation(split, models, histories, fitted, evaluation, 0)
    answer = summarise(evaluation, accuracy, measure(split, scorers, evaluation, accuracy, histories, 0), checks)
    seconds, by_seed = workflow.seconds_by_model(fitted, histories), workflow.ndcg_by_seed(run, evaluation)
    workflow.save_evaluation(run, evaluation, answer, sampled=accuracy, seconds=seconds, by_seed=by_seed)


STEPS: dict[str, Callable[[Run], None]] = {"01_prepare": prepare, "02_train": train, "03_evaluate": evaluate_models}


def execute(source: Path, target: Path, values: dict[str, Any], root: Path, timeout: int = 0) -> None:
    """Stand in for papermill: run the step of a notebook in a fork, and copy the notebook."""
    if not (child := os.fork()):
        status = 1
        try:
            watch_changes(source.stem)
            STEPS[source.stem](Run(values["RUN"], root))
            status = 0
        except BaseException as error:  # papermill shows it too
            print(error)
        leave(status)
    if status := os.waitpid(child, 0)[1]:
        raise RunFailed(f"{source.stem}: ended with status {status}", "")
    shutil.copyfile(source, target)


def report(root: Path, *arguments: str) -> int:
    """Make a report of the run `tiny` with the stand-in for papermill; return the status."""
    runner.execute = execute
    return runner.main([f"--notebooks={root / 'notebooks'}", "RUN=tiny", *arguments])


def whole(root: Any = None, tensorflow: int = 0, duckdb: int = 0) -> int:
    """Take all steps in this process, and learn which song follows; the numbers are of threads, 0: as usual."""
    import tensorflow as tf

    for name in ("intra", "inter"):
        getattr(tf.config.threading, f"set_{name}_op_parallelism_threads")(tensorflow)
    engine.THREADS = duckdb or engine.THREADS
    run = Run("tiny")
    prepare(run)
    train(run, next_dim=4)
    evaluate_models(run)
    return 0


def compare(root: Path) -> int:
    """Compare the last two reports."""
    return comparison.main([])


def write_lists(root: Path) -> int:
    """Write the lists of the run `tiny`."""
    return recommend(["RUN=tiny"])


KILL = {"name": "", "at": 0}  # the process that kills itself and its group, and before which change


def watch_changes(name: str) -> None:
    """Count this process's changes of the file system in the file changes-<name>, and kill it before one of them."""
    process, counted = os.getpid(), os.open(f"changes-{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+")
        if os.getpid() == process and (event in CHANGES or writes):
            count += 1
            os.pwrite(counted, b"%d" % count, 0)
            if count == KILL["at"] and name == KILL["name"]:
                os.kill(process, signal.SIGKILL)

    sys.addaudithook(hook)


def leave(status: int) -> None:
    """End a fork without the clean-up of its parent."""
    sys.stdout.flush()
    os._exit(status)


def _call(root: Path, kill: tuple[str, int], function: Callable[..., int], *arguments: Any) -> None:
    """Be the process of `start`: run the function in the folder and leave with its status."""
    os.setpgid(0, 0)
    os.chdir(root)
    output = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    (root / "tmp").mkdir(exist_ok=True)
    tempfile.tempdir = str(root / "tmp")
    KILL.update(name=kill[0], at=kill[1])
    watch_changes("command")
    status = 1
    try:
        status = function(root, *arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    leave(status)


def start(root: Path, function: Callable[..., int], *arguments: Any, kill: tuple[str, int] = ("", 0)) -> Any:
    """Start a function in a fork with its own process group, in the folder `root`; its output goes to the file log.

    `kill` names a process, "command" or a step, and before which of its changes of the file system it is killed.
    """
    process = FORKS.Process(target=_call, args=(root, kill, function, *arguments))
    with pytest.MonkeyPatch.context() as patch:  # the server of Python 3.11 finds modules by PYTHONPATH alone
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (HERE, *HERE.parents[:2]))))
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        forkserver.ensure_running()
    process.start()
    return process


def command(root: Path, *arguments: str, **options: Any) -> subprocess.Popen:
    """Start `make reports` with papermill in the folder `root`; its files for a time are in `root`/tmp."""
    (root / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "TMPDIR": str(root / "tmp")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "recsys.reports", f"--notebooks={root / 'notebooks'}", *arguments]
    return subprocess.Popen(command, cwd=root, env=environment, **pipes | options)


def finish(process: Any, seconds: float = 60) -> int:
    """Wait for a process, and return its exit status; kill it if it takes too long."""
    process.join(seconds)
    if process.exitcode is None:
        kill_group(process.pid)
        process.join()
        return -99
    return process.exitcode


def kill_group(number: int) -> None:
    """Kill the process group, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)


def figures(folder: Path) -> Any:
    """Return the figures in the metrics.json of a folder, without times."""
    return timeless(read_json(folder / "metrics.json"))


def weights(path: Path) -> str:
    """Return a hash of a model's ids and vectors."""
    arguments, tables = read_model(path)
    ids = repr([arguments["user_ids"], arguments["item_ids"]]).encode()
    return hashlib.sha256(ids + b"".join(each.tobytes() for each in tables)).hexdigest()


def half_reports(reports: Path) -> list[str]:
    """Return the names of the folders that look like a report and are none: a file of theirs is missing."""
    wrong = []
    for folder in reports.glob("[!.]*"):
        if folder.is_dir() and folder.name != "comparisons" and not re.search(r"\.(failed|interrupted)$", folder.name):
            record = read_json(folder / "run.json") if (folder / "run.json").exists() else {"files": ["run.json"]}
            wrong += [folder.name] * (not all((folder / name).exists() for name in record["files"]))
    return wrong


def leftovers(*folders: Path) -> list[str]:
    """Return the hidden files and folders in these folders, at any depth, that were being written."""
    return [path.name for folder in folders for path in folder.rglob(".*.partial*")]


def alive(root: Path) -> list[int]:
    """Return the processes that run in the folder `root`; those that are about to end have a second for it."""

    def found() -> list[int]:
        return [each.pid for each in psutil.process_iter(["cwd", "status"])
                if each.info["cwd"] == str(root) and each.info["status"] != psutil.STATUS_ZOMBIE]  # fmt: skip

    wait_until(lambda: not found(), 2)
    return found()


def wait_until(true: Callable[[], Any], seconds: float = 20) -> bool:
    """Return whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(found)
