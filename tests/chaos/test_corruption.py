"""A wrong bit, a cut or a swap in a file that is kept: it is refused by its name, or nothing that is read changes."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.evaluation.evaluate import evaluate
from recsys.files import read_json, sha256, write_json
from recsys.models.baselines import fit_all
from recsys.models.embeddings import Embeddings
from recsys.recommend import Recommender
from recsys.reports import reuse, runner
from recsys.reports.comparison import compare_reports
from recsys.reports.folder import write_pages
from recsys.runs import Run, run_of_report
from recsys.training import tuning
from recsys.training.history import changed_inputs, read_checkpoint, write_checkpoint

REFUSED = (ValueError, RuntimeError, FileNotFoundError)


def make(root: Path, name: str, seed: int) -> None:
    """Write everything that a run leaves, small: prepared data, a model, results, a report and a search."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"user_id": np.repeat(np.arange(20), 12), "item_id": rng.integers(0, 30, 240)})
    frame = frame.astype(str).assign(timestamp=1_600_000_000 + 600 * rng.permutation(240))
    frame.to_csv(root / f"{name}.csv", index=False)
    folder = prepare("csv", root / f"{name}.csv", root=root).folder
    split, run = Split.load(folder), Run(name, root)
    model = Embeddings(split.users["user_id"], split.items["item_id"], 4, seed=seed)
    model.write(run.folder / "author" / "model.keras")
    facts = {"status": "finished", "best_epoch": 1, "finished_at": "2026", "recency": {}}
    facts |= {
        "inputs": {"prepared": split.manifest["key"], "recipe": {}},
        "model": sha256(run.folder / "author" / "model.keras"),
    }
    write_json(run.folder / "author" / "history.json", facts)
    arrays = {"loop 0": rng.random((20, 4)), "loop 1": rng.random((30, 4))}
    write_checkpoint(run.folder / "author" / "checkpoint", {"phase": "", "history": facts}, arrays)
    run.note(dataset="csv", prepared=folder.relative_to(root).as_posix(), recipes=["author"], other_seeds=[])
    scorers = {"author": model, "popularity": fit_all(split, ["popularity"], 0)[0]["popularity"].scorer}
    evaluate(scorers, split, (20,), seed).save(run.folder, {})
    write_json(run.folder / "summary.json", {"headline": name, "sentences": []})
    (run.folder / "explorer.gz").write_bytes(rng.bytes(300))
    tuned = {"settings": {"gamma": 1.0 + seed}, "prepared": split.manifest["key"]}
    write_json(tuning.folder(split, root) / "recipe.json", tuned)
    search(tuning.folder(split, root), seed)
    (root / "03_evaluate.ipynb").write_text(f'{{"name": "{name}"}}')
    reuse.record_step(run, root / "03_evaluate.ipynb", {"the notebook": name})
    record = {"name": name, "status": "succeeded", "exit_code": 0, "error": None, "dataset": "csv", "run": name}
    record |= {"parameters": {}, "seed": 0, "seconds": {}, "reused": {}, **runner._environment([], root)}
    (root / "reports" / name).mkdir(parents=True)
    write_pages(root / "reports" / name, record, run)
    write_json(root / "reports" / name / "run.json", record)


