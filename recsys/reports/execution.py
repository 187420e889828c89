"""Executes one notebook by papermill in its own process and kernel, shows progress, and checks that every cell ran."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil

from recsys.files import read_json, temporary_folder
from recsys.reports.surroundings import clean_environment

QUIET = 30.0  # in a log file, seconds between two lines about the same cell
LAUNCHER = Path(__file__).with_name("launcher.py")
CAUSES = {"DeadKernelError": "the kernel died", "CellTimeoutError": "the cell took longer than --timeout"}


class RunFailed(Exception):
    """A notebook did not run to its end: what happened in which cell, the details to show, and the name of the error.

    Its `args` are the first two.
    """

    def __init__(self, message: str, details: str, error: str = ""):
        super().__init__(message, details)
        self.error = error


def execute(source: Path, target: Path, values: dict[str, Any], root: Path, timeout: int = 0) -> None:
    """Execute `source` with parameter `values` in the folder `root` and write the executed notebook to `target`.

    The kernel has ended when this returns. `timeout` is for a cell, in seconds; 0: no limit. Raises RunFailed, whose
    message has paths as they were typed.
    """
    try:
        _execute(source, target, values, root, timeout)
    finally:
        _clean(target, root)


def _execute(source: Path, target: Path, values: dict[str, Any], root: Path, timeout: int) -> None:
    cells = nbformat.read(source, as_version=4).cells
    code = [cell.cell_type == "code" for cell in cells]
    if values:  # papermill inserts a cell with them after the tagged one
        code.insert(1 + ["parameters" in cell.metadata.get("tags", ()) for cell in cells].index(True), False)
    where, log, running = source.stem, [], False
    last_shown = started = time.monotonic()
    with temporary_folder() as folder:
        process = _papermill(source, target, values, root, timeout, folder)
        try:
            for line in process.stdout or ():  # text mode makes a line end of each \r
                log.append(line.rstrip())
                mark, now = re.match("(Executing|Ending) Cell ([0-9]+)-", line), time.monotonic()
                running = mark[1] == "Executing" if mark else running
                printed = log[-1] if running and not mark else ""  # between cells speak papermill and the kernel's end
                if mark and running and code[int(mark[2]) - 1]:
                    where = f"{source.stem}, cell {sum(code[: int(mark[2])])} of {sum(code)}"
                elif not printed or (now - last_shown < QUIET and not sys.stdout.isatty()):
                    continue
                progress, printed = f"{where}, {now - started:.0f} s", re.sub("[^ -~–…]", "", printed)
                if sys.stdout.isatty():  # a line replaces the one before
                    print(f"\r\x1b[2K{progress}  {printed[:60]}", end="", flush=True)
                else:
                    print(f"{progress}  {printed}".rstrip(), flush=True)
                last_shown = now
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(f"{where}: interrupted by {interrupt}") from None
        finally:
            print(end="\n" * sys.stdout.isatty())
            with contextlib.suppress(psutil.NoSuchProcess):
                for each in (*psutil.Process(process.pid).children(recursive=True), process):
                    each.kill()
            process.wait()
    _check(target, cells[-1].source, process.returncode, log, where)


def _papermill(source: Path, target: Path, values: dict, root: Path, timeout: int, folder: Path) -> subprocess.Popen:
    kernel = {"argv": [sys.executable, str(LAUNCHER), "-f", "{connection_file}"], "language": "python"}
    (folder / "kernels" / "python3").mkdir(parents=True)
    specification = json.dumps({**kernel, "display_name": "Python 3"})
    (folder / "kernels" / "python3" / "kernel.json").write_text(specification, encoding="utf-8")
    arguments = {
        "input_path": str(source), "output_path": str(target), "parameters": values, "cwd": str(root),
        "kernel_name": "python3", "language": "python", "execution_timeout": timeout or None,
        "progress_bar": False, "log_output": True,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "recsys.reports.kernel", json.dumps(arguments), json.dumps(_channels(folder))],
        env=clean_environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", process_group=0,
    )  # fmt: skip


def _channels(folder: Path) -> dict[str, str]:
    """Return settings for Unix sockets in `folder`, or none if the system refuses one, as for a long path.

    A kernel with TCP ports dies if another process takes one of them before it starts.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trial:
        trial.bind(str(folder / "kernel-0"))
        return {"transport": "ipc", "ip": str(folder / "kernel")}
    return {}


def _check(target: Path, last: str, status: int, log: list[str], where: str) -> None:
    """Raise RunFailed unless papermill succeeded and every cell ran, including the last, whose source is `last`."""
    for name, cause in CAUSES.items():
        if any(line.startswith(f"nbclient.exceptions.{name}") for line in log):
            raise RunFailed(f"{where}: {cause}", "\n".join(log[-5:]), name)
    cells = nbformat.read(target, as_version=4).cells if target.exists() else []
    outputs = [each for cell in cells for each in cell.get("outputs", ())]
    for output in (each for each in outputs if each.output_type == "error"):
        raise RunFailed(f"{where}: {output.ename}: {output.evalue}", "\n".join(output.traceback), output.ename)
    for data in (each["data"] for each in outputs if "data" in each):
        if str(data.get("text/plain", "")).startswith("<Figure size") and "image/png" not in data:
            raise RunFailed(f"{target.stem}: expected a picture of each figure, got {data['text/plain']}", "")
    if status:
        cause = f" ({log[-1]})" if status > 0 and log else ""
        raise RunFailed(f"{where}: papermill stopped with status {status}{cause}", "\n".join(log[-5:]))
    idle = [each.source for each in cells if each.cell_type == "code" and each.source and not each.execution_count]
    own = [each.source for each in cells if "injected-parameters" not in each.metadata.get("tags", ())]
    if idle or own[-1] != last:
        raise RunFailed(f"{where}: the notebook ended before its last cell", "\n".join(idle[:1]))


def _clean(notebook: Path, root: Path) -> None:
    """Remove this machine's folders and embedded pages from an executed notebook. An incomplete file stays as it is.

    Of an output that is a page in a frame, its other form stays, such as a link.
    """
    with contextlib.suppress(OSError, ValueError):
        content = read_json(notebook)
        content["metadata"]["papermill"] |= {"input_path": notebook.name, "output_path": notebook.name}
        for data in (each["data"] for cell in content["cells"] for each in cell.get("outputs", ()) if "data" in each):
            if len(data) > 1 and "".join(data.get("text/html", ""))[:7] == "<iframe":
                del data["text/html"]
        text = json.dumps(content, indent=1, ensure_ascii=False)
        notebook.write_text(hide_paths(text, root) + "\n", encoding="utf-8")


def hide_paths(text: str, root: Path) -> str:
    """Return text, or JSON text, without this machine's folders: `root` becomes a dot, the others a word."""
    names = {sys.base_prefix: "python", str(Path(__file__).resolve().parents[2]): ".", str(root): "."}
    names |= {sys.prefix: "environment", str(Path.home()): "~", tempfile.gettempdir(): "temporary"}
    paths = "|".join(re.escape(path) for path in sorted(names, key=len, reverse=True) if len(path) > 1)
    return re.sub(rf"(?:(?<![\w/+.-])|(?<=\\n|\dm))(?:{paths})(?![\w+.-])", lambda match: names[match[0]], text)
