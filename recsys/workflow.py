"""The calls that users and notebooks make: each notebook starts from what the earlier ones left in the run's folder.

In the run "sample" a missing step is made on the spot. In any other run it is an error that names the command.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from recsys.data import prepare as preparation
from recsys.data.errors import DataError
from recsys.data.readers.addresses import as_typed, locate
from recsys.data.samples import sample_test_users
from recsys.data.split import Split
from recsys.evaluation.evaluate import MAIN_METRIC, TEST_SCORES, Evaluation, evaluate, validation_ndcg
from recsys.evaluation.ranking import Scorer
from recsys.files import read_json, write_json
from recsys.models import baselines
from recsys.runs import Run
from recsys.training import tuning
from recsys.training.recipes import NAMES, RECIPES, Recipe

if TYPE_CHECKING:
    from recsys.models.embeddings import Embeddings
    from recsys.training.trainer import Trained

BASELINES = "random popularity itemknn ease als markov-knn"  # fitted where nobody names others


def prepare(dataset: str = "sample", path: Path | str | None = None, **parameters: Any) -> Split:
    """Read a data set and split it into train, validation and test. Parameters: those of `data.prepare.prepare`."""
    return Split.load(preparation.prepare(dataset, path, **parameters).folder)


def train(split: Split, recipe: str | Recipe = "best", *, seed: int = 0, **settings: Any) -> "Embeddings":
    """Train a model by a recipe, given by name or as it is, with other `settings` where they are given."""
    chosen = RECIPES[recipe].for_size(*split.size) if isinstance(recipe, str) else recipe
    return import_trainer().train(split, chosen.override(**settings), seed=seed).model


def fit_baselines(split: Split, names: str = BASELINES, seed: int = 0) -> dict[str, Scorer]:
    """Fit the named baselines (space-separated); one that does not apply to these data is left out, with a message."""
    return {name: each.scorer for name, each in baselines.fit_all(split, names.split(), seed)[0].items()}


def prepare_run(run: Run, dataset: str = "", data_path: str = "", **parameters: Any) -> Split:
    """Prepare a data set, or find it prepared, and note its folder in the run's record.

    Without a `dataset` it is `sample`, or `auto` if there is a path. An error names the path as it was typed, and ends
    with the command that shows what is there if this shows more than the error.
    """
    path = locate(data_path, parameters.get("engine", "duckdb"), run.root) if data_path else None
    try:
        prepared = preparation.prepare(dataset or ("auto" if path else "sample"), path, root=run.root, **parameters)
    except DataError as error:
        if not path:
            raise
        typed = as_typed(data_path, run.root)
        message = str(error).replace(str(path), typed)
        if error.inspect_helps:
            command = f"make inspect DATA_PATH={shlex.quote(typed)}"
            message += f"\nTo see what the files are and how to read them, type: {command}"
        raise DataError(message, error.parameters) from error
    folder = prepared.folder.relative_to(run.root).as_posix()
    print(f"{folder}: {'found, nothing has changed since it was prepared' if prepared.reused else 'prepared'}")
    run.note(dataset=prepared.manifest["dataset"], prepared=folder)
    return Split.load(prepared.folder)


def open_split(run: Run) -> Split:
    """Load the run's split. Raises FileNotFoundError when nothing was prepared under this name."""
    folder = run.root / run.record.get("prepared", "nothing")
    if folder.is_dir():
        return Split.load(folder)
    _only_for_the_sample(run, "prepared data", "01_prepare")
    return prepare_run(run)


def choose_recipes(run: Run, split: Split, names: str = "author best", **settings: Any) -> dict[str, Recipe]:
    """Return the named recipes (space-separated), adapted to the size of the split, with other settings.

    A setting of 0 or "" keeps the recipe's own. `tuned` is what `make tune` found. Raises ValueError for another name.
    """
    chosen = names.split()
    if not chosen or not {*NAMES}.issuperset(chosen):
        raise ValueError(f"RECIPES: expected names among {' '.join(NAMES)}; got {names!r}")
    recipes = {name: RECIPES[name] if name in RECIPES else tuning.tuned(split, run.root) for name in chosen}
    return {name: each.for_size(*split.size).override(**settings) for name, each in recipes.items()}


def train_run(
    run: Run, split: Split, recipes: Mapping[str, Recipe], seed: int = 0, seeds: int = 1, **options: Any
) -> dict[str, "Trained"]:
    """Train each recipe into the run's folder; a training that was stopped continues. Options: those of `train`.

    With several `seeds`, each recipe is trained again with the seeds that follow. Returns those of the first seed.
    """
    if seeds < 1:
        raise ValueError(f"SEEDS: expected 1 or more, got {seeds}")
    trainer = import_trainer()
    run.note(recipes=list(recipes), other_seeds=[])
    trained: dict[str, Trained] = {}
    for number in range(seed, seed + seeds):
        for name, recipe in recipes.items():
            folder = run.folder / name / (f"seed-{number}" if number > seed else "")
            trained.setdefault(name, trainer.train(split, recipe, seed=number, folder=folder, **options))
    run.note(other_seeds=[f"seed-{number}" for number in range(seed + 1, seed + seeds)])
    return trained


