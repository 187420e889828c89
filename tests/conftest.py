"""Shared by several test files."""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

for library in ("OMP", "OPENBLAS"):  # their threads wait for each other in a loop, which takes long on shared cores
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # ranx, a reference, takes longer to compile than to run
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a script; tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)
REPOSITORY = Path(__file__).resolve().parent.parent

# files of tests that take longest, and the folder of the notebooks: they begin first, and the short ones fill the rest
LONGEST = ["notebooks", "test_lab", "test_reports", "test_hostile", "test_training", "test_narrative", "test_readme",
           "test_exact_resume", "test_kill", "test_recommend", "test_readers_datasets"]  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of a file, and all notebooks, run one after the other in one process."""
    names = {item: item.path.parent.name if item.path.suffix == ".ipynb" else item.path.stem for item in items}
    for item, name in names.items():
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: LONGEST.index(names[item]) if names[item] in LONGEST else len(LONGEST))


def run_reports(project: Path, *arguments: str) -> tuple[int, Path, str]:
    """Run the reports command in `project` on this repository's notebooks; return status, report folder and stderr."""
    command = [sys.executable, "-m", "recsys.reports", f"--notebooks={REPOSITORY / 'notebooks'}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    return done.returncode, (project / done.stdout.splitlines()[-1]).parent, done.stderr


def timeless(value: Any) -> Any:
    """Return JSON without its times, and without the hash of model.keras, which holds one."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if "second" not in k and k not in ("finished_at", "model")}
    return [timeless(each) for each in value] if isinstance(value, list) else value


@pytest.fixture
def full() -> bool:
    """Whether the long form of a test in tests/chaos runs, as by `make chaos`."""
    return os.environ.get("CHAOS") == "full"


@pytest.fixture
def count(request):
    """Return a function that notes `tried` cases, of which `wrong` broke the rule, and fails if any did.

    `what` names the row of the table in docs/reliability.md, `rule` is what must hold, `note` says in a sentence what
    was seen. A test may call it several times; the seconds are those since the last call. `make chaos` names a folder
    for the figures in COUNTS.
    """
    started = time.perf_counter()

    def note_figure(what: str, tried: int, wrong: int, rule: str, note: str = "") -> None:
        nonlocal started
        seconds, started = round(time.perf_counter() - started, 1), time.perf_counter()
        figure = {"what": what, "tried": tried, "wrong": wrong, "rule": rule, "note": note}
        if folder := os.environ.get("COUNTS"):
            name = f"{request.node.originalname}-{zlib.crc32(what.encode()):08x}.json"
            Path(folder, name).write_text(json.dumps({**figure, "seconds": seconds}), encoding="utf-8")
        assert tried > 0 and wrong == 0, figure

    return note_figure
