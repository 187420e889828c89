"""The steps of a run, as the notebooks call them: each starts from what the earlier ones left in the run's folder.

For the run "sample" a missing step is made on the spot, with its defaults; for any other it is an error that names the
command.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys import answers, audit, baselines, measures, slices, tuning
from recsys.evaluation import Evaluation, draw_candidates, evaluate, sampled_accuracy
from recsys.prepare import Prepared, prepare
from recsys.runs import Run, read_json, write_json
from recsys.split import Split
from recsys.standing import NEGATIVES

if TYPE_CHECKING:
    from recsys.model import SimpleRecommender
    from recsys.training import Trained

N_ANCHORS = 100  # songs whose neighbours are checked


def prepare_run(run: Run, dataset: str = "sample", data_path: str = "", **parameters: Any) -> tuple[Prepared, Split]:
    """Prepare a data set, or find it prepared, and note its folder in the run's record."""
    path = run.root / data_path if data_path else None
    prepared = prepare(dataset, path, root=run.root, **parameters)
    run.note(dataset=dataset, prepared=prepared.folder.relative_to(run.root).as_posix())
    return prepared, Split.load(prepared.folder)


def open_split(run: Run) -> Split:
    """Load the run's split. Raises FileNotFoundError when nothing was prepared under this name."""
    folder = run.root / run.record.get("prepared", "nothing")
    if folder.is_dir():
        return Split.load(folder)
    _only_for_the_sample(run, "prepared data", "01_prepare")
    return prepare_run(run)[1]


def train_run(
    run: Run, recipes: str = "author best", seed: int = 0, seeds: int = 1, xla: bool = True, deterministic: bool = True,
    **settings: Any,
) -> tuple[Split, dict[str, "Trained"]]:  # fmt: skip
    """Train each named recipe (space-separated) with the settings that are not 0 or "", and note their names.

    With more than one of `seeds` each is trained again with the following ones, for the spread between them; what is
    returned is of the first. A training that was stopped goes on.
    """
    training = _training()
    names = recipes.split()
    allowed = [*training.RECIPES, "tuned"]
    if not names or (unknown := [name for name in names if name not in allowed]):
        raise ValueError(
            f"RECIPES: expected names among {' '.join(allowed)}; got {' '.join(unknown) if names else 'none'}"
        )
    if seeds < 1:
        raise ValueError(f"SEEDS: expected 1 or more, got {seeds}")
    split = open_split(run)
    audit.require_clean(audit.check_split(split))
    known = training.RECIPES | ({"tuned": tuning.tuned(split, run.root)} if "tuned" in names else {})
    chosen = {name: known[name].fitting(split.n_users, split.n_items).override(**settings) for name in names}
    others = {f"seed-{seed + more}": seed + more for more in range(1, seeds)}
    run.note(recipes=names, other_seeds=[])
    options = {"xla": xla, "deterministic": deterministic}
    trained = {
        name: training.train(split, recipe, seed=seed, folder=run.folder / name, **options)
        for name, recipe in chosen.items()
    }
    for name, recipe in chosen.items():
        for other, number in others.items():
            training.train(split, recipe, seed=number, folder=run.folder / name / other, **options)
    run.note(other_seeds=list(others))
    return split, trained


def open_models(run: Run) -> tuple[Split, dict[str, "SimpleRecommender"], dict[str, dict[str, Any]]]:
    """Load the run's split, models and training histories, by recipe.

    An interrupted training counts with its best model so far, and is named on the page. Raises FileNotFoundError for
    one that is missing, RuntimeError for one that stopped otherwise or without a best model.
    """
    training = _training()
    names = run.record.get("recipes", [])
    folders = [run.folder / name for name in names]
    if not names or not all((each / "model.keras").exists() and (each / "history.json").exists() for each in folders):
        _only_for_the_sample(run, "trained model", "02_train")
        split, trained = train_run(run)
        return split, {k: each.model for k, each in trained.items()}, {k: each.history for k, each in trained.items()}
    histories = {name: read_json(run.folder / name / "history.json") for name in names}
    for name, history in histories.items():
        status, best = history["status"], history["best_epoch"]
        if status == "interrupted" and best:
            print(f"{name}: its training was interrupted; this is its model after epoch {best}, the best until then.")
        elif status != "finished":
            raise RuntimeError(
                f"run {run.name!r}, {name}: expected a finished training, got one that is {status}; run "
                f"notebooks/02_train.ipynb with RUN = {run.name!r}, where it goes on"
            )
    return open_split(run), {name: training.load(run.folder / name) for name in names}, histories


