"""`make diff` in a real clone: it shows a change of a notebook cell by cell, without the file's JSON."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import REPOSITORY

SETTINGS = (REPOSITORY / "tools" / "setup.sh").read_text()


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone with this environment, whose git is set up for nbdime by the lines of setup.sh."""
    where = tmp_path / "clone"
    if subprocess.run(["git", "clone", "--quiet", REPOSITORY, where], capture_output=True).returncode:
        pytest.skip("not a git checkout")
    (where / ".venv").symlink_to(sys.prefix)
    lines = [line.strip() for line in SETTINGS.splitlines() if line.strip().startswith("git config")]
    assert len(lines) == 3
    subprocess.run(["sh", "-ec", "\n".join(lines)], cwd=where, check=True)
    return where


@pytest.mark.skipif(not shutil.which("git") or not shutil.which("make"), reason="needs git and make")
def test_a_change_is_shown_cell_by_cell(clone):
    path = clone / "notebooks" / "02_train.ipynb"
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    cell.source = cell.source.replace("SEED: int = 0", "SEED: int = 7")
    notebook.cells.append(nbformat.v4.new_markdown_cell("A sentence more."))
    nbformat.write(notebook, path)

    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "VENV"}
    command = subprocess.check_output(["make", "-n", "diff"], cwd=clone, env=environment, text=True).splitlines()[-1]
    done = subprocess.run(command, shell=True, cwd=clone, env=environment, capture_output=True, text=True, check=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    starts = ["nbdiff ", "## modified /cells/1/source:", "-SEED: int = 0", "+SEED: int = 7", "## inserted"]
    assert [start for start in starts if f"\n{start}" not in f"\n{shown}"] == []
    assert "A sentence more." in shown and '"source": [' not in shown and '"cell_type"' not in shown
