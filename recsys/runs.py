"""Where files are: the project's root, a run's folder and record, and files that are written atomically."""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEAL = "sha256"  # the last entry of a JSON file


def project_root() -> Path:
    """Return the folder that relative paths start from: the nearest with a pyproject.toml, or the working directory.

    It is looked for upwards from the working directory, then upwards from this package.
    """
    starts = (Path.cwd(), Path(__file__).resolve().parent)
    folders = (folder for start in starts for folder in (start, *start.parents))
    return next((folder for folder in folders if (folder / "pyproject.toml").is_file()), Path.cwd())


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, with the same suffix; it replaces `path` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. The last entry of an object is the SHA-256 of all others."""
    sealed = {**value, SEAL: _digest(value)} if isinstance(value, dict) else value
    with write_atomically(path) as temporary:
        temporary.write_text(_as_text(sealed), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file, without the SHA-256 if it has one. Raises ValueError if this does not fit, or for no JSON."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _changed(path, f"no JSON ({error})") from error
    name, found = list(value.items())[-1] if isinstance(value, dict) and value else ("", "")
    if name != SEAL and not re.fullmatch("[0-9a-f]{64}", str(found)):
        return value  # a file of other programs, or of earlier versions
    rest = {key: each for key, each in value.items() if key != name}
    if name != SEAL or found != _digest(rest) or text != _as_text(value):
        raise _changed(path, "another SHA-256 than the one in its last line")
    return rest


def _as_text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _digest(value: Any) -> str:
    return hashlib.sha256(_as_text(value).encode()).hexdigest()


def _changed(path: Path, arrived: str) -> ValueError:
    where = f"{path.parent.name}/{path.name}"
    return ValueError(f"{where}: expected the file as it was written, got {arrived}; delete it, and make it again")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_results(report: Path, record: dict[str, Any]) -> None:
    """Raise ValueError if a file with a report's results is not the one that its run.json describes."""
    for name, expected in record.get("hashes", {}).get("results", {}).items():
        check_file(report / name, expected)


def check_file(path: Path, expected: str | None) -> None:
    """Raise ValueError if a file does not have the expected SHA-256, where this is known."""
    if expected and (arrived := sha256(path)) != expected:
        raise _changed(path, f"the SHA-256 {arrived[:12]}… instead of {expected[:12]}…")


class Run:
    """A run's folder `data/runs/<name>/` and its record `run.json`, which passes facts from notebook to notebook."""

    def __init__(self, name: str, root: Path | None = None):
        if not name.isprintable() or not name or Path(name).name != name or name == "..":
            raise ValueError(f"RUN: expected the name of a run, such as 'sample', without folders; got {name!r}")
        self.name = name
        self.root = Path(root) if root else project_root()
        self.folder = self.root / "data" / "runs" / name

    @property
    def record(self) -> dict[str, Any]:
        """All facts noted so far."""
        path = self.folder / "run.json"
        facts = read_json(path) if path.exists() else {}
        names = [*facts.get("recipes", ()), *facts.get("other_seeds", ())]
        if prepared := facts.get("prepared"):
            names.append(str(prepared).removeprefix("data/prepared/"))
        if outside := [each for each in names if not re.fullmatch(r"\w[\w.-]*", str(each))]:
            expected = "expected the names of folders in data/prepared and in the run"
            raise ValueError(f"{self.name}/run.json: {expected}, got {', '.join(map(str, outside))}")
        return facts

    def note(self, **facts: Any) -> None:
        """Add facts to the record; they replace facts of the same name."""
        write_json(self.folder / "run.json", {**self.record, **facts})


def run_of_report(name: str, reports: Path) -> str:
    """Return the name of the run that a report in the folder `reports` shows; any other name is returned as it is."""
    path = reports / name / "run.json"
    if not (name and path.is_file()):
        return name
    record = read_json(path)
    if not record.get("run"):
        raise _changed(path, "one without the name of a run")
    check_results(path.parent, record)
    return str(record["run"])


def newest_run(root: Path) -> str:
    """Return the name of the run whose training finished last. Raises FileNotFoundError if no run has finished."""
    finished = {}
    for path in root.glob("data/runs/*/run.json"):
        names = read_json(path).get("recipes", [])
        histories = [read_json(each) for name in names if (each := path.parent / name / "history.json").exists()]
        if names and len(histories) == len(names) and all(each["status"] == "finished" for each in histories):
            finished[path.parent.name] = max(each["finished_at"] for each in histories)
    if not finished:
        raise FileNotFoundError("data/runs: expected a finished run, found none; `make reports` makes one")
    return max(finished, key=lambda name: finished[name])
