"""Runs the notebooks and writes a dated report: python -m recsys.reports [--help] [NAME=value …]

Notebooks run in the order of their numbers, each in its own process and kernel. NAME is a parameter of one of them.
"""

import argparse
import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
import traceback
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.readers import find_dataset
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import AUTO, WITHOUT_PATH
from recsys.files import remove_leftovers, sha256, temporary_folder, write_json
from recsys.reports import reuse
from recsys.reports.choices import check_typed
from recsys.reports.endings import is_of_input, what_helps
from recsys.reports.execution import RunFailed, execute, hide_paths
from recsys.reports.folder import claim_folder, publish, write_pages
from recsys.reports.parameters import describe, read_parameters, read_values
from recsys.runs import Run, project_root, run_of_report

PACKAGES = "tensorflow keras numpy pandas pyarrow scipy ibis-framework duckdb implicit papermill nbconvert"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def make_report(
    notebooks: Sequence[Path], values: dict[str, Any], root: Path, reports: Path, timeout: int, given_name: str
) -> tuple[int, Path]:
    """Run `notebooks` with `values` and write a folder in `reports`; return the exit status and the file to open.

    Its name is the date and the data set, or `given_name`, which replaces an earlier report of that name. If a notebook
    fails or is interrupted, the name ends in .failed or .interrupted. Raises ValueError if another command writes the
    same run.
    """
    with contextlib.ExitStack() as held:
        if own := values.get("RUN", given_name):
            held.enter_context(Run(own, root).lock())
        return _make_report(notebooks, values, root, reports, timeout, given_name, held)


def _make_report(
    notebooks: Sequence[Path], values: dict[str, Any], root: Path, reports: Path, timeout: int, given_name: str,
    held: contextlib.ExitStack,
) -> tuple[int, Path]:  # fmt: skip
    """Do the work of `make_report`; folders in use are marked until `held` is closed."""
    remove_leftovers(reports)
    parameters = read_parameters(notebooks)
    used = {name: values.get(name, parameter.default) for name, parameter in parameters.items()}
    earlier = Run(values["RUN"], root).record if "RUN" in values else {}
    dataset = _dataset(used, root) or earlier.get("dataset", "notebooks")
    dated = f"{datetime.now():%Y-%m-%d_%H%M%S}_{re.sub('[^A-Za-z0-9_-]+', '-', dataset)}"
    partial, name = claim_folder(reports, given_name or dated, held, replace=bool(given_name))
    held.push(lambda error, *_: shutil.rmtree(partial, ignore_errors=True) if error else None)
    run = Run(values.get("RUN", name), root)
    if "RUN" in values and not earlier:
        print(f"{run.name}: there is no run of this name yet, so a new one starts")
    run.note(given=earlier.get("given", {}) | values)
    used["RUN"] = run.name
    record = {
        "name": name, "status": "succeeded", "exit_code": 0, "error": None, "dataset": dataset, "run": run.name,
        "parameters": {key: {"value": value, "given": key in values} for key, value in used.items()},
        "seed": used.get("SEED"), "seconds": {}, "reused": {}, **_environment(notebooks, root),
    }  # fmt: skip
    remedy = ""
    try:
        for path in notebooks:
            own = {key: used[key] for key, parameter in parameters.items() if path.stem in parameter.notebooks}
            _run_step(path, partial / path.name, own, run, record, timeout)
        write_pages(partial, record, run)
    except (Exception, KeyboardInterrupt) as error:
        message, details = error.args if isinstance(error, RunFailed) else (str(error), traceback.format_exc())
        record |= {"status": "failed", "exit_code": 1, "error": hide_paths(message, root)}
        if isinstance(error, KeyboardInterrupt):
            record |= {"status": "interrupted", "exit_code": 130}
        shown = "" if isinstance(error, KeyboardInterrupt) or is_of_input(error) else hide_paths(details, root)
        print(*filter(None, [re.sub(r"\x1b\[[0-9;]*m", "", shown), message]), sep="\n", file=sys.stderr)
        remedy = what_helps(error, run.name)
    write_json(partial / "run.json", record)
    return record["exit_code"], publish(partial, reports, record, remedy)


def _dataset(used: dict[str, Any], root: Path) -> str:
    """Return the name of the data set that the parameters mean; empty if no notebook reads one.

    `auto`, which a path without DATASET means, stands for the data set that fits. If none fits, 01_prepare says so.
    """
    if "DATASET" not in used:
        return ""
    named, path = used["DATASET"], used.get("DATA_PATH")
    if named not in ("", AUTO):
        return named
    if not path:
        return WITHOUT_PATH
    given = {each.name: used[each.name.upper()] for each in fields(Options) if each.name.upper() in used}
    with temporary_folder() as folder, start_engine(folder) as engine:
        try:
            return find_dataset(root / path, engine, Options(**given))
        except DataError:
            return AUTO


