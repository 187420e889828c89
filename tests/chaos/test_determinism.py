"""Equal figures in every process, thread count, order of rows, locale, time zone, working directory and folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import REPOSITORY

RULE = "Equal metrics.json, without times, and equal weights in bits."
ODD = "a b#c%25ü"  # a folder
TURKISH = "tr_TR.UTF-8"  # numbers have a comma, and the capital of i is not I
WHOLE = """import locale, sys
from recsys.reports.surroundings import skip_slow_imports
skip_slow_imports()
import tiny
locale.setlocale(locale.LC_ALL, "")
tiny.whole(None, *map(int, sys.argv[1:]))"""


def in_a_process(
    root: Path, given: dict[str, str] | None = None, *threads: int, order: int = 0, code: Path = REPOSITORY,
    folder: str = ".",
) -> Any:  # fmt: skip
    """Prepare, train and evaluate in a new process, in a folder of the project; return what comes out."""
    tiny.make_project(root, order)
    (root / folder).mkdir(exist_ok=True)
    paths = map(str, (code, code / "tests", code / "tests" / "chaos"))
    environment = {**os.environ, **(given or {}), "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", WHOLE, *map(str, threads)]
    done = subprocess.run(command, cwd=root / folder, env=environment, capture_output=True, text=True, timeout=300)
    return outcome(root) if not done.returncode else done.stderr[-2000:]


def in_a_fork(root: Path, *threads: int, order: int = 0) -> Any:
    """Prepare, train and evaluate in a fork; return what comes out."""
    status = tiny.finish(tiny.start(tiny.make_project(root, order), tiny.whole, *threads), 300)
    return outcome(root) if not status else (root / "log").read_text()[-2000:]


def outcome(root: Path) -> Any:
    """Return what must not change: the key of the prepared folder may, as it depends on the file's time."""
    run = root / "data" / "runs" / "tiny"
    return {**tiny.figures(run), "prepared": None}, tiny.weights(run / "best" / "model.keras")


def turkish(folder: Path) -> dict[str, str]:
    """Compile the Turkish locale; return the variables that choose it, none if this system cannot compile it."""
    command = ["localedef", "-i", "tr_TR", "-f", "UTF-8", str(folder / TURKISH)]
    folder.mkdir()
    if not shutil.which("localedef") or subprocess.run(command, capture_output=True).returncode:
        return {}
    return {"LOCPATH": str(folder), "LC_ALL": TURKISH, "LANG": TURKISH}


def odd_checkout(parent: Path) -> Path:
    """Copy the code into a folder with an odd name."""
    for name in ("recsys", "tests"):
        skipped = shutil.ignore_patterns("__pycache__", "files")
        shutil.copytree(REPOSITORY / name, parent / ODD / name, ignore=skipped)
    return parent / ODD


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Any:
    found = in_a_fork(tmp_path_factory.mktemp("calm") / "project")
    assert not isinstance(found, str), found
    return found


def test_nothing_around_a_run_changes_its_figures(count, full, calm, tmp_path):
    locale, code = turkish(tmp_path / "locale"), odd_checkout(tmp_path / "checkout")
    if not full:
        given = {"PYTHONHASHSEED": "7", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"} | locale
        found = in_a_process(code / "project", given, 1, 3, order=1, code=code, folder="notebooks")
        return count("all at once", 1, int(found != calm), RULE)

    def given(**values: str) -> Callable[[Path], Any]:
        return partial(in_a_process, given=values)

    kinds: dict[str, list[Callable[[Path], Any]]] = {
        "20 processes": [in_a_process] * 20,
        "PYTHONHASHSEED 0, 1 and the largest": [given(PYTHONHASHSEED=each) for each in ("0", "1", "4294967295")],
        "the locales C and tr_TR": [given(LC_ALL="C", PYTHONUTF8="0"), *([given(**locale)] if locale else [])],
        "time zones": [given(TZ=each) for each in ("UTC", "Pacific/Kiritimati", "America/St_Johns")],
        "working directories": [partial(in_a_process, folder=each) for each in ("notebooks", ODD)],
        "a checkout in a folder with a space, #, % and ü": [lambda root: in_a_process(code / root.name, code=code)],
        "orders of the rows": [partial(in_a_fork, order=each) for each in range(1, 11)],
        "1 and 2 threads of TensorFlow": [lambda root, n=n: in_a_fork(root, n) for n in (1, 2)],
        "1 to 8 threads of DuckDB": [lambda root, n=n: in_a_fork(root, 0, n) for n in range(1, 9)],
    }
    for kind, (what, cases) in enumerate(kinds.items()):
        roots = [tmp_path / f"{kind}-{number}" for number in range(len(cases))]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda case, root: case(root), cases, roots))
        wrong = [each for each in found if each != calm]
        print(what, calm, *wrong, sep="\n")
        count(what, len(cases), len(wrong), RULE)
