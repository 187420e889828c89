"""The search for a recipe's settings on validation, and the recipe `tuned` that it finds."""

import contextlib
import dataclasses
import sqlite3
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.files import check_file, read_json, sha256, write_atomically, write_json
from recsys.training.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    import optuna

STUDY = "study.db"
BASE = "best"  # the recipe whose settings are searched
N_EVALUATIONS = 4  # of a trial on validation; after each but the last, a poor trial may be stopped


def folder(split: Split, root: Path) -> Path:
    """Return the folder of the search on a split's data."""
    return root / "data" / "tune" / f"{split.manifest['dataset']}-{split.manifest['key']}"


def tuned(split: Split, root: Path) -> Recipe:
    """Return the recipe that the search on these data found. Raises FileNotFoundError if there was no search."""
    path = folder(split, root) / "recipe.json"
    if not path.exists():
        expected = f"recipe 'tuned': expected data/tune/{path.parent.name}/recipe.json, found none"
        raise FileNotFoundError(f"{expected}; run `make tune` with the same DATASET, DATA_PATH and SPLIT")
    found = read_json(path)
    if found.get("prepared") not in (None, split.manifest["key"]):
        raise ValueError(f"{path.parent.name}/recipe.json: expected the result of a search on these data, got another")
    return base_recipe(split, found["settings"])


def base_recipe(split: Split, settings: dict[str, float]) -> Recipe:
    """Return the base recipe for the size of the split, with other settings; it always runs its whole schedule."""
    base = dataclasses.replace(RECIPES[BASE], name="tuned").for_size(*split.size)
    recipe = base.override(**settings)
    return dataclasses.replace(recipe, patience=max(recipe.patience, recipe.epochs), first_epochs=0)


def search(split: Split, where: Path, trials: int, minutes: float, seed: int = 0) -> dict[str, Any]:
    """Try settings until there are so many trials, earlier ones included, or the minutes have passed.

    Writes recipe.json and trials.csv, and returns what recipe.json says of the best trial. Raises RuntimeError if no
    trial was completed.
    """
    import optuna
    from optuna.exceptions import ExperimentalWarning

    warnings.simplefilter("ignore", ExperimentalWarning)  # about the multivariate sampler
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    where.mkdir(parents=True, exist_ok=True)
    study, digest = _open_study(where / STUDY), where / f"{STUDY}.sha256"
    digest.unlink(missing_ok=True)  # while the search runs, and after a kill, only SQLite checks its file
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), multivariate=True)
    if not study.trials:  # begin with the recipe as it is
        base = base_recipe(split, {})
        first = dict(zip(("temperature", "gamma"), base.grid[0], strict=True))
        study.enqueue_trial(first | {"learning_rate": base.learning_rate, "epochs": base.epochs})
    end = time.monotonic() + 60 * minutes
    while (n := _n_finished(study)) < trials and time.monotonic() < end:
        study.optimize(lambda trial: _run_trial(trial, split, seed), n_trials=1, catch=(FloatingPointError,))
        last = trials_table(study).iloc[-1].dropna().to_dict() | {"trial": n + 1}
        print(", ".join(f"{name} {short(value)}" for name, value in last.items()), flush=True)
    table = trials_table(study)
    if not (table["state"] == "COMPLETE").any():
        raise RuntimeError("expected at least one completed trial, got none; give more MINUTES")
    with write_atomically(digest) as path:
        path.write_text(f"{sha256(where / STUDY)}  {STUDY}\n")
    facts = {"settings": study.best_params, "ndcg@20 on validation": study.best_value, "trials": _n_finished(study)}
    write_json(where / "recipe.json", facts | {"base": BASE, "seed": seed, "prepared": split.manifest.get("key")})
    with write_atomically(where / "trials.csv") as path:
        table.to_csv(path, index=False)
    return facts


def _open_study(path: Path) -> "optuna.Study":
    """Open the search that is kept in a file, or begin one. Raises ValueError if the file is not as it was written."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    digest = path.with_name(f"{path.name}.sha256")
    if path.exists() and digest.exists():
        check_file(path, digest.read_text(errors="replace").partition(" ")[0] or "nothing")
    try:
        with contextlib.closing(sqlite3.connect(path)) as file:
            if (found := file.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise ValueError(found)
        study = optuna.create_study(
            storage=f"sqlite:///{path}", study_name=BASE, direction="maximize", load_if_exists=True
        )
        for trial in study.get_trials():
            figures = [trial.number, *trial.params.values(), *(trial.values or ()), *trial.intermediate_values.values()]
            if odd := [each for each in figures if not isinstance(each, int | float)]:
                raise ValueError(f"{odd[0]!r:.40} as a number")
        return study
    except (sqlite3.Error, SQLAlchemyError, ValueError, LookupError, TypeError, RuntimeError) as error:
        where, arrived = f"{path.parent.name}/{path.name}", str(error).splitlines()[0]
        raise ValueError(f"{where}: expected an earlier search, got {arrived}; delete this file") from error


def short(value: Any) -> str:
    """Return a value as text, numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def trials_table(study: "optuna.Study") -> pd.DataFrame:
    """Return one row per trial: its number, settings, NDCG@20 on validation, state and seconds."""
    table = study.trials_dataframe(("number", "params", "value", "state", "duration"))
    names = {name: name.removeprefix("params_") for name in table} | {"number": "trial", "value": "ndcg@20"}
    seconds = table["duration"].dt.total_seconds()
    return table.rename(columns=names).assign(trial=table["number"] + 1, seconds=seconds).drop(columns="duration")


def _n_finished(study: "optuna.Study") -> int:
    return sum(trial.state.is_finished() for trial in study.trials)


def _run_trial(trial: "optuna.Trial", split: Split, seed: int) -> float:
    """Train with the settings that Optuna suggests, and return NDCG@20 on validation."""
    import optuna

    from recsys.training.trainer import make_loop

    base = base_recipe(split, {})
    recipe = base.override(
        temperature=trial.suggest_float("temperature", 0.05, 0.3, log=True),
        gamma=trial.suggest_float("gamma", 0.9, 1.4),
        learning_rate=trial.suggest_float("learning_rate", base.learning_rate / 4, 4 * base.learning_rate, log=True),
        epochs=trial.suggest_int("epochs", max(base.epochs // 3, 1), 2 * base.epochs),
    )
    loop = make_loop(split, recipe, seed)
    loop.start(split.pairs("train"), *recipe.grid[0], recipe.epochs)
    ndcg = 0.0
    for number in range(1, N_EVALUATIONS + 1):
        while loop.epoch < number * recipe.epochs // N_EVALUATIONS:
            loop.train_epoch()
        ndcg = validation_ndcg(loop.model, split)
        trial.report(ndcg, number)
        if number < N_EVALUATIONS and trial.should_prune():
            raise optuna.TrialPruned
    return ndcg
