"""Runs every notebook of the last commit in the folder argv[1]/content as Colab would; called by tools/colab.sh.

A substitute for `google.colab` is installed, and git replaces the repository's address with this clone. The notebooks
do everything else themselves.
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
drive = types.SimpleNamespace(mount=lambda folder: os.makedirs(folder + "/MyDrive"))
sys.modules["google.colab"] = types.ModuleType("google.colab")
sys.modules["google.colab"].drive = drive
"""
DRIVE = ("USE_DRIVE: bool = False", "USE_DRIVE: bool = True")


def run(notebook: Path, content: Path, old: str = "", new: str = "") -> str:
    """Run a notebook in the folder `content` with one text replaced, and return what the cell for Colab printed."""
    start = time.monotonic()
    cells = nbformat.read(notebook, as_version=4)
    for cell in cells.cells if old else ():
        cell.source = cell.source.replace(old, new)
    NotebookClient(cells, timeout=600, kernel_name="python3", resources={"metadata": {"path": content}}).execute()
    code = [cell for cell in cells.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code if cell.source), notebook
    print(f"{notebook.stem}{new and f' with {new}'}: finished in {time.monotonic() - start:.0f} s", flush=True)
    return "".join(output.get("text", "") for output in code[1].outputs)  # code[0] is the parameters cell


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
        printed = run(notebook, content)
        assert notebook != notebooks[0] or ("implicit" in printed and "papermill" in printed), printed
    assert (content / "data" / "runs" / "sample" / "metrics.json").exists()

    with_wheel = fresh / "with-wheel"
    with_wheel.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "uninstall", "--yes", "recsys"], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", with_wheel, source], check=True)
    run(notebooks[0], with_wheel, *DRIVE)
    drive = with_wheel / "drive" / "MyDrive" / "recommender"
    assert (drive / "data" / "runs" / "sample" / "run.json").exists()

    after = {each.name: each.version for each in metadata.distributions()}
    changed = {name for name, version in before.items() if after.get(name) != version}
    assert not changed, f"expected Colab's own packages to keep their versions, got others of {changed}"
    print("installed:", *sorted(f"{name} {after[name]}" for name in after.keys() - before.keys()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
