"""What the notebooks need on Colab: a badge, the same lines at the start, and an install that changes no package."""

import json
import os
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

from recsys import colab
from recsys.reports import surroundings

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
ADDRESS = "https://colab.research.google.com/github/{}/blob/main/notebooks/{}"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> tuple[dict, str, str]:
    """Return a notebook's metadata, its first cell, and the cell for Colab, which follows the parameters."""
    notebook = json.loads(path.read_text())
    (parameters,) = [i for i, cell in enumerate(notebook["cells"]) if "parameters" in cell["metadata"].get("tags", ())]
    first, start = ("".join(notebook["cells"][i]["source"]) for i in (0, parameters + 1))
    return notebook["metadata"], first, start


PIP = [sys.executable, "-m", "pip", "install", "--quiet"]
START = read(NOTEBOOKS[0])[2]  # the lines for Colab, which every notebook has


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_opens_in_colab(path):
    metadata, first, start = read(path)
    assert BADGE.format(ADDRESS.format(REPOSITORY.removeprefix("https://github.com/"), path.name)) in first
    assert start == START, f"expected the lines for Colab of {NOTEBOOKS[0].name}"
    assert f'"git+{REPOSITORY}"' in START
    assert (metadata["accelerator"], metadata["colab"]) == ("GPU", {"gpuType": "T4"})


def test_no_file_names_another_repository():
    for path in (ROOT / "README.md", *NOTEBOOKS):
        names = [word for word in path.read_text().split("github.com/")[1:] if "recsys" in word.split()[0]]
        assert all(f"github.com/{name}".startswith(REPOSITORY.removeprefix("https://")) for name in names), path


@pytest.fixture
def content(tmp_path, monkeypatch) -> tuple[Path, list]:
    """Return a folder like /content, with a substitute for google.colab, and the commands that were called there."""
    calls: list = []
    drive = types.SimpleNamespace(mount=lambda folder: os.makedirs(f"{folder}/MyDrive", exist_ok=True))
    module = types.ModuleType("google.colab")
    module.drive = drive
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command))
    monkeypatch.setattr(colab, "install_missing", lambda: calls.append("missing packages") or [])
    monkeypatch.chdir(tmp_path)
    return tmp_path, calls


def start(use_drive: bool = False) -> dict:
    names = {"USE_DRIVE": use_drive, "DRIVE_FOLDER": "music"}
    exec(START, names)
    return names


def test_it_installs_once_without_dependencies_in_the_same_folder(content):
    folder, calls = content
    names = start()
    assert names["project"] == str(Path.cwd()) == str(folder)
    assert calls == [PIP + ["--no-deps", f"git+{REPOSITORY}"], "missing packages"]
    exec(START, names)
    assert len(calls) == 2


def test_it_installs_a_wheel_in_the_folder(content):
    folder, calls = content
    (folder / "recsys-0.1.0-py3-none-any.whl").touch()
    start()
    assert calls[0] == PIP + ["--no-deps", "recsys-0.1.0-py3-none-any.whl"]


def test_it_can_work_on_google_drive(content):
    folder, _ = content
    assert start(use_drive=True)["project"] == str(Path.cwd()) == str(folder / "drive" / "MyDrive" / "music")


def test_outside_colab_it_does_nothing(content, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab")
    start()
    assert content[1] == [] and Path.cwd() == content[0]


def test_only_missing_packages_are_installed_and_all_others_keep_their_versions(monkeypatch):
    calls: list[tuple[list[str], str]] = []
    installed = [types.SimpleNamespace(name=name, version=v) for name, v in (("NumPy", "2.1.3"), ("numpy", "1.0"))]
    required = ["numpy>=2.0", "implicit>=0.7.3", "x-y[z]>1 ; python_version < '3'", "rich ; extra == 'lab'"]
    monkeypatch.setattr(surroundings.metadata, "distributions", lambda: iter(installed))
    monkeypatch.setattr(surroundings.metadata, "requires", lambda name: required)
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append((command, Path(command[6]).read_text())))
    assert colab.install_missing() == ["implicit>=0.7.3"]
    ((command, constraints),) = calls
    assert command[5] == "--constraint" and command[7:] == ["implicit>=0.7.3"] and constraints == "numpy===2.1.3\n"
    installed.append(types.SimpleNamespace(name="implicit", version="0.9"))
    assert colab.install_missing() == [] and len(calls) == 1
