"""kill -9 at any moment: no half report, no leftovers, and the same command ends with the figures of a calm run."""

import itertools
import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import timeless

from recsys.files import read_json

RULE = "no half report; the same command succeeds; equal figures; no process and no file is left over"
RUN = Path("data", "runs", "tiny")


@dataclass(frozen=True)
class Command:
    """A command, the processes that it consists of, the folder in whose state it starts, and what it leaves."""

    function: Callable[..., int]
    arguments: tuple[str, ...]
    processes: tuple[str, ...]
    result: Callable[[Path], Any]


def prepared(root: Path) -> Any:
    (manifest,) = root.glob("data/prepared/*/manifest.json")
    return read_json(manifest)["files"]


def trained(root: Path) -> Any:
    return timeless(read_json(root / RUN / "best" / "history.json"))


def evaluated(root: Path) -> Any:
    return [tiny.figures(root / RUN), *(tiny.figures(path.parent) for path in root.glob("reports/[!.]*/metrics.json"))]


def shown(root: Path) -> Any:
    reports = {path.parent.name for path in root.glob("reports/[!.]*/run.json")}
    listed = (root / "reports" / "index.html").read_text()
    return tiny.figures(root / RUN), all(name in listed for name in reports)


COMMANDS = {
    "prepare": Command(tiny.report, ("--last=1",), ("command", "01_prepare"), prepared),
    "train": Command(tiny.report, ("--last=2",), ("command", "02_train"), trained),
    "evaluate": Command(tiny.report, (), ("command", "03_evaluate"), lambda root: evaluated(root)[0]),
    "render": Command(tiny.report, ("--name=again",), ("command",), shown),
    "compare": Command(tiny.compare, (), ("command",), lambda root: len(list(root.glob("reports/comparisons/*.html")))),
    "recommend": Command(tiny.write_lists, (), ("command",),
                         lambda root: (root / RUN / "recommendations" / "best.csv").read_bytes()),
}  # fmt: skip


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> dict[str, tuple[Path, Any, float, dict[str, int]]]:
    """Of each command: the folder before it, what it leaves, its seconds, and the changes of its processes."""
    root, found = tiny.make_project(tmp_path_factory.mktemp("calm") / "0"), {}
    for number, (name, command) in enumerate(COMMANDS.items(), 1):
        before, root = root, shutil.copytree(root, root.with_name(str(number)))
        started = time.monotonic()
        status = tiny.finish(tiny.start(root, command.function, *command.arguments))
        seconds = time.monotonic() - started
        assert status == 0, (name, (root / "log").read_text())
        changes = {each: int((root / f"changes-{each}").read_text()) for each in command.processes}
        found[name] = before, command.result(root), seconds, changes
        if name == "render":  # a second dated report, to compare
            assert tiny.finish(tiny.start(root, tiny.report)) == 0
    return found


def disturb(case: Path, name: str, calm: tuple, kill: tuple[str, int] = ("", 0), after: float = 0.0) -> str:
    """Kill a command in a copy of its folder, and type it again; return what is wrong, or an empty string."""
    command, (before, expected, _, _) = COMMANDS[name], calm
    root = shutil.copytree(before, case)
    process = tiny.start(root, command.function, *command.arguments, kill=kill)
    if after:
        process.join(after)
        tiny.kill_group(process.pid)
    status, half = tiny.finish(process), tiny.half_reports(root / "reports")
    again = tiny.finish(tiny.start(root, command.function, *command.arguments))
    result = command.result(root) if again == 0 else None
    found = {"status": status, "half": half, "again": again, "other result": result != expected,
             "left": tiny.leftovers(root), "alive": tiny.alive(root)}  # fmt: skip
    good = not (half or again or result != expected or found["left"] or found["alive"])
    message = "" if good else f"{name} {kill} {after:.2f}: {found}\n{(root / 'log').read_text()[-3000:]}"
    shutil.rmtree(case)
    return message


def disturb_all(folder: Path, cases: list[tuple]) -> list[str]:
    """Do the cases, two at a time; return what is wrong."""
    with ThreadPoolExecutor(2) as pool:
        messages = pool.map(lambda each: disturb(folder / str(each[0]), *each[1]), enumerate(cases))
        wrong = [message for message in messages if message]
    print(*wrong, sep="\n\n")
    return wrong


def test_killed_before_a_change_of_the_file_system(calm, count, full, tmp_path):
    points = [
        (name, calm[name], (process, number))
        for name in COMMANDS
        for process, changes in calm[name][3].items()
        for number in range(1, changes + 1)
    ]
    chosen = points if full else points[:: len(points) // 4]
    wrong = disturb_all(tmp_path, chosen)
    note = f"Of {len(points)} changes of the file system in {len(COMMANDS)} commands and their steps."
    count("kill −9 of a command, or of a step's process alone, before it changes a file", len(chosen), len(wrong),
          RULE, note)  # fmt: skip


def test_killed_at_a_random_moment(calm, count, full, tmp_path):
    rng, names = random.Random(0), itertools.cycle(COMMANDS)
    chosen = [(name, calm[name], ("", 0), rng.uniform(0.01, calm[name][2]))
              for name, _ in zip(names, range(500 if full else 2), strict=False)]  # fmt: skip
    wrong = disturb_all(tmp_path, chosen)
    count("kill −9 of a command's process group at a random moment", len(chosen), len(wrong), RULE)
