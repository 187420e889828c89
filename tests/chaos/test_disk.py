"""A full or read-only disk, or a quota: the old report stays as it is, and a message names the place and the need."""

import hashlib
import json
import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import mounts
import pytest
import tiny
from mounts import check, own_mounts

RULE = "the old report stays byte-identical; the message names the place; exit status not 0; the next report succeeds"


def state(reports: Path) -> dict[str, str]:
    """Return the hash of each file of the report `old`."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (reports / "old").iterdir()}


def on_a_small_disk(root: Path, free: int) -> int:
    """Replace the report `old` on a disk with so many free bytes, then again with more; note what was seen."""
    disk, libc = root / "disk", own_mounts()
    size = b"size=64m"
    check(libc.mount(b"tmpfs", bytes(disk), b"tmpfs", 0, size))
    shutil.copytree(root / "project", disk, dirs_exist_ok=True)
    before = state(disk / "reports")
    ballast = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free
    with open(disk / "ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, ballast)
    return replace_twice(root, disk, before, (disk / "ballast").unlink)


def read_only(root: Path, name: str) -> int:
    """Replace the report `old` where a folder is read-only, then where it is not; note what was seen."""
    disk, libc = root / "project", own_mounts()
    mounts.read_only(libc, disk / name)
    return replace_twice(root, disk, state(disk / "reports"), lambda: check(libc.umount(bytes(disk / name))))


def with_a_quota(root: Path, size: int) -> int:
    """Replace the report `old` where no file may have more bytes, then without this limit; note what was seen."""
    project = root / "project"
    before, limits = state(project / "reports"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    return replace_twice(root, project, before, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits))


def replace_twice(root: Path, project: Path, before: dict[str, str], mend: Any) -> int:
    os.chdir(project)
    try:
        status = tiny.report(project, "--name=old")
    except BaseException as error:
        status = f"raised {error!r}"
    sys.stdout.flush()
    same, first = state(project / "reports") == before, (root / "log").read_text()
    mend()
    again = tiny.report(project, "--name=old")
    left = tiny.leftovers(project)
    seen = {"status": status, "same": same, "again": again, "left": left, "text": first}
    (root / "seen.json").write_text(json.dumps(seen))
    return 0


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with a report named `old`, whose third step has to run again."""
    root = tiny.make_project(tmp_path_factory.mktemp("disk") / "project")
    if not mounts.has_mounts():
        pytest.skip("this system allows no mounts of one's own")
    assert tiny.finish(tiny.start(root, tiny.report, "--name=old")) == 0, (root / "log").read_text()
    (root / "data" / "runs" / "tiny" / "03_evaluate.ipynb").unlink()
    return root


def disturb(case: Path, project: Path, function: Any, *arguments: Any) -> dict[str, Any]:
    shutil.copytree(project, case / "project")
    (case / "disk").mkdir()
    status = tiny.finish(tiny.start(case, function, *arguments), 120)
    if status or not (case / "seen.json").exists():
        return {"status": status, "same": False, "again": -1, "left": [], "text": (case / "log").read_text()}
    return json.loads((case / "seen.json").read_text())


def good(seen: dict[str, Any], *words: str) -> bool:
    calm = seen["same"] and seen["again"] == 0 and not seen["left"]
    return calm and seen["status"] in (1, 2) and all(word in seen["text"] for word in words)


def count_amounts(count: Any, what: str, function: Any, amounts: list[int], project: Path, folder: Path, message: str):
    """Replace the report with each amount of room: it is whole then, or refused with the message."""
    cases = [disturb(folder / str(amount), project, function, amount) for amount in amounts]
    enough = [seen["status"] == 0 and seen["again"] == 0 and not seen["left"] for seen in cases]
    wrong = [(amount, seen) for amount, seen, fits in zip(amounts, cases, enough, strict=True)
             if not fits and not good(seen, message)]  # fmt: skip
    for amount, seen in wrong:
        print(amount, {**seen, "text": ""}, seen["text"][-1500:], sep="\n", end="\n\n")
    count(what, len(cases), len(wrong), RULE, f"In {sum(enough)} cases the room was enough.")


def test_a_full_disk(count, full, project, tmp_path):
    free = [4096 + 1600 * each for each in (range(100) if full else (0, 99))]
    what = "a full disk, with 4 to 162 kB free"
    count_amounts(count, what, on_a_small_disk, free, project, tmp_path, "No space left on device")


def test_a_quota(count, full, project, tmp_path):
    sizes = [512 * each for each in (range(1, 51) if full else (4,))]
    count_amounts(count, "no file larger than 0.5 to 26 kB", with_a_quota, sizes, project, tmp_path, "File too large")


def test_read_only_folders(count, project, tmp_path):
    names = ("data", "reports")
    cases = {name: disturb(tmp_path / name, project, read_only, name) for name in names}
    wrong = [name for name in names if not good(cases[name], "Read-only file system", f"{name}/")]
    for name in wrong:
        print(name, {**cases[name], "text": ""}, cases[name]["text"][-1500:], sep="\n", end="\n\n")
    count("a read-only folder data/ or reports/", len(cases), len(wrong), RULE)
