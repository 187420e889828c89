"""The search for a recipe's settings on validation, and the recipe `tuned` that it chose."""

import dataclasses
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.runs import read_json, write_atomically, write_json
from recsys.training.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    import optuna

BASE = "best"  # the recipe that is searched around
LOOKS = 4  # how often in a trial validation is looked at, to end it early


def folder(split: Split, root: Path) -> Path:
    """Return where the search on a split's data is kept."""
    return root / "data" / "tune" / f"{split.manifest['dataset']}-{split.manifest['key']}"


def tuned(split: Split, root: Path) -> Recipe:
    """Return the recipe that the search on these data chose. Raises FileNotFoundError where there was none."""
    path = folder(split, root) / "recipe.json"
    if not path.exists():
        raise FileNotFoundError(
            f"recipe 'tuned': expected data/tune/{path.parent.name}/recipe.json, found none; `make tune` with the "
            "same DATASET, DATA_PATH and SPLIT makes it"
        )
    return around(split, read_json(path)["settings"])


def around(split: Split, settings: dict[str, float]) -> Recipe:
    """Return the recipe that is searched around, for so many users and songs, with other settings."""
    base = dataclasses.replace(RECIPES[BASE], name="tuned").fitting(split.n_users, split.n_items)
    recipe = base.override(**settings)
    return dataclasses.replace(recipe, patience=max(recipe.patience, recipe.epochs), least_steps=0)


def search(split: Split, where: Path, trials: int, minutes: float, seed: int = 0) -> dict[str, Any]:
    """Try settings until there are so many trials, or no time is left; write recipe.json and trials.csv.

    Each trial trains on train alone and is judged by NDCG@20 on validation; one that lags behind the others ends early.
    Raises RuntimeError when none came to its end.
    """
    import optuna
    from optuna.exceptions import ExperimentalWarning

    warnings.simplefilter("ignore", ExperimentalWarning)  # of the sampler
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    where.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{where / 'study.db'}"
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    study = optuna.create_study(
        study_name=BASE, storage=storage, direction="maximize", load_if_exists=True, pruner=pruner
    )
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), multivariate=True)
    if not study.trials:  # the recipe as it is comes first
        base = around(split, {})
        first = dict(zip(("temperature", "gamma"), base.grid[0], strict=True))
        study.enqueue_trial(first | {"learning_rate": base.learning_rate, "epochs": base.epochs})
    end = time.monotonic() + 60 * minutes
    while (n := _ended(study)) < trials and time.monotonic() < end:
        study.optimize(lambda trial: _try(trial, split, seed), n_trials=1, catch=(FloatingPointError,))
        last = tried(study).iloc[-1].dropna().to_dict() | {"trial": n + 1}
        print(", ".join(f"{name} {short(value)}" for name, value in last.items()), flush=True)
    table = tried(study)
    if not (table["state"] == "COMPLETE").any():
        raise RuntimeError("expected a trial that came to its end, got none; give it more MINUTES")
    facts = {"settings": study.best_params, "ndcg@20 on validation": study.best_value, "trials": _ended(study)}
    write_json(where / "recipe.json", facts | {"base": BASE, "seed": seed})
    with write_atomically(where / "trials.csv") as path:
        table.to_csv(path, index=False)
    return facts


def _ended(study: "optuna.Study") -> int:
    return sum(trial.state.is_finished() for trial in study.trials)


def short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _try(trial: "optuna.Trial", split: Split, seed: int) -> float:
    import optuna

    from recsys.models.embeddings import Embeddings
    from recsys.training.full_softmax import loop_of

    base = around(split, {})
    recipe = base.override(
        temperature=trial.suggest_float("temperature", 0.05, 0.3, log=True),
        gamma=trial.suggest_float("gamma", 0.9, 1.4),
        learning_rate=trial.suggest_float("learning_rate", base.learning_rate / 4, 4 * base.learning_rate, log=True),
        epochs=trial.suggest_int("epochs", max(base.epochs // 3, 1), 2 * base.epochs),
    )
    users, items = split.users["user_id"][: split.n_users], split.items["item_id"][: split.n_items]
    model = Embeddings(users, items, recipe.dim, similarity=recipe.similarity, seed=seed)
    loop = loop_of(model, split, recipe, seed)
    loop.start(split.pairs("train"), *recipe.grid[0], recipe.epochs)
    value = 0.0
    for look in range(1, LOOKS + 1):
        while loop.epoch < look * recipe.epochs // LOOKS:
            loop.learn()
        value = validation_ndcg(model, split)
        trial.report(value, look)
        if look < LOOKS and trial.should_prune():
            raise optuna.TrialPruned
    return value


def tried(study: "optuna.Study") -> pd.DataFrame:
    """Return a row a trial: its number, settings, NDCG@20 on validation when it ended, how it ended, and how long."""
    table = study.trials_dataframe(("number", "params", "value", "state", "duration"))
    names = {name: name.removeprefix("params_") for name in table} | {"number": "trial", "value": "ndcg@20"}
    seconds = table["duration"].dt.total_seconds()
    return table.rename(columns=names).assign(trial=table["number"] + 1, seconds=seconds).drop(columns="duration")
