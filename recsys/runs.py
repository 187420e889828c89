"""Where things lie: the project's root, a run's folder and record, and files that are written whole or not at all."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def project_root() -> Path:
    """Return the folder that relative paths start from.

    It is the nearest one with a pyproject.toml, from the working directory upwards and then from this package upwards;
    an installed package outside any project takes the working directory.
    """
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "pyproject.toml").is_file():
                return folder
    return Path.cwd()


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffix, that takes its place when the block succeeds.

    A block that fails leaves what was there before, and no temporary file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_of(name: str, reports: Path) -> str:
    """Return the run that the report of this name in `reports` is of, which it may have gone on with; else the name."""
    path = reports / name / "run.json"
    return read_json(path)["run"] if name and path.is_file() else name


class Run:
    """One run's folder `data/runs/<name>/` and its record `run.json`, which hands facts from notebook to notebook."""

    def __init__(self, name: str, root: Path | None = None):
        if not name or Path(name).name != name:
            raise ValueError(f"expected the name of a run, such as 'sample', without folders; got {name!r}")
        self.name = name
        self.root = Path(root) if root else project_root()
        self.folder = self.root / "data" / "runs" / name

    @property
    def record(self) -> dict[str, Any]:
        """Everything noted so far."""
        path = self.folder / "run.json"
        return read_json(path) if path.exists() else {}

    def note(self, **facts: Any) -> None:
        """Add facts to the record; a fact of the same name is replaced."""
        write_json(self.folder / "run.json", {**self.record, **facts})
