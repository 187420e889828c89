"""`make train` trains a run, alone or with workers; docs/scale.md is true as far as one machine can tell."""

import json
import os
import re
import subprocess

import pytest
from conftest import REPOSITORY

from recsys import train_run, workflow
from recsys.files import read_json, write_json
from recsys.runs import Run

PAGE = (REPOSITORY / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").symlink_to(REPOSITORY / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    return tmp_path


def test_the_command_trains_a_run_and_says_what_is_wrong(root, capsys, monkeypatch):
    assert train_run.main(["RUN=new", "RECIPES=author"]) == 2
    assert "run 'new': expected prepared data" in capsys.readouterr().err
    short = ["RUN=new", "RECIPES=author", "EPOCHS=1"]
    assert train_run.main([*short, "DATASET=sample"]) == 0
    run, split = Run("new", root), workflow.open_split(Run("new", root))
    assert workflow.open_models(run)[2]["author"]["status"] == "finished"
    for arguments, message in (
        (["WORKERS=0"], "WORKERS: expected 1 or more, got 0"), (["WORKER=2"], "nearest: WORKERS"),
        (["WORKERS=2", "RECIPES=none"], "RECIPES: expected one of author,"),
        (["SPLIT=random"], "SPLIT: expected a DATASET or DATA_PATH too"),
    ):  # fmt: skip
        assert train_run.main(["RUN=new", *arguments]) == 2 and message in capsys.readouterr().err
    with run.lock():
        assert train_run.main(short) == 2 and "expected a run that no other command writes" in capsys.readouterr().err

    started = []
    monkeypatch.setattr(train_run, "run_workers", lambda *what: started.append(what))
    assert train_run.main([*short, "WORKERS=2", "DATASET=sample"]) == 0  # the data are not for workers
    ((n, command),) = started
    assert n == 2 and command[1:] == ["-m", "recsys.train_run", *short]
    for error, message in ((RuntimeError("worker 1 of 2 was killed"), "worker 1 of 2 was killed"),
                           (KeyboardInterrupt(), "interrupted")):  # fmt: skip
        monkeypatch.setattr(train_run, "run_workers", lambda *what, error=error: (_ for _ in ()).throw(error))
        assert train_run.main([*short, "WORKERS=2"]) == 1
        assert f"make train: {message}; the same command continues from the checkpoint" in capsys.readouterr().err

    path = run.folder / "author" / "history.json"
    history = read_json(path)
    history["inputs"]["machine"], history["inputs"]["xla"] = ["that of the workers"], False
    recipes = workflow.choose_recipes(run, split, "author", epochs=1)
    write_json(path, history | {"workers": 2})
    assert workflow.train_run(run, split, recipes)["author"].reused
    write_json(path, history)
    assert not workflow.train_run(run, split, recipes)["author"].reused


def test_the_lines_for_clusters_give_each_worker_its_config(tmp_path):
    """With stand-ins for Slurm and make: two nodes, and the second pod of two."""
    stand_ins = {
        "scontrol": "echo node1; echo node2", "srun": 'for id in 0 1; do SLURM_PROCID=$id "$@"; done',
        "make": 'echo "$TF_CONFIG"',
    }  # fmt: skip
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "N": "2", "JOB_COMPLETION_INDEX": "1"}
    slurm, kubernetes = re.findall(r"^```\n(hosts.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for block, hosts, indices in (
        (slurm, ["node1:12345", "node2:12345"], [0, 1]),
        (kubernetes, ["train-0.train:12345", "train-1.train:12345"], [1]),
    ):
        assert len(block.splitlines()) == 3
        printed = subprocess.check_output(["sh", "-c", block.replace("<run>", "x")], env=environment, text=True)
        expected = [{"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}} for index in indices]
        assert [json.loads(line) for line in printed.splitlines()] == expected


def test_the_sizes_of_yambda_follow_from_the_formulas():
    users, songs, n, batch, negatives = 1_000_000, 9_400_000, 8, 2048, 1024
    rows = 2 * batch / n + negatives
    shown = re.findall(r"^\| (\d+) \| ([\d.]+) GB " + r"\| ([\d.]+) [GM]B " * 5 + r"\|$", PAGE, re.MULTILINE)
    assert [int(each[0]) for each in shown] == [64, 128, 256]
    for dim, *figures in shown:
        table, row = 4 * int(dim) * (users + songs) / 1e9, rows * (4 * int(dim) + 4) / 1e6
        dense = 2 * (n - 1) / n * 4 * int(dim) * songs / 1e9
        expected = [table, 3 * table, 3 * table / n, (n - 1) * row, 2 * (n - 1) / n * row, dense]
        assert [float(each) for each in figures] == pytest.approx(expected, abs=0.005)
    for gigabytes, millions in ((16, 10.4), (80, 52.1)):
        assert gigabytes * 1e9 / (12 * 128) / 1e6 == pytest.approx(millions, abs=0.05)
        assert f"{millions} " in PAGE.replace("\n  ", " ")