def _run_step(source: Path, target: Path, own: dict[str, Any], run: Run, record: dict[str, Any], timeout: int) -> None:
    """Execute a notebook with those of its `own` values that were given, or reuse it from an earlier report."""
    name, made_from = source.stem, reuse.inputs(run, source, own, record["versions"])
    step, reason = run.record.get("steps", {}).get(name), reuse.reason_to_run(run, name, made_from)
    if not reason:
        shutil.copyfile(run.folder / target.name, target)
        record["seconds"][name], record["reused"][name] = step["seconds"], step["report"]
        return print(f"{name} is reused from {step['report']}: nothing that it depends on has changed")
    if step:
        print(f"{name} runs again because {reason}")
    given = {key: own[key] for key in sorted(own) if key == "RUN" or record["parameters"][key]["given"]}
    started, done = time.monotonic(), {}
    try:
        execute(source, target, given, run.root, timeout)
        done = made_from
    finally:
        record["seconds"][name] = seconds = round(time.monotonic() - started, 1)
        reuse.record_step(run, target, done, report=record["name"], seconds=seconds)


def _environment(notebooks: Sequence[Path], root: Path) -> dict[str, Any]:
    """Return the start time, and what the report is made with: the code's revision, versions, hashes."""
    git, revision = ["git", "-C", str(root)], None
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        commit = subprocess.check_output([*git, "rev-parse", "HEAD"], stderr=subprocess.DEVNULL, text=True).strip()
        revision = {"commit": commit, "dirty": bool(subprocess.check_output([*git, "status", "--porcelain"]))}
    module = sorted(path for path in reuse.PACKAGE.rglob("*") if path.suffix in (".py", ".html", ".css", ".js"))
    hashes: dict[str, Any] = {"notebooks": {path.stem: sha256(path) for path in notebooks}}
    hashes["module"] = hashlib.sha256("".join(map(sha256, module)).encode()).hexdigest()
    hashes["lock"] = sha256(lock) if (lock := root / "requirements.lock").exists() else None
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES.split()}
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"started": started, "revision": revision, "versions": versions, "hashes": hashes}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 1 if a notebook failed, 2 for wrong arguments, 130 if interrupted."""
    root = project_root()
    parser = argparse.ArgumentParser("python -m recsys.reports", description=__doc__, add_help=False)
    parser.add_argument("values", nargs="*", metavar="NAME=value", help="set a parameter")
    parser.add_argument("--notebooks", type=Path, default=root / "notebooks", help="folder of the notebooks")
    parser.add_argument("--reports", type=Path, default=root / "reports", help="folder for the reports")
    parser.add_argument("--first", type=int, default=1, help="number of the first notebook to run (default: 1)")
    parser.add_argument("--last", type=int, default=4, help="number of the last notebook to run (default: 4)")
    parser.add_argument("--timeout", type=int, default=0, help="longest time for a cell in seconds (0: no limit)")
    parser.add_argument("--name", default="", help="name of the report (default: date, time and data set)")
    parser.add_argument("-h", "--help", action="store_true", help="show this help and all parameters")
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
            print(parser.format_help(), "parameters:", describe(parameters), sep="\n")
            return 0
        values = read_values(options.values, parameters, root)
        typed = values.keys()
        if "RUN" in values:
            values["RUN"] = run_of_report(values["RUN"], options.reports)
            earlier = Run(values["RUN"], root).record.get("given", {})
            known = [f"{name}={value}" for name, value in earlier.items() if name in parameters]
            values = read_values(known, parameters, root) | values
        check_typed(typed, {name: each.default for name, each in parameters.items()} | values, root)
    except ValueError as error:
        parser.error(str(error))
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        status, page = make_report(notebooks, values, root, options.reports, options.timeout, options.name)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:  # not even the record of what failed could be written
        needed = "Free some space or make the folder writable, and type the same command again"
        print(f"{error}\nNo report was written; earlier ones are as they were. {needed}.", file=sys.stderr)
        return 1
    print(os.path.relpath(page))
    return status


def _interrupt(number: int, _: Any) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    for output in (1, 2):
        try:
            termios.tcgetattr(output)
        except termios.error as error:
            if error.args[0] == errno.EIO:  # the terminal was closed: what is printed from now on goes nowhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    raise KeyboardInterrupt(signal.Signals(number).name)
