"""A real browser for tests: Chromium without a window, controlled by the DevTools protocol."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine: apt-get install chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--disable-default-apps"]
PLACE = "(e => e && (r => [r.x + r.width / 2, r.y + r.height / 2])(e.getBoundingClientRect()))({})"
KEYS = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "Tab": 9}


def until(seconds: float, find: Callable[[], Any], wanted: str) -> Any:
    """Call `find` until it returns something, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, f"expected {wanted} within {seconds} s"
        time.sleep(0.1)
    return found


class Page:
    """A browser's page, or the frame in it. `events` are what it reports, once their domain is enabled."""

    def __init__(self, port: str, kind: str = "page"):
        from websocket import create_connection

        def listed() -> list[str]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                return [each["webSocketDebuggerUrl"] for each in json.load(answer) if each["type"] == kind]

        (address,) = until(60, listed, f"a {kind}")
        self.port, self.socket = port, create_connection(address, suppress_origin=True, timeout=60)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.socket.send(json.dumps({"id": 1, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != 1:
            self.events.append(answer)
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

    def type(self, text: str) -> None:
        """Type text where the focus is."""
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="char", text=letter)

    def press(self, key: str) -> None:
        """Press a key that writes nothing."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            own = text if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **own)


def stop(process: subprocess.Popen) -> None:
    """End a process and all that it has started."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


@contextlib.contextmanager
def open_browser(profile: Path, size: str = "1400,1000") -> Iterator[Page]:
    """Start a browser with an empty profile in the folder `profile`, and end it afterwards."""
    own = ["--remote-debugging-port=0", f"--window-size={size}", f"--user-data-dir={profile}", "about:blank"]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([str(BROWSER), *FLAGS, *own], process_group=0, **streams)
    port = profile / "DevToolsActivePort"
    try:
        yield Page(until(30, lambda: port.exists() and port.read_text().split(), "a browser")[0])
    finally:
        stop(process)