def search(folder: Path, seed: int) -> None:
    """Write a search of four trials, as if `tuning.search` had ended."""
    study = tuning._open_study(folder / tuning.STUDY)
    study.optimize(lambda trial: trial.suggest_float("gamma", 1, 2) + seed, n_trials=4)
    study._storage.remove_session()
    (folder / f"{tuning.STUDY}.sha256").write_text(f"{sha256(folder / tuning.STUDY)}  {tuning.STUDY}\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    for seed, name in enumerate(("one", "two")):
        make(root, name, seed)
    return root


def plain(value: Any) -> Any:
    """Return a value in a form that can be compared."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else str(value)


def lists(root: Path) -> Any:
    recommender = Recommender.load("one", root=root)
    return recommender.recommend(list(recommender.split.users["user_id"]), 5).to_dict("list")


def compare(root: Path) -> Any:
    return compare_reports(root / "reports/one", root / "reports/two")


def checkpoint(root: Path) -> Any:
    """Read the checkpoint as a training does."""
    folder = root / "data/runs/one/author"
    facts, arrays = read_checkpoint(folder / "checkpoint")
    if not facts or changed_inputs(facts["history"]["inputs"], read_json(folder / "history.json")["inputs"]):
        raise ValueError("checkpoint: not used")
    return facts, arrays


def step(root: Path) -> Any:
    if reason := reuse.reason_to_run(Run("one", root), "03_evaluate", {"the notebook": "one"}):
        raise ValueError(reason)
    return "reused"


def trials(path: Path) -> Any:
    study = tuning._open_study(path)
    found = [(each.number, each.params, each.value, each.state.name) for each in study.get_trials()]
    study._storage.remove_session()
    return found


def readers(root: Path) -> dict[str, tuple[str, Callable[[Path], Any]]]:
    """Return what reads each kind of file: by what is read, the pattern of the files and the function."""
    prepared = read_json(root / "data/runs/one/run.json")["prepared"]
    tuned = f"data/tune/{Path(prepared).name}"
    return {
        "the prepared folder": (f"{prepared}/*", lambda root: (vars(Split.load(root / prepared)), lists(root))),
        "a model and its lists": ("data/runs/one/author/[hm]*", lists),
        "a run's record": ("data/runs/one/run.json", lambda root: (lists(root), step(root))),
        "a checkpoint": ("data/runs/one/author/checkpoint", checkpoint),
        "a step's results": ("data/runs/one/[!r]*.*", step),
        "reports that are compared": ("reports/one/*[!l]", compare),
        "the run of a report": ("reports/one/run.json", lambda root: run_of_report("one", root / "reports")),
        "the recipe of a search": (
            f"{tuned}/recipe.json",
            lambda root: tuning.tuned(Split.load(root / prepared), root),
        ),
        "a search": (f"{tuned}/study.db*", lambda root: trials(root / tuned / tuning.STUDY)),
    }


def tuned_recipe(root: Path) -> Any:
    return tuning.tuned(Split.load(root / Run("one", root).record["prepared"]), root)


def damage(path: Path, rng: random.Random, others: list[Path]) -> str:
    """Flip a bit, cut the file, or put another file in its place; its time stays. Returns what was done."""
    before, content = path.stat(), bytearray(path.read_bytes())
    how = rng.choice(["a flip", "a flip", "a cut", "a swap"])
    if how == "a flip":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif how == "a cut":
        content = content[: rng.randrange(len(content))]
    else:
        content = rng.choice(others).read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return how


def test_damage_is_refused_or_changes_nothing(project, tmp_path, full, count, capsys):
    rng, tries = random.Random(0), 1000 if full else 5  # of each kind
    kinds, faults = readers(project), []
    for what, (pattern, read) in kinds.items():
        files = sorted(path for path in project.glob(pattern) if path.is_file())
        assert files, what
        expected, refused, harmless, wrong, started = plain(read(project)), 0, 0, [], time.perf_counter()
        for number in range(tries):
            path = files[number % len(files)]
            kept = tmp_path / "kept"
            shutil.copy2(path, kept)
            twins = [each for each in project.rglob(path.name) if each != path and each.is_file()]
            how = damage(path, rng, twins or [each for each in files if each != path] or [project / "one.csv"])
            try:
                found = plain(read(project))
            except REFUSED as error:
                refused += 1
                places = (path.name, f"{path.parent.name}/", "run 'one'", "of changes in")
                named = any(each in str(error) for each in places)
                wrong += [] if named else [(path.name, how, f"not named: {error}")]
            except Exception as error:
                wrong.append((path.name, how, f"raw: {error!r}"))
            else:
                harmless += found == expected
                wrong += [] if found == expected else [(path.name, how, "silent")]
            shutil.copy2(kept, path)
        wrong += [] if refused else [(what, "nothing was refused, as if the file were not read")]
        print(what, f"{time.perf_counter() - started:.1f} s", *wrong, sep="\n  ")
        faults += wrong
        note = f"{refused:,} refused by name, {harmless:,} without effect on what is read."
        count(f"flips, cuts and swaps: {what}", tries, len(wrong), "Refused, or nothing that is read changes.", note)
