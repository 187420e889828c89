"""JupyterLab, started as by `make lab`, in a real browser: every notebook is opened and run from the menu."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

NOTEBOOKS = sorted(path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb"))
BROWSER = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--remote-debugging-port=0", "--window-size=1400,1000"]
TOKEN = "of-this-test"
SETTINGS = {"ServerApp": {"allow_root": True, "open_browser": False}, "IdentityProvider": {"token": TOKEN}}
PLACE = "(e => e && (r => [r.x + r.width / 2, r.y + r.height / 2])(e.getBoundingClientRect()))({})"
SMALL = [("RECIPES", r'str = \"author best\"', r'str = \"author\"'), ("EPOCHS", "int = 0", "int = 1")]
SMALL += [("BASELINES", r'str = \"random popularity itemknn ease als markov-knn\"', r'str = \"popularity\"')]
READY = (".jp-Toolbar-kernelName[aria-label*=ipykernel]", ".jp-Notebook-ExecutionIndicator[data-status=idle]")

pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine: apt-get install chromium")


def until(seconds: float, find: Callable[[], Any], wanted: str) -> Any:
    """Call `find` until it returns something, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, f"expected {wanted} within {seconds} s"
        time.sleep(0.2)
    return found


class Page:
    """A browser's page, controlled by the DevTools protocol."""

    def __init__(self, port: str):
        from websocket import create_connection

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as listed:
            (page,) = [each for each in json.load(listed) if each["type"] == "page"]
        self.socket = create_connection(page["webSocketDebuggerUrl"], suppress_origin=True, timeout=60)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.socket.send(json.dumps({"id": 1, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != 1:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def click(self, element: str) -> None:
        """Click on the element that a JavaScript expression returns, as soon as there is one."""
        x, y = until(60, lambda: self.value(PLACE.format(element)), element)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def choose(self, menu: str, command: str) -> None:
        """Choose a command from a menu of JupyterLab."""
        self.click(f"[...document.querySelectorAll('.lm-MenuBar-item')].find(e => e.innerText == '{menu}')")
        self.click(f"""document.querySelector('.lm-Menu-item[data-command="{command}"]')""")


def stop(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


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
    profile = tmp_path_factory.mktemp("browser")
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    port = profile / "DevToolsActivePort"
    try:
        yield Page(until(30, lambda: port.exists() and port.read_text().split(), "a browser")[0])
    finally:
        stop(process)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_the_menu_without_an_error(project, server, page, name):
    page.call("Page.navigate", url=f"{server}lab/tree/notebooks/{name}.ipynb?reset&token={TOKEN}")
    until(60, lambda: all(page.value(f"!!document.querySelector('{each}')") for each in READY), "a kernel that is idle")
    page.choose("Run", "runmenu:run-all")
    saved = project / "notebooks" / f"{name}.ipynb"

    def cells() -> list[dict[str, Any]]:
        page.choose("File", "docmanager:save")
        time.sleep(1)
        code = [cell for cell in json.loads(saved.read_text())["cells"] if cell["cell_type"] == "code"]
        failed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
        return code if failed or all(cell["execution_count"] for cell in code) else []

    code = until(240, cells, f"all cells of {name} run")
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output["evalue"] for output in outputs if output["output_type"] == "error"]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert "Error displaying widget" not in page.value("document.body.innerText")
