"""Searches for a recipe's settings on validation: python -m recsys.tuning [TRIALS=30] [MINUTES=40] [NAME=value …]

NAME is a parameter of 01_prepare, such as DATASET. The search is kept in data/tune/<data set>/ and goes on when it is
started again; what it chose is the recipe `tuned`, for `make reports RECIPES="author best tuned"`.
"""

import dataclasses
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys import figures
from recsys.evaluation import validation_ndcg
from recsys.parameters import Parameter, read_parameters, read_values
from recsys.prepare import prepare
from recsys.recipes import RECIPES, Recipe
from recsys.runs import project_root, read_json, write_atomically, write_json
from recsys.split import Split

if TYPE_CHECKING:
    import optuna

BASE = "best"  # the recipe that is searched around
LOOKS = 4  # how often in a trial validation is looked at, to end it early
TRIALS = Parameter("TRIALS", int, 30, "settings to have tried in all, earlier ones included")
MINUTES = Parameter("MINUTES", float, 40.0, "no trial begins after so many")
NOT_OF_DATA = ("RUN", "SHOW_USER_IDS", "USE_DRIVE", "DRIVE_FOLDER")


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
    """Try settings until there are so many trials, or no time is left; write recipe.json, trials.csv and trials.png.

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
        print(", ".join(f"{name} {_short(value)}" for name, value in last.items()), flush=True)
    table = tried(study)
    if not (table["state"] == "COMPLETE").any():
        raise RuntimeError("expected a trial that came to its end, got none; give it more MINUTES")
    facts = {"settings": study.best_params, "ndcg@20 on validation": study.best_value, "trials": _ended(study)}
    write_json(where / "recipe.json", facts | {"base": BASE, "seed": seed})
    with write_atomically(where / "trials.csv") as path:
        table.to_csv(path, index=False)
    with write_atomically(where / "trials.png") as path:
        figure = figures.trials(table, list(study.best_params))[0].get_figure()
        figure.savefig(path, dpi=150)
    return facts


def _ended(study: "optuna.Study") -> int:
    return sum(trial.state.is_finished() for trial in study.trials)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _try(trial: "optuna.Trial", split: Split, seed: int) -> float:
    import optuna

    from recsys.full import loop_of
    from recsys.model import SimpleRecommender

    base = around(split, {})
    recipe = base.override(
        temperature=trial.suggest_float("temperature", 0.05, 0.3, log=True),
        gamma=trial.suggest_float("gamma", 0.9, 1.4),
        learning_rate=trial.suggest_float("learning_rate", base.learning_rate / 4, 4 * base.learning_rate, log=True),
        epochs=trial.suggest_int("epochs", max(base.epochs // 3, 1), 2 * base.epochs),
    )
    users, items = split.users["user_id"][: split.n_users], split.items["item_id"][: split.n_items]
    model = SimpleRecommender(users, items, recipe.dim, similarity=recipe.similarity, seed=seed)
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


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status: 0, 2 for a wrong call."""
    root = project_root()
    parameters = read_parameters([root / "notebooks" / "01_prepare.ipynb"])
    known = {name: each for name, each in parameters.items() if name not in NOT_OF_DATA}
    try:
        values = read_values(arguments, known | {each.name: each for each in (TRIALS, MINUTES)}, root)
    except ValueError as error:
        print(f"make tune: {error}", file=sys.stderr)
        return 2
    given = {name.lower(): value for name, value in values.items()}
    trials, minutes = (given.pop(each.name.lower(), each.default) for each in (TRIALS, MINUTES))
    dataset, path, seed = given.pop("dataset", "sample"), given.pop("data_path", ""), given.get("seed", 0)
    prepared = prepare(dataset, root / path if path else None, root=root, **given)
    split = Split.load(prepared.folder)
    where = folder(split, root)
    facts = search(split, where, trials, minutes, seed)
    chosen = ", ".join(f"{name} {_short(value)}" for name, value in facts["settings"].items())
    print(f"best of {facts['trials']} trials: {chosen}; NDCG@20 on validation {facts['ndcg@20 on validation']:.4f}")
    print(f'{where.relative_to(root)}: recipe.json, trials.csv, trials.png; `make reports` with RECIPES="best tuned"')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
