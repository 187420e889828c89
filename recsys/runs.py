"""Where things are: the project's root, a run's folder and its record, and the run that a report shows."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recsys.files import changed, check_file, hold, read_json, write_json


def project_root() -> Path:
    """Return the folder that relative paths start from: the nearest with a pyproject.toml, or the working directory.

    It is looked for upwards from the working directory, then upwards from this package.
    """
    starts = (Path.cwd(), Path(__file__).resolve().parent)
    folders = (folder for start in starts for folder in (start, *start.parents))
    return next((folder for folder in folders if (folder / "pyproject.toml").is_file()), Path.cwd())


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

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only command that writes this run. Raises ValueError if another one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with hold(self.folder) as free:
            if free is False:
                expected = f"a run that no other command writes, got {self.name!r}"
                raise ValueError(f"RUN: expected {expected}; wait until that command has ended, or set another RUN")
            yield

    def note(self, **facts: Any) -> None:
        """Add facts to the record; they replace facts of the same name."""
        write_json(self.folder / "run.json", {**self.record, **facts})


def check_results(report: Path, record: dict[str, Any]) -> None:
    """Raise ValueError if a file with a report's results is not the one that its run.json describes."""
    for name, expected in record.get("hashes", {}).get("results", {}).items():
        check_file(report / name, expected)


def run_of_report(name: str, reports: Path) -> str:
    """Return the name of the run that a report in the folder `reports` shows; any other name is returned as it is."""
    path = reports / name / "run.json"
    if not (name and path.is_file()):
        return name
    record = read_json(path)
    if not record.get("run"):
        raise changed(path, "one without the name of a run")
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
