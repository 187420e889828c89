"""Runs the notebooks into a dated report: python -m recsys.reports [--help] [NAME=value …]

The notebooks are those of the folder whose names start with the numbers --first to --last, in that order, each in a
process and a kernel of its own. NAME is a parameter that one of them declares.
"""

import argparse
import contextlib
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat

from recsys.reports import reuse
from recsys.reports.execution import RunFailed, execute, hide_paths
from recsys.reports.pages import index_page, notebook_page, report_page
from recsys.reports.parameters import read_parameters, read_values
from recsys.runs import Run, project_root, read_json, run_of, sha256, write_atomically, write_json

PACKAGES = "tensorflow keras numpy pandas pyarrow scipy ibis-framework duckdb implicit papermill nbconvert"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def make_report(
    notebooks: Sequence[Path], values: dict[str, Any], root: Path, reports: Path, timeout: int = 0, named: str = ""
) -> tuple[int, Path]:
    """Run `notebooks` with `values` into a new folder of `reports`; return the exit status, and the page or run.json.

    It becomes a report only when every notebook ran to its end; else it keeps a name ending in .failed or .interrupted.
    The name is the date and the data set, or as `named`, in place of an earlier one.
    """
    parameters = read_parameters(notebooks)
    used = {name: values.get(name, parameter.default) for name, parameter in parameters.items()}
    earlier = Run(values["RUN"], root).record if "RUN" in values else {}
    dataset = used.get("DATASET") or earlier.get("dataset", "notebooks")
    dated = f"{datetime.now():%Y-%m-%d_%H%M%S}_{re.sub('[^A-Za-z0-9_-]+', '-', dataset)}"
    partial, name = _claim(reports, named or dated, bool(named))
    run = Run(values.get("RUN", name), root)
    if "RUN" in values and not earlier:
        print(f"{run.name}: there is no run of that name to go on with, a new one begins")
    run.note(given=earlier.get("given", {}) | values)
    used["RUN"] = run.name
    record = {"name": name, "status": "succeeded", "exit_code": 0, "error": None, "dataset": dataset, "run": run.name}
    record["parameters"] = {key: {"value": value, "given": key in values} for key, value in used.items()}
    record |= {"seed": used.get("SEED"), "seconds": {}, "reused": {}, **_circumstances(notebooks, root)}
    try:
        for path in notebooks:
            mine = {key: used[key] for key, parameter in parameters.items() if path.stem in parameter.notebooks}
            _step(path, partial / path.name, mine, {*values, "RUN"}, run, record, timeout)
        _write_pages(partial, record, run)
    except (Exception, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        what, details = error.args if isinstance(error, RunFailed) else (str(error), traceback.format_exc())
        record |= {"status": "interrupted", "exit_code": 130} if interrupted else {"status": "failed", "exit_code": 1}
        record["error"] = hide_paths(what, root)
        details = "" if interrupted else re.sub(r"\x1b\[[0-9;]*m", "", details)
        print(details, what, sep="\n", file=sys.stderr)
    write_json(partial / "run.json", record)
    ending, page = (f".{record['status']}", "run.json") if record["exit_code"] else ("", "index.html")
    shutil.rmtree(reports / f"{name}{ending}", ignore_errors=True)  # that of an earlier one so named
    folder = partial.rename(reports / f"{name}{ending}")
    write_index(reports)
    if ending:
        print(f"`make reports RUN={run.name}` goes on with it; what was finished and has not changed is used again")
    return record["exit_code"], folder / page


def _step(source: Path, target: Path, mine: dict, given: set[str], run: Run, record: dict, timeout: int) -> None:
    """Execute a notebook with those of `mine` that were `given`, or take it from an earlier report of the run."""
    name, made = source.stem, reuse.inputs(run, source, mine, record["versions"])
    reason = reuse.change(run, name, made)
    if not reason:
        step = reuse.reuse(run, target)
        record["seconds"][name], record["reused"][name] = step["seconds"], step["report"]
        return print(f"{name}: used again from {step['report']}, nothing that it depends on has changed")
    if name in run.record.get("steps", ()) or record["reused"]:
        print(f"{name}: runs, {reason}")
    began, done = time.monotonic(), {}
    try:
        execute(source, target, {key: mine[key] for key in sorted({*mine} & given)}, run.root, timeout)
        done = made
    finally:
        record["seconds"][name] = seconds = round(time.monotonic() - began, 1)
        reuse.keep(run, target, done, report=record["name"], seconds=seconds)


def _claim(reports: Path, stem: str, again: bool = False) -> tuple[Path, str]:
    """A hidden folder of one's own, and the name that it holds for the report, that of an earlier one only `again`."""
    number = 0
    while True:
        number += 1
        name = stem if number == 1 else f"{stem}-{number}"
        partial = reports / f".{name}.partial"
        with contextlib.suppress(FileExistsError):
            partial.mkdir(parents=True)
            if again or not any((reports / f"{name}{ending}").exists() for ending in ("", ".failed", ".interrupted")):
                return partial, name
            partial.rmdir()


def _circumstances(notebooks: Sequence[Path], root: Path) -> dict[str, Any]:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES.split()}
    revision = None
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        revision = {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    module = sorted(path for path in Path(__file__).parents[1].rglob("*") if path.suffix in (".py", ".html", ".css", ".js"))
    hashes = {
        "notebooks": {path.stem: sha256(path) for path in notebooks},
        "module": hashlib.sha256("".join(sha256(path) for path in module).encode()).hexdigest(),
        "lock": sha256(lock) if (lock := root / "requirements.lock").exists() else None,
    }
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"started": started, "revision": revision, "versions": versions, "hashes": hashes}


