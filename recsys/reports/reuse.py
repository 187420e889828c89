"""Which steps of a run can be used again: what each was made from and what it left, noted in the run's record."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from recsys.runs import Run, sha256

AFTERWARDS = ("__main__", "comparison", "execution", "pages", "parameters", "reuse", "runner")  # no notebook's kernel runs these


def inputs(run: Run, notebook: Path, values: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """Return what a step depends on, by name: parameters, notebook, module, packages, its data, the steps before it."""
    module = [path for path in sorted(Path(__file__).parents[1].rglob("*.py")) if path.stem not in AFTERWARDS]
    data = run.root / values["DATA_PATH"] if values.get("DATA_PATH") else None
    files = [data, *sorted(data.glob("*"))] if data and data.exists() else []
    if "tuned" in values.get("RECIPES", "").split():
        files.append(run.root / "data" / "tune" / Path(run.record.get("prepared", "")).name / "recipe.json")
    earlier = {name: step["left"] for name, step in _steps(run).items() if name < notebook.stem}
    return {name: value for name, value in values.items() if name != "RUN"} | {
        "the notebook": sha256(notebook),
        "the module": _digest([sha256(path) for path in module]),
        "the packages": _digest(versions),
        "the data's files": _digest([[path.name, *_stamp(path)] for path in files if path.is_file()]),
        "what an earlier step left": _digest(earlier),
    }


def change(run: Run, name: str, now: dict[str, Any]) -> str:
    """Say why a step cannot be used again, given its inputs of now; empty if it can."""
    step = _steps(run).get(name, {})
    if not step.get("inputs"):
        return "it has not run to its end before"
    there = _left(run)
    changed = [key for key in {**step["inputs"], **now} if step["inputs"].get(key) != now.get(key)]
    changed += [key for key, stamp in step["left"].items() if there.get(key) != stamp]
    kept = run.folder / f"{name}.ipynb"
    changed += [kept.name] if not kept.is_file() or sha256(kept) != step["executed"] else []
    return f"changed: {', '.join(changed)}" if changed else ""


def keep(run: Run, notebook: Path, made: dict[str, Any], **facts: Any) -> None:
    """Note what a step was made from (nothing, if it failed), and what it left: all that is no other step's."""
    steps = _steps(run)
    others = {key for name, step in steps.items() if name != notebook.stem for key in step["left"]}
    left = {key: stamp for key, stamp in _left(run).items() if key not in others}
    step = {**facts, "inputs": made, "left": left}
    if made:
        shutil.copyfile(notebook, run.folder / notebook.name)
        step["executed"] = sha256(notebook)
    run.note(steps={**steps, notebook.stem: step})


def reuse(run: Run, notebook: Path) -> dict[str, Any]:
    """Copy the kept notebook of that name to its place and return the facts noted of the step."""
    shutil.copyfile(run.folder / notebook.name, notebook)
    return _steps(run)[notebook.stem]


def _steps(run: Run) -> dict[str, Any]:
    return run.record.get("steps", {})


def _left(run: Run) -> dict[str, Any]:
    """Everything that steps have left: the facts in the run's record, and size and age of the files."""
    facts = {key: value for key, value in run.record.items() if key not in ("given", "steps")}
    not_left = {run.folder / "run.json", *run.folder.glob("*.ipynb"), *run.folder.glob("recommendations/*")}
    paths = [path for path in run.folder.rglob("[!.]*") if path not in not_left]
    paths.append(run.root / facts.get("prepared", "") / "manifest.json")
    return facts | {path.relative_to(run.root).as_posix(): _stamp(path) for path in paths if path.is_file()}


def _stamp(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
