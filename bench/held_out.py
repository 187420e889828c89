"""What the fixed settings of `best` are worth on data that had no say in them: python -m bench.held_out DATA="<path> …"

`best` chooses most settings on the validation part of each data set. The others, such as its learning rate, are the
same for all data. Each of them is changed here, one at a time, on every data set. For each data set the change is then
taken that gains most on the validation parts of the others, and judged on the test part of the one that was left out.

Every path is a data set, recognised as by `make reports`; LAST="<path> …" names those that are split by each
listener's last listens. Listeners are drawn at random until a data set has at most ROWS listens. Trainings are kept
in data/bench/held_out. Writes the tables to docs/training.md.
"""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import ROOT
from bench.pages import gap, write_between
from recsys.data.split import Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation, evaluate
from recsys.evaluation.ranking import Scorer
from recsys.models import baselines
from recsys.reports.narrative import named
from recsys.training.recipes import RECIPES
from recsys.workflow import BASELINES, import_trainer, ndcg_on_validation, prepare

PAGE, COMMAND = ROOT / "docs" / "training.md", "python -m bench.held_out"
KEPT = ROOT / "data" / "bench" / "held_out"
AS_IT_IS = "no change"
NO_NEXT_SONG: dict[str, Any] = {"next_dim": 0, "next_epochs": 0, "next_shares": ()}
NO_TREND: dict[str, Any] = {"trends": ()}
CHANGES: dict[str, dict[str, Any]] = {
    AS_IT_IS: {},
    "learning rate 0.04": {"learning_rate": 0.04},
    "trials of 4 epochs": {"trial_epochs": 4},
    "random start": {"warm_start": False},
    "no spectral part": {"spectral_dim": 0, "spectral_shares": ()},
    "no next-song part": NO_NEXT_SONG,
    "no trend": NO_TREND,
}


@dataclass(frozen=True)
class Found:
    """What each change gets on one data set. A change of what needs the order of the listens is left out without it."""

    on_validation: pd.Series  # NDCG@20 by change
    on_test: Evaluation  # of these changes and every baseline
    best_baseline: str  # on validation


def measure(split: Split, kept: Path, seed: int = 0) -> Found:
    """Train `best` with each change, fit the baselines, and evaluate all of them."""
    best, trainer = RECIPES["best"].for_size(*split.size), import_trainer()
    trained = {}
    for what, settings in CHANGES.items():
        if split.has_order or settings not in (NO_NEXT_SONG, NO_TREND):
            recipe = dataclasses.replace(best, **settings)
            trained[what] = trainer.train(split, recipe, seed=seed, folder=kept / what, verbose=False)
    fitted, _ = baselines.fit_all(split, BASELINES.split(), seed)
    models = {what: each.model for what, each in trained.items()}
    histories = {what: each.history for what, each in trained.items()}
    scorers: dict[str, Scorer] = models | {name: each.scorer for name, each in fitted.items()}
    on_validation = pd.Series(ndcg_on_validation(split, {}, models, histories))
    best_baseline = max(fitted, key=lambda name: fitted[name].validation)
    return Found(on_validation, evaluate(scorers, split, (20,), seed), best_baseline)


def gains(found: dict[str, Found]) -> pd.DataFrame:
    """Return by how many percent each change raises NDCG@20 on validation: changes × data sets, NaN if left out."""
    values = pd.DataFrame({name: each.on_validation for name, each in found.items()})
    return 100 * (values.reindex([*CHANGES]) / values.loc[AS_IT_IS] - 1)


def choose_without(name: str, gained: pd.DataFrame) -> str:
    """Return the change that gains most on all data sets but one, on average."""
    return str(gained.drop(columns=name).fillna(0).mean(axis=1).idxmax())


def tables(found: dict[str, Found]) -> str:
    """Return what the settings get on the data set that was left out, and the gain of each change, in Markdown."""
    gained = gains(found)
    heads = ("left out", "rows of train", "songs", "listeners of test", "the others choose", "with this",
             "`best` as it is", "difference", "best baseline", "`best` as it is minus the baseline")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * 3} --- |{' ---: |' * 3} --- | ---: |"]
    for name, each in found.items():
        chosen, test = choose_without(name, gained), each.on_test
        with_this, baseline = chosen if chosen in test.per_user else AS_IT_IS, each.best_baseline
        value = {model: f"{test.means.loc[(model, MAIN_METRIC), 'value']:.4f}" for model in test.per_user}
        size = (f"{n:,}" for n in (len(test.split.train), test.split.n_items, test.n_users))
        ours = value[with_this], value[AS_IT_IS], "–" if with_this == AS_IT_IS else gap(test, with_this, AS_IT_IS)
        theirs = f"{named(baseline)} {value[baseline]}", gap(test, AS_IT_IS, baseline)
        lines.append(f"| {' | '.join([name, *size, chosen, *ours, *theirs])} |")
    lines += ["", "Gain on validation from each change, in percent:", ""]
    lines += [f"| change | {' | '.join(gained)} | mean |", f"| --- |{' ---: |' * (len(found) + 1)}"]
    for change, row in gained.drop(index=AS_IT_IS).iterrows():
        cells = ["–" if np.isnan(value) else f"{value:+.1f}".replace("-", "−") for value in [*row, row.mean()]]
        lines.append(f"| {change} | {' | '.join(cells)} |")
    return "\n".join(lines)


def open_sample(path: str, split: str, most_rows: int) -> Split:
    """Prepare a data set with so many of its listeners that it has at most about `most_rows` rows of train."""
    whole = prepare("auto", path, root=ROOT, split=split)
    share = round(most_rows / len(whole.train), 3)
    return whole if share >= 1 else prepare("auto", path, root=ROOT, split=split, user_fraction=share)


def main() -> None:
    """Measure every data set, and write the page."""
    parser = argparse.ArgumentParser("python -m bench.held_out", description=__doc__)
    parser.add_argument("values", nargs="+", metavar="NAME=value", help="DATA, LAST, ROWS, SEED")
    given = dict(each.partition("=")[::2] for each in parser.parse_args().values)
    if not given.keys() <= {"DATA", "LAST", "ROWS", "SEED"}:
        parser.error(f"expected DATA=<paths>, LAST=<paths>, ROWS and SEED, got {' '.join(given)}")
    kinds = {"DATA": "auto", "LAST": "by-user-last"}
    paths = [(path, kind) for name, kind in kinds.items() for path in given.get(name, "").split()]
    if len(paths) < 2:
        parser.error(f"expected two data sets or more, as each is judged by the others' choice, got {len(paths)}")
    rows, seed = int(given.get("ROWS", 100_000)), int(given.get("SEED", 0))
    found = {}
    for path, kind in paths:
        split = open_sample(path, kind, rows)
        name = Path(path).name if Path(path).is_dir() else split.name
        print(f"{name}: {len(split.train):,} rows of train, {split.n_items:,} songs", flush=True)
        found[name] = measure(split, KEPT / split.manifest["key"], seed)
        print(found[name].on_validation.round(4).to_string(), flush=True)
    write_between(PAGE, COMMAND, tables(found))


if __name__ == "__main__":
    main()