def _write_pages(folder: Path, record: dict[str, Any], run: Run) -> None:
    facts, names, titles = run.record, list(record["hashes"]["notebooks"]), {}
    data = _read(run.root / facts.get("prepared", "") / "manifest.json")
    record["hashes"]["data"] = {key: data.get(key) for key in ("key", "split", "source", "files")}
    histories = {name: _read(run.folder / name / "history.json") for name in facts.get("recipes", ())}
    record["device"] = next(iter(histories.values()), {}).get("device")
    record["recipes"] = {name: history.get("inputs", {}).get("recipe") for name, history in histories.items()}
    for name in ("metrics.json", "per_user.parquet"):
        if (run.folder / name).exists():
            shutil.copyfile(run.folder / name, folder / name)
    for name in names:
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        titles[name] = notebook.cells[0].source.partition("\n")[0].lstrip("# ")
        (folder / f"{name}.html").write_text(notebook_page(notebook, name, names), encoding="utf-8")
    record["files"] = sorted([*(path.name for path in folder.iterdir()), "index.html", "run.json"])
    page = report_page(record, _read(folder / "metrics.json"), _read(run.folder / "summary.json"), titles)
    (folder / "index.html").write_text(page, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def write_index(reports: Path) -> None:
    """Write index.html of a folder of reports, newest first; anew when another run ended meanwhile."""
    folders: set[Path] | None = None
    while folders != (now := {path.parent for path in reports.glob("[!.]*/run.json")}):
        folders = now
        rows = [(folder.name, _read(folder / "run.json"), _read(folder / "metrics.json")) for folder in folders]
        rows.sort(key=lambda row: row[1]["started"], reverse=True)
        comparisons = sorted(path.name for path in reports.glob("comparisons/*.html"))
        with write_atomically(reports / "index.html") as temporary:
            temporary.write_text(index_page(rows, comparisons), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 for a failed run, 2 for a wrong call, 130 when interrupted."""
    root = project_root()
    about = __doc__.partition("\n\n")[2]
    parser = argparse.ArgumentParser("python -m recsys.reports", description=about, add_help=False)
    parser.add_argument("values", nargs="*", metavar="NAME=value", help="a parameter's value in place of its default")
    parser.add_argument("--notebooks", type=Path, default=root / "notebooks", help="their folder (notebooks)")
    parser.add_argument("--reports", type=Path, default=root / "reports", help="the folder for reports (reports)")
    parser.add_argument("--first", type=int, default=1, help="number of the first notebook to run (1)")
    parser.add_argument("--last", type=int, default=4, help="number of the last notebook to run (4)")
    parser.add_argument("--timeout", type=int, default=0, help="seconds that a cell may take (0: no limit)")
    parser.add_argument("--name", default="", help="name of the report, in place of date and data set")
    parser.add_argument("-h", "--help", action="store_true", help="show this and all parameters")
    options = parser.parse_args(arguments)
    try:
        numbered = sorted(options.notebooks.glob("[0-9][0-9]_*.ipynb"))
        notebooks = [path for path in numbered if options.first <= int(path.name[:2]) <= options.last]
        if not re.fullmatch("[A-Za-z0-9_-]*", options.name):
            raise ValueError(f"--name: expected letters, digits, _ and -, got {options.name!r}")
        if not notebooks:
            there = ", ".join(path.stem for path in numbered) or "none"
            raise ValueError(f"expected notebooks numbered {options.first:02} to {options.last:02}, got {there}")
        parameters = read_parameters(notebooks)
        if options.help:
            print(parser.format_help(), "parameters:", *parameters.values(), sep="\n")
            return 0
        values = read_values(options.values, parameters, root)
        if "RUN" in values:
            values["RUN"] = run_of(values["RUN"], options.reports)
            earlier = Run(values["RUN"], root).record.get("given", {})
            known = [f"{name}={value}" for name, value in earlier.items() if name in parameters]
            values = read_values(known, parameters, root) | values
    except ValueError as error:
        parser.error(str(error))
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    status, page = make_report(notebooks, values, root, options.reports, options.timeout, options.name)
    print(os.path.relpath(page))
    return status


def _interrupt(number: int, _: Any) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
