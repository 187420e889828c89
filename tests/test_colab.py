"""What Colab needs of the notebooks: a badge, one first cell for all, and an install that moves nothing."""

import json
import os
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

from recsys import colab

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
OPENED = "https://colab.research.google.com/github/{}/blob/main/notebooks/{}"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> tuple[dict, list[str], int]:
    """A notebook's metadata, its cells' sources, and the place of the cell after the parameters."""
    notebook = json.loads(path.read_text())
    tagged = [i for i, cell in enumerate(notebook["cells"]) if "parameters" in cell["metadata"].get("tags", ())]
    return notebook["metadata"], ["".join(cell["source"]) for cell in notebook["cells"]], tagged[0] + 1


PIP = [sys.executable, "-m", "pip", "install", "--quiet"]
FIRST = read(NOTEBOOKS[0])[1][read(NOTEBOOKS[0])[2]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_opens_in_colab(path):
    metadata, cells, first = read(path)
    assert BADGE.format(OPENED.format(REPOSITORY.removeprefix("https://github.com/"), path.name)) in cells[0]
    assert cells[first] == FIRST, f"expected the cell after the parameters to be that of {NOTEBOOKS[0].name}"
    assert f'"git+{REPOSITORY}"' in FIRST
    assert (metadata["accelerator"], metadata["colab"]) == ("GPU", {"gpuType": "T4"})


def test_no_file_names_another_repository():
    for path in (ROOT / "README.md", *NOTEBOOKS):
        names = [word for word in path.read_text().split("github.com/")[1:] if "recsys" in word.split()[0]]
        assert all(f"github.com/{name}".startswith(REPOSITORY.removeprefix("https://")) for name in names), path


@pytest.fixture
def content(tmp_path, monkeypatch) -> tuple[Path, list]:
    """A folder like /content with a stand-in for google.colab, and the commands that were called there."""
    calls: list = []
    drive = types.SimpleNamespace(mount=lambda place: os.makedirs(f"{place}/MyDrive", exist_ok=True))
    module = types.ModuleType("google.colab")
    module.drive = drive
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command))
    monkeypatch.setattr(colab, "install_missing", lambda: calls.append("what is missing") or [])
    monkeypatch.chdir(tmp_path)
    return tmp_path, calls


def start(use_drive: bool = False) -> dict:
    names = {"USE_DRIVE": use_drive, "DRIVE_FOLDER": "music"}
    exec(FIRST, names)
    return names


def test_it_installs_once_without_dependencies_and_stays(content):
    where, calls = content
    names = start()
    assert names["project"] == str(Path.cwd()) == str(where)
    assert calls == [PIP + ["--no-deps", f"git+{REPOSITORY}"], "what is missing"]
    exec(FIRST, names)
    assert len(calls) == 2


def test_it_takes_a_wheel_that_lies_beside(content):
    where, calls = content
    (where / "recsys-0.1.0-py3-none-any.whl").touch()
    start()
    assert calls[0] == PIP + ["--no-deps", "recsys-0.1.0-py3-none-any.whl"]


def test_drive_keeps_the_data(content):
    where, _ = content
    assert start(use_drive=True)["project"] == str(Path.cwd()) == str(where / "drive" / "MyDrive" / "music")


def test_elsewhere_it_does_nothing(content, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab")
    start()
    assert content[1] == [] and Path.cwd() == content[0]


def test_only_what_is_missing_is_installed_and_all_else_is_held(monkeypatch):
    calls: list[tuple[list[str], str]] = []
    there = [types.SimpleNamespace(name=name, version=v) for name, v in (("NumPy", "2.1.3"), ("numpy", "1.0"))]
    wanted = ["numpy>=2.2", "implicit>=0.7.3", "x-y[z]>1 ; python_version < '3'", "rich ; extra == 'lab'"]
    monkeypatch.setattr(colab.metadata, "distributions", lambda: iter(there))
    monkeypatch.setattr(colab.metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append((command, Path(command[6]).read_text())))
    assert colab.install_missing() == ["implicit>=0.7.3"]
    ((command, held),) = calls
    assert command[5] == "--constraint" and command[7:] == ["implicit>=0.7.3"] and held == "numpy===2.1.3\n"
    there.append(types.SimpleNamespace(name="implicit", version="0.1"))
    assert colab.install_missing() == [] and len(calls) == 1