def open_models(
    run: Run, test_users: int | None = None, seed: int = 0
) -> tuple[Split, dict[str, "Embeddings"], dict[str, dict[str, Any]]]:
    """Load the run's split, its models and their training histories, by recipe.

    With `test_users`, the split has the test rows of at most that many users, drawn by `seed`; 0 stands for as many as
    `TEST_SCORES` allow. An interrupted training counts with its best model so far. Raises FileNotFoundError
    for a model that is missing, RuntimeError for a training that failed or has no best model yet.
    """
    if test_users is not None and test_users < 0:
        raise ValueError(f"EVALUATION_USERS: expected 0 or more, got {test_users}")
    names = run.record.get("recipes", [])
    folders = [run.folder / name for name in names]
    if not names or not all((each / "model.keras").exists() and (each / "history.json").exists() for each in folders):
        _only_for_the_sample(run, "trained model", "02_train")
        split = open_split(run)
        train_run(run, split, choose_recipes(run, split))
        return open_models(run, test_users, seed)
    histories = {name: read_json(run.folder / name / "history.json") for name in names}
    for name, history in histories.items():
        status, best, expected = history["status"], history["best_epoch"], ""
        if status == "interrupted" and best:
            print(f"{name}: training was interrupted. This is its best model so far, from epoch {best}.")
        elif status != "finished":
            expected = f"a finished training, got one that is {status}"
        if "recency" not in history:
            expected = "a training by this version of the project, got one by an earlier version"
        if expected:
            remedy = f"open notebooks/02_train.ipynb with RUN = {run.name!r} to continue it or to train again"
            raise RuntimeError(f"run {run.name!r}, {name}: expected {expected}; {remedy}")
    split, trainer = open_split(run), import_trainer()
    for name, history in histories.items():
        if split and history.get("inputs", {}).get("prepared") not in (None, split.manifest.get("key")):
            remedy = f"`make reports RUN={run.name}` trains again"
            raise RuntimeError(f"run {run.name!r}, {name}: expected a training on the run's data; {remedy}")
    if test_users is not None:
        split = sample_test_users(split, test_users or max(TEST_SCORES // split.n_items, 1), seed)
    return split, {name: trainer.load(run.folder / name) for name in names}, histories


def read_cutoffs(text: str) -> tuple[int, ...]:
    """Return list lengths such as "5 10 20 100" as numbers in ascending order. Raises ValueError unless 20 is one."""
    cutoffs = tuple(sorted({int(k) for k in text.split()}))
    if not cutoffs or cutoffs[0] < 1 or 20 not in cutoffs:
        raise ValueError(f"CUTOFFS: expected whole numbers of 1 or more, with 20 among them; got {text!r}")
    return cutoffs


def ndcg_by_seed(run: Run, evaluation: Evaluation) -> dict[str, list[float]]:
    """Return each recipe's NDCG@20 with every seed it was trained with, the first seed first."""
    found = {name: [float(evaluation.means.loc[(name, MAIN_METRIC), "value"])] for name in run.record["recipes"]}
    for name, values in found.items():
        for folder in run.record.get("other_seeds", []):
            model = import_trainer().load(run.folder / name / folder)
            again = evaluate({name: model}, evaluation.split, (20,))
            values.append(float(again.means.loc[(name, MAIN_METRIC), "value"]))
    return found


def ndcg_on_validation(
    split: Split, fitted: dict[str, baselines.Fitted], models: Mapping[str, Scorer],
    histories: dict[str, dict[str, Any]],
) -> dict[str, float]:  # fmt: skip
    """Return each baseline's and each recipe's NDCG@20 on validation, before it was fitted on validation too."""
    found = {name: each.validation for name, each in fitted.items()}
    for name, history in histories.items():
        at_best = history["epochs"][history["best_epoch"] - 1].get(f"val_{MAIN_METRIC}")
        value = history.get("validation_ndcg", at_best)
        if not history["inputs"]["recipe"]["refit"]:
            value = validation_ndcg(models[name], split)
        if value is not None:
            found[name] = value
    return found


def seconds_by_model(fitted: dict[str, baselines.Fitted], histories: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the seconds that each baseline and each recipe took, with the choice of its settings."""
    return {name: each.seconds for name, each in fitted.items()} | {
        name: each["seconds"] for name, each in histories.items()
    }


def save_evaluation(
    run: Run, evaluation: Evaluation, answer: dict[str, Any], *, sampled: dict[str, Any],
    seconds: dict[str, float], by_seed: dict[str, list[float]],
) -> None:  # fmt: skip
    """Write metrics.json, per_user.parquet, recommendations.parquet and summary.json into the run's folder.

    `answer` is what `reports.summary.summarise` returns.
    """
    failed = [check["name"] for check in answer["checks"] if not check["passed"]]
    facts = {"sampled_accuracy": sampled, "by_seed": by_seed, "failed_checks": failed}
    evaluation.save(run.folder, seconds=seconds, **facts)
    write_json(run.folder / "summary.json", answer)


def import_trainer() -> ModuleType:
    """Import `recsys.training.trainer` without TensorFlow's start-up messages, which would stand on every page."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # some messages ignore every setting
    try:
        from recsys.training import trainer

        trainer.device()  # the first look for a GPU prints warnings about drivers
        return trainer
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _only_for_the_sample(run: Run, what: str, notebook: str) -> None:
    if run.name != "sample":
        remedy = f"run notebooks/{notebook}.ipynb with RUN = {run.name!r}, or `make reports RUN={run.name}`"
        raise FileNotFoundError(f"run {run.name!r}: expected {what}, found none; {remedy}")
    print(f"The run 'sample' has no {what} yet. {notebook}'s functions make it now, with default settings.")
