"""Models, checkpoints, records and searches that an attacker has made: refused before anything in them runs."""

import io
import json
import os
import pickle
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from recsys.files import write_json
from recsys.models.embeddings import Embeddings, load
from recsys.recommend import Recommender
from recsys.runs import Run
from recsys.training import tuning
from recsys.training.history import DIGEST, read_checkpoint

LAMBDA = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}}}
SECRET = b"root:secret"


class Opens:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def model(tmp_path) -> dict[str, bytes]:
    """Return the members of a good model's file."""
    Embeddings(["ann", "bob"], [7, 8, 9], 4).write(tmp_path / "good" / "model.keras")
    with zipfile.ZipFile(tmp_path / "good" / "model.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(folder: Path, members: dict[str, bytes], **options) -> Path:
    """Write a model's file into a new folder."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.keras", "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return folder


def configured(**changes) -> Callable:
    """Return a change of the file's config.json."""

    def change(members: dict[str, bytes], folder: Path) -> dict[str, bytes]:
        config = json.loads(members["config.json"])
        return members | {"config.json": json.dumps(config | changes).encode()}

    return change


def argued(**changes) -> Callable:
    def change(members: dict[str, bytes], folder: Path) -> dict[str, bytes]:
        config = json.loads(members["config.json"])
        return members | {"config.json": json.dumps(config | {"config": config["config"] | changes}).encode()}

    return change


def stored(write: Callable[[h5py.File, Path], None]) -> Callable:
    """Return a change of the file's vectors."""

    def change(members: dict[str, bytes], folder: Path) -> dict[str, bytes]:
        content = io.BytesIO(members["model.weights.h5"])
        (folder / "secret").write_bytes(SECRET)
        with h5py.File(content, "r+") as file:
            del file["vars/0"]
            write(file, folder)
        return members | {"model.weights.h5": content.getvalue()}

    return change


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((2, 4), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "secret"), "x", (2, 4))
    file["vars"].create_virtual_dataset("0", layout)


def module(name: str, function: str) -> dict:
    """Return a config that asks Keras to import a function and to call it."""
    inner = {"module": name, "class_name": "function", "config": function, "registered_name": function}
    return {"layers": [{"module": "keras.layers", "class_name": "Lambda", "config": {"function": inner}}], "name": "m"}


def added(name: str) -> Callable:
    return lambda members, folder: members | {name: b"x"}


FOREIGN = {"registered_name": None, "module": "keras", "class_name": "Functional"}
MODELS: dict[str, Callable] = {
    "CVE-2025-1550, a function by its module": configured(**FOREIGN, config=module("os", "system")),
    "CVE-2025-8747, get_file of keras.utils": configured(**FOREIGN, config=module("keras.utils", "get_file")),
    "CVE-2025-9906, a call that allows what is unsafe": configured(
        **FOREIGN, config=module("keras.config", "enable_unsafe_deserialization")
    ),
    "CVE-2025-9905, HDF5 in place of the zip": None,
    "CVE-2026-0897, a shape without its bytes": stored(
        lambda file, folder: file["vars"].create_dataset("0", (2**31, 2**20), "f4", chunks=(1, 1024))
    ),
    "the shape of the file, without its bytes": stored(
        lambda file, folder: file["vars"].create_dataset("0", (2, 4), "f4", chunks=(1, 4))
    ),
    "CVE-2026-1669, vectors in another file": stored(
        lambda file, folder: file["vars"].create_dataset("0", (2, 4), "f4", external=[(folder / "secret", 0, 32)])
    ),
    "a link to another file": stored(
        lambda file, folder: file["vars"].__setitem__("0", h5py.ExternalLink(str(folder / "secret"), "/x"))
    ),
    "a link inside the file": stored(lambda file, folder: file["vars"].__setitem__("0", h5py.SoftLink("/vars/1"))),
    "a virtual table": stored(virtual),
    "compressed vectors": stored(
        lambda file, folder: file["vars"].create_dataset("0", data=np.zeros((2, 4), "f4"), compression="gzip")
    ),
    "vectors of another kind": stored(lambda file, folder: file["vars"].create_dataset("0", data=np.zeros((2, 4)))),
    "a path upwards in the zip": added("../../outside"),
    "an absolute path in the zip": added("/tmp/outside"),
    "another file in the zip": added("assets/run.py"),
    "a Lambda layer": configured(**LAMBDA, registered_name="Lambda"),
    "a class of another module": configured(registered_name="other>Model", module="os"),
    "a compile config with a function": configured(compile_config=module("os", "system")),
    "more settings": argued(custom_objects={"a": 1}),
    "a negative length": argued(length_of_embedding=-4),
    "a huge length": argued(length_of_embedding=2**40),
    "ids that are no list": argued(user_ids="17"),
    "ids within ids": argued(user_ids="[[1], [2]]"),
    "a deep nest as ids": argued(user_ids="[" * 100_000),
    "a config that is no JSON": lambda members, folder: members | {"config.json": pickle.dumps(Opens(folder / "ran"))},
    "pickle as vectors": lambda members, folder: members | {"model.weights.h5": pickle.dumps(Opens(folder / "ran"))},
}


