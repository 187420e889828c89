"""Decides which steps of a run can be reused: the run's record holds the inputs and the results of each step."""

import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from recsys.data.readers.addresses import Address, locate
from recsys.files import sha256
from recsys.runs import Run

PACKAGE = Path(__file__).parents[1]
REPORTING = [  # they change no result of a notebook
    "__main__", "choices", "comparison", "endings", "execution", "folder", "kernel", "pages", "parameters", "reuse",
    "runner", "share",
]  # fmt: skip
OUTSIDE_NOTEBOOKS = {"explore.py", "tune.py", *(f"reports/{name}.py" for name in REPORTING)}
SHOWN = 3  # changes that a message names
SHOWN_AS = {"the module": "the module recsys", "what an earlier step left": "the results of an earlier step"}


def inputs(run: Run, notebook: Path, values: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """Return what a step depends on: parameters, notebook, module, packages, data, and what earlier steps left."""
    sources = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    module = [[name, sha256(path)] for name, path in sources.items() if name not in OUTSIDE_NOTEBOOKS]
    data = locate(values["DATA_PATH"], values.get("ENGINE", ""), run.root) if values.get("DATA_PATH") else None
    files = [data, *sorted(data.glob("*"))] if isinstance(data, Path) and data.exists() else []
    if "tuned" in values.get("RECIPES", "").split():
        files.append(run.root / "data" / "tune" / Path(run.record.get("prepared", "")).name / "recipe.json")
    remote = [str(uuid.uuid4())] if isinstance(data, Address) else []  # `prepare` sees whether these have changed
    earlier = {name: step["left"] for name, step in _steps(run).items() if name < notebook.stem}
    return {name: value for name, value in values.items() if name != "RUN"} | {
        "the notebook": sha256(notebook),
        "the module": _digest(module),
        "the packages": _digest(versions),
        "the data's files": _digest([*remote, *([path.name, *_stamp(path)] for path in files if path.is_file())]),
        "what an earlier step left": _digest(earlier),
    }


def reason_to_run(run: Run, name: str, now: dict[str, Any]) -> str:
    """Return why a step with the inputs `now` cannot be reused, as a phrase that follows "because"; empty if it can."""
    step = _steps(run).get(name, {})
    if not step.get("inputs"):
        return "it did not finish before"
    there = _results(run)
    changed = [key for key in {**step["inputs"], **now} if step["inputs"].get(key) != now.get(key)]
    changed += [key for key, stamp in step["left"].items() if there.get(key) != stamp]
    kept = run.folder / f"{name}.ipynb"
    if not kept.is_file() or sha256(kept) != step["executed"]:
        changed.append(kept.name)
    if len(changed) > SHOWN:
        changed[SHOWN:] = [f"{len(changed) - SHOWN} more"]
    return f"of changes in {', '.join(SHOWN_AS.get(each, each) for each in changed)}" if changed else ""


def record_step(run: Run, notebook: Path, made_from: dict[str, Any], **facts: Any) -> None:
    """Note the inputs of a step (empty if it failed) and its results: everything that no other step has left."""
    steps = _steps(run)
    others = {key for name, step in steps.items() if name != notebook.stem for key in step["left"]}
    left = {key: stamp for key, stamp in _results(run).items() if key not in others}
    step = {**facts, "inputs": made_from, "left": left}
    if made_from:
        shutil.copyfile(notebook, run.folder / notebook.name)
        step["executed"] = sha256(notebook)
    run.note(steps={**steps, notebook.stem: step})


def _steps(run: Run) -> dict[str, Any]:
    return run.record.get("steps", {})


def _results(run: Run) -> dict[str, Any]:
    """Return everything that steps have left: the facts in the run's record, and the files' hashes."""
    facts = {key: value for key, value in run.record.items() if key not in ("given", "steps")}
    by_commands = {run.folder / "explorer.html", *run.folder.glob("recommendations/*")}
    no_results = {run.folder / "run.json", *run.folder.glob("*.ipynb"), *by_commands}
    paths = [path for path in run.folder.rglob("[!.]*") if path not in no_results]
    paths.append(run.root / facts.get("prepared", "") / "manifest.json")
    return facts | {path.relative_to(run.root).as_posix(): sha256(path) for path in paths if path.is_file()}


def _stamp(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
