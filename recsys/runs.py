"""Where files are: the project's root, a run's folder and record, and files that are written atomically."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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
    """Write `value` as indented JSON, atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Run:
    """A run's folder `data/runs/<name>/` and its record `run.json`, which passes facts from notebook to notebook."""

    def __init__(self, name: str, root: Path | None = None):
        if not name or Path(name).name != name:
            raise ValueError(f"RUN: expected the name of a run, such as 'sample', without folders; got {name!r}")
        self.name = name
        self.root = Path(root) if root else project_root()
        self.folder = self.root / "data" / "runs" / name

    @property
    def record(self) -> dict[str, Any]:
        """All facts noted so far."""
        path = self.folder / "run.json"
        return read_json(path) if path.exists() else {}

    def note(self, **facts: Any) -> None:
        """Add facts to the record; they replace facts of the same name."""
        write_json(self.folder / "run.json", {**self.record, **facts})


def run_of_report(name: str, reports: Path) -> str:
    """Return the name of the run that a report in the folder `reports` shows; any other name is returned as it is."""
    path = reports / name / "run.json"
    return read_json(path)["run"] if name and path.is_file() else name


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