def test_models(model, tmp_path, count, monkeypatch):
    assert load(tmp_path / "good").n_users == 2
    wrong = []
    before, modules = {*tmp_path.parent.iterdir()}, {*sys.modules}
    for number, (what, change) in enumerate(MODELS.items()):
        folder = tmp_path / str(number)
        members = change(model, tmp_path) if change else {}
        written(folder, members)
        if not change:
            with h5py.File(folder / "model.keras", "w") as file:
                file.attrs["model_config"] = json.dumps({"class_name": "Lambda", **LAMBDA})
        wrong += refusal(what, lambda folder=folder: load(folder), f"{folder.name}/model.keras: expected")
    written(tmp_path / "bomb", model, compression=zipfile.ZIP_DEFLATED)
    wrong += refusal("a compressed zip", lambda: load(tmp_path / "bomb"), "bomb/model.keras: expected")
    assert not (tmp_path / "ran").exists() and {*tmp_path.parent.iterdir()} == before
    assert not {name for name in {*sys.modules} - modules if "unsafe" in name}
    print(*wrong, sep="\n")
    rule = "Refused by name before anything in it runs; no other file is read."
    count("hostile .keras files", len(MODELS) + 1, len(wrong), rule)


def refusal(what: str, read: Callable, message: str) -> list[str]:
    """Return what is wrong, if reading is not refused with this message."""
    try:
        read()
    except ValueError as error:
        return [] if message in str(error) and SECRET.decode() not in str(error) else [f"{what}: {error}"]
    except Exception as error:
        return [f"{what}: {error!r}"]
    return [f"{what}: was read"]


def test_pickles_in_checkpoints(tmp_path, count):
    wrong, pickled = [], np.array([Opens(tmp_path / "ran")], object)
    np.savez(tmp_path / "npz", facts=pickled, allow_pickle=True)
    content = (tmp_path / "npz.npz").read_bytes()
    for number, each in enumerate((content, content + os.urandom(DIGEST), pickle.dumps(Opens(tmp_path / "ran")), b"")):
        (tmp_path / f"checkpoint {number}").write_bytes(each)
        if read_checkpoint(tmp_path / f"checkpoint {number}") != ({}, {}):
            wrong.append(number)
    assert not (tmp_path / "ran").exists()
    count("pickles as a checkpoint", 4, len(wrong), "Not used, and nothing in it runs.")


RECORDS = {
    "prepared": ["/etc", "../../../etc", "data/prepared/../../..", "data/prepared/x/../../y", "data/runs/x"],
    "recipes": [["../../other/author"], ["/etc"], [".."], ["a/b"], [""], ["a\\b\n"]],
    "other_seeds": [["../seed-1"], ["/tmp"]],
}


def test_records_that_point_outside(tmp_path, count):
    wrong, n = [], 0
    for name, values in RECORDS.items():
        for value in values:
            run = Run(f"run-{(n := n + 1)}", tmp_path)
            write_json(run.folder / "run.json", {"recipes": ["author"], "prepared": "data/prepared/x"} | {name: value})
            read = lambda run=run: Recommender.load(run.name, root=tmp_path)  # noqa: E731
            wrong += refusal(f"{name}: {value}", read, f"{run.name}/run.json: expected")
    for name in ("../x", "/etc", "a/b", ".."):
        n += 1
        wrong += refusal(name, lambda name=name: Run(name, tmp_path), "RUN: expected")
    print(*wrong, sep="\n")
    count("records that point outside the project", n, len(wrong), "Refused by name.")


TABLES = {
    "trial_params": ["distribution_json", "param_value"], "trials": ["state", "number"],
    "trial_values": ["value", "value_type"], "study_directions": ["direction"],
}  # fmt: skip


def test_searches_with_pickles(tmp_path, full, count):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    wrong, n = [], 0
    for table, columns in list(TABLES.items())[: None if full else 1]:
        for column in columns:
            path = tmp_path / str(n := n + 1) / tuning.STUDY
            path.parent.mkdir()
            study = tuning._open_study(path)
            study.optimize(lambda trial: trial.suggest_float("gamma", 1, 2), n_trials=1)
            study._storage.remove_session()
            with sqlite3.connect(path) as file:
                value = pickle.dumps(Opens(tmp_path / "ran"))
                file.execute(f"UPDATE {table} SET {column} = ?", [value])
            wrong += refusal(f"{table}.{column}", lambda path=path: tuning._open_study(path).best_trial, "study.db")
    assert not (tmp_path / "ran").exists()
    print(*wrong, sep="\n")
    count("pickles in the database of a search", n, len(wrong), "Refused by name, and nothing in it runs.")