@dataclass(frozen=True, eq=False)
class Judged:
    """What `evaluate_run` found: the evaluation, the 1-of-21 by model, how baselines were fitted, audit and answers.

    `ceiling` is the evaluation of the best ranking that there is, where it is known; `by_seed` has each recipe's
    NDCG@20 with every seed that it was trained with.
    """

    evaluation: Evaluation
    ceiling: Evaluation | None
    sampled: dict[str, dict[str, Any]]
    fitted: dict[str, baselines.Fitted]
    left_out: dict[str, str]
    fit_seconds: dict[str, float]
    checks: list[audit.Check]
    measured: measures.Measured
    by_seed: dict[str, list[float]]
    headline: str
    sentences: list[str]


def evaluate_run(
    run: Run,
    cutoffs: str = "5 10 20 100",
    baselines_: str = "random popularity itemknn ease als",
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Judged:
    """Judge the run's models beside the baselines on test; write the figures and the answers into the run's folder.

    A baseline that does not apply to the data is left out, with its reason.
    """
    ks = tuple(sorted({int(k) for k in cutoffs.split()}))
    if not ks or ks[0] < 1 or 20 not in ks:
        raise ValueError(f"CUTOFFS: expected whole numbers from 1 upwards, 20 among them; got {cutoffs!r}")
    split, models, histories = open_models(run)
    fitted, left_out = {}, {}
    for name in baselines_.split():
        try:
            fitted[name] = baselines.fit(name, split, seed)
            say(f"{name}: fitted in {fitted[name].fit_seconds:.1f} s")
        except baselines.DoesNotApply as reason:
            left_out[name] = str(reason)
            say(f"{name}: left out, {reason}")
    scorers = {name: each.scorer for name, each in fitted.items()} | models
    evaluation = evaluate(scorers, split, ks, seed=seed)
    say(f"ranked {split.n_items:,} songs for {evaluation.n_users:,} users by {len(scorers)} models")
    candidates = draw_candidates(split.test.item, NEGATIVES, split.n_items_all, seed)
    sampled = {name: sampled_accuracy(scorer, split.test[:], candidates, seed=seed) for name, scorer in scorers.items()}
    checks = _checks(split, models, histories, fitted, scorers, evaluation, seed)
    audit.require_clean(checks)
    measured = measures.measure(split, scorers, evaluation, sampled, histories, seed)
    seconds = {name: each.fit_seconds for name, each in fitted.items()}
    seconds |= {name: each.get("refit_seconds", each["seconds"]) for name, each in histories.items()}
    by_seed = _by_seed(run, evaluation, list(models))
    evaluation.save(run.folder, sampled_accuracy=sampled, fit_seconds=seconds, by_seed=by_seed)
    truth = slices.ceiling(split)
    ceiling = evaluate({"ceiling": truth}, split, ks, seed=seed) if truth else None
    headline, sentences = answers.headline(evaluation), answers.sentences(evaluation, sampled)
    sentences += [measured.said(name) for name in measures.FIRST]
    sentences.append(f"Nothing is found to leak or to flatter: all {len(checks)} checks pass.")
    write_json(run.folder / "summary.json", {"headline": headline, "sentences": sentences})
    return Judged(
        evaluation, ceiling, sampled, fitted, left_out, seconds, checks, measured, by_seed, headline, sentences
    )


def _by_seed(run: Run, evaluation: Evaluation, names: list[str]) -> dict[str, list[float]]:
    found = {name: [float(evaluation.means.loc[(name, answers.MAIN), "value"])] for name in names}
    for name in names:
        for other in run.record.get("other_seeds", []):
            model = _training().load(run.folder / name / other)
            again = evaluate({name: model}, evaluation.split, (20,), n_resamples=2)
            found[name].append(float(again.means.loc[(name, answers.MAIN), "value"]))
    return found


def _checks(split, models, histories, fitted, scorers, evaluation, seed) -> list[audit.Check]:
    anchors = np.random.default_rng(seed).choice(split.n_items, min(N_ANCHORS, split.n_items), replace=False)
    neighbours = [model.neighbours(int(anchor))[0] for model in models.values() for anchor in anchors]
    return [
        *audit.check_split(split),
        *audit.check_training(split, histories),
        *audit.check_scorers(split, scorers),
        *audit.check_baselines(split, fitted, seed),
        *audit.check_ranking(split, *evaluation.rankings.values()),
        *audit.check_neighbours(np.tile(anchors, len(models)), np.stack(neighbours)),
    ]


def _training() -> ModuleType:
    """Import TensorFlow without its remarks, which would stand on every page; some it writes past all settings."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        from recsys import training

        training.device()  # the first look for a GPU remarks on drivers
        return training
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _only_for_the_sample(run: Run, what: str, notebook: str) -> None:
    if run.name != "sample":
        raise FileNotFoundError(
            f"run {run.name!r}: expected {what}, found none; run notebooks/{notebook}.ipynb with RUN = {run.name!r}, "
            f"or `make reports RUN={run.name}`"
        )
    print(f"The run 'sample' has no {what} yet: it is made here, by {notebook}'s own functions and defaults.")
