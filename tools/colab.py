"""Runs every notebook of the last commit in `argv[1]`/content as Colab would; called by tools/colab.sh.

`google.colab` is a stand-in and the repository's address leads to this clone; all else is the notebooks' own doing.
"""

import os
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
COLAB = """import os, sys, types
import numpy
drive = types.SimpleNamespace(mount=lambda place: os.makedirs(place + "/MyDrive"))
sys.modules["google.colab"] = types.ModuleType("google.colab")
sys.modules["google.colab"].drive = drive
"""
DRIVE = ("USE_DRIVE: bool = False", "USE_DRIVE: bool = True")


def run(notebook: Path, content: Path, *change: str) -> str:
    """Run a notebook in the folder `content`, a text in it changed to another; return what its first cell printed."""
    began = time.monotonic()
    cells = nbformat.read(notebook, as_version=4)
    for cell in cells.cells if change else ():
        cell.source = cell.source.replace(*change)
    NotebookClient(cells, timeout=600, kernel_name="python3", resources={"metadata": {"path": content}}).execute()
    code = [cell for cell in cells.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code if cell.source), notebook
    print(f"{notebook.stem} ran to its end in {time.monotonic() - began:.0f} s", *change[1:], flush=True)
    return "".join(output.get("text", "") for output in code[1].outputs)


def main(fresh: Path) -> None:
    startup = fresh / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "colab.py").write_text(COLAB)
    os.environ["IPYTHONDIR"] = str(fresh / "ipython")
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    os.environ |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": address}
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.environ["GIT_CONFIG_KEY_0"] = f"url.{ROOT.as_uri()}.insteadOf"
    before = {each.name: each.version for each in metadata.distributions()}

    source = fresh / "source"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", address, source], check=True)
    notebooks = sorted((source / "notebooks").glob("*.ipynb"))
    content = fresh / "content"
    content.mkdir()
    for notebook in notebooks:
        said = run(notebook, content)
        assert notebook != notebooks[0] or ("implicit" in said and "papermill" in said), said
    assert (content / "data" / "runs" / "sample" / "metrics.json").exists()

    beside = fresh / "beside"
    beside.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "uninstall", "--yes", "recsys"], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", beside, source], check=True)
    run(notebooks[0], beside, *DRIVE)
    kept = beside / "drive" / "MyDrive" / "recommender"
    assert (kept / "data" / "runs" / "sample" / "run.json").exists()

    after = {each.name: each.version for each in metadata.distributions()}
    moved = {name for name, version in before.items() if after.get(name) != version}
    assert not moved, f"expected every package that was there to stay; moved: {moved}"
    print("added:", *sorted(f"{name} {after[name]}" for name in after.keys() - before.keys()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
