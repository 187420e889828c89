"""JupyterLab, started as by `make lab`, in a real browser: notebooks are opened and run from the menu."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Page, needs_browser, open_browser, stop, until
from conftest import REPOSITORY

NOTEBOOKS = ("01_prepare", "02_train", "04_explore")  # progress of a training, and the explorer in a frame
TOKEN = "of-this-test"
SETTINGS = {"ServerApp": {"allow_root": True, "open_browser": False}, "IdentityProvider": {"token": TOKEN}}
SMALL = [("RECIPES", r'str = \"author best\"', r'str = \"author\"'), ("EPOCHS", "int = 0", "int = 1")]
READY = (".jp-Toolbar-kernelName[aria-label*=ipykernel]", ".jp-Notebook-ExecutionIndicator[data-status=idle]")

pytestmark = needs_browser


def choose(page: Page, menu: str, command: str) -> None:
    """Choose a command from a menu of JupyterLab."""
    page.click(f"[...document.querySelectorAll('.lm-MenuBar-item')].find(e => e.innerText == '{menu}')")
    page.click(f"""document.querySelector('.lm-Menu-item[data-command="{command}"]')""")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with the notebooks, whose defaults are changed so that they take little time."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").touch()
    (folder / "notebooks").mkdir()
    for path in (REPOSITORY / "notebooks").glob("*.ipynb"):
        text = path.read_text()
        for name, default, value in SMALL:
            text = text.replace(f"{name}: {default}", f"{name}: {value}")
        (folder / "notebooks" / path.name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def server(project, tmp_path_factory) -> Iterator[str]:
    """The address of a server that is started with the command of `make lab`."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.check_output(["make", "-n", "lab", f"VENV={sys.prefix}"], cwd=REPOSITORY, env=alone, text=True)
    home = tmp_path_factory.mktemp("jupyter")
    (home / "jupyter_server_config.json").write_text(json.dumps(SETTINGS))
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("DATA", "RUNTIME")}
    folders |= {"JUPYTER_CONFIG_DIR": str(home), "JUPYTERLAB_SETTINGS_DIR": str(home), "PYTHONPATH": str(REPOSITORY)}
    folders |= {"JUPYTERLAB_WORKSPACES_DIR": str(home), "JUPYTER_PREFER_ENV_PATH": "1"}
    with open(home / "log", "w") as log:
        streams = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}
        command = shlex.split(shown.splitlines()[-1])
        process = subprocess.Popen(command, cwd=project, env=os.environ | folders, process_group=0, **streams)
    try:
        yield until(60, lambda: re.search(r"http://127\S+:\d+/", (home / "log").read_text()), "a server")[0]
    finally:
        stop(process)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_the_menu_without_an_error(project, server, page, name):
    page.call("Page.navigate", url=f"{server}lab/tree/notebooks/{name}.ipynb?reset&token={TOKEN}")
    until(60, lambda: all(page.value(f"!!document.querySelector('{each}')") for each in READY), "a kernel that is idle")
    choose(page, "Run", "runmenu:run-all")
    saved = project / "notebooks" / f"{name}.ipynb"

    def cells() -> list[dict[str, Any]]:
        choose(page, "File", "docmanager:save")
        time.sleep(1)
        code = [cell for cell in json.loads(saved.read_text())["cells"] if cell["cell_type"] == "code"]
        failed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
        return code if failed or all(cell["execution_count"] for cell in code) else []

    code = until(240, cells, f"all cells of {name} run")
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output["evalue"] for output in outputs if output["output_type"] == "error"]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert "Error displaying widget" not in page.value("document.body.innerText")
    if name == "04_explore":
        frame = Page(page.port, "iframe")
        until(60, lambda: frame.value("document.querySelectorAll('#song li').length") == 10, "the explorer")
