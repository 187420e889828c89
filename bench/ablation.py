"""What each change from the recipe `author` to `best` is worth: python -m bench.ablation DATA_PATH=<sessions.parquet>

DATASET is 30music by default, SPLIT by-user-last; for several splits, separated by spaces, there are several tables.
USER_FRACTION=0.4 draws so many of the listeners, which is faster.
Trainings are kept in data/bench/ablation, and used again if nothing has changed. Writes the tables to docs/training.md.
"""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.pages import gap, write_between
from recsys.data.split import Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation, evaluate
from recsys.models import baselines
from recsys.reports.narrative import account_sentence, model_name
from recsys.training.recipes import RECIPES, Recipe
from recsys.workflow import prepare

PAGE = ROOT / "docs" / "training.md"
COMMAND = "make ablation"
# the last step that does not use the order of the listens
WITHOUT_ORDER = "start from the spectral vectors, number of epochs chosen"
NOTE = f"The steps after “{WITHOUT_ORDER}” use the order of the listens; item kNN, ALS and EASE do not."
BASELINES = ("popularity", "itemknn", "als", "ease")
LONGER = 256  # longer vectors than in `best`, to see whether their length is the limit
LONGER_STEP = f"{WITHOUT_ORDER}, with the same temperature and γ, dim {LONGER}"


def changes(n_rows: int, n_users: int, n_items: int) -> dict[str, Recipe]:
    """Return recipes from `author` to `best` by their change; each has one change more than the one before."""
    author, fast, best = RECIPES["author"], RECIPES["fast"], RECIPES["best"].for_size(n_rows, n_users, n_items)
    temperatures = {"grid": tuple(dict.fromkeys((t, 1.0) for t, _ in best.grid)), "trial_epochs": 3}
    adam = {"optimizer": "adam", "learning_rate": 0.005, "schedule": "cosine"}
    shared = {name: getattr(fast, name) for name in ("negatives", "n_negatives", "batch_size", "mask_accidental_hits")}
    full = {name: getattr(best, name) for name in ("loss", "negatives", "n_negatives", "batch_size", "evaluate_every")}
    full |= {"epochs": best.epochs, "patience": best.patience, "trial_epochs": 8, "learning_rate": 0.03}
    warm = {name: getattr(best, name) for name in ("warm_start", "first_epochs", "trial_epochs", "learning_rate")}
    next_song = {name: getattr(best, name) for name in ("next_dim", "next_epochs", "next_shares")}
    steps: dict[str, dict[str, Any]] = {
        "`author`": {},
        "Adam on the rows of a batch, cosine schedule": adam,
        "epochs chosen by NDCG@20, refit on train and validation": {"refit": True, "epochs": 12},
        "vectors of length one, temperature chosen": {"similarity": "cosine", **temperatures},
        f"20 negatives per row → {fast.n_negatives:,} shared by a batch": shared,
        f"dim {author.dim} → {best.dim}": {"dim": best.dim},
        "shared negatives → all songs, batches of users": full,
        "γ chosen": {"gammas": best.gammas, "grid": best.grid},
        WITHOUT_ORDER: warm,
        "recency weighting chosen": {"recency": best.recency},
        "next-song part chosen": next_song,
        "spectral part and trend chosen: `best`": dataclasses.asdict(best),
    }
    recipes, recipe = {}, author
    for what, settings in steps.items():
        recipe = dataclasses.replace(recipe, **settings)
        recipes[what] = recipe
    return recipes


def table(evaluation: Evaluation, seconds: dict[str, float], steps: list[str], compared: str) -> str:
    """Return a row per step in Markdown, with the paired difference from the step before; then a row per baseline.

    The baselines are compared with the step `compared` and with the last.
    """
    lines = [
        "| change, in addition to those above | NDCG@20 | difference from the step before | seconds |",
        "| --- | --- | --- | --- |",
    ]
    for before, name in zip([None, *steps], [*steps, None], strict=True):
        if name:
            lines.append(_row(evaluation, name, gap(evaluation, name, before) if before else "–", seconds[name]))
    heads = ("for comparison", "NDCG@20", f"“{compared}” minus this", "`best` minus this")
    lines += ["", f"| {' | '.join(heads)} | seconds |", "| --- | --- | --- | --- | --- |"]
    for name in (name for name in seconds if name not in steps):
        gaps = " | ".join(gap(evaluation, each, name) for each in (compared, steps[-1]))
        lines.append(_row(evaluation, name, gaps, seconds[name]))
    return "\n".join(lines)


def _row(evaluation: Evaluation, key: str, difference: str, seconds: float) -> str:
    mean = evaluation.means.loc[(key, MAIN_METRIC)]
    value = f"{mean.value:.4f} ({mean.low:.4f} to {mean.high:.4f})"
    return f"| {model_name(key)} | {value} | {difference} | {seconds:.0f} |"


def ablation(split: Split, kept: Path, seed: int = 0) -> str:
    """Train every step, fit the baselines, evaluate all of them on test, and return the result in Markdown."""
    from recsys.training import trainer

    seconds, scorers = {}, {}
    recipes, folder = changes(*split.size), kept / split.manifest["key"]
    for number, (what, settings) in enumerate(recipes.items()):
        recipe = dataclasses.replace(settings, name=f"step {number}")
        trained = trainer.train(split, recipe, seed=seed, folder=folder / f"step-{number}")
        scorers[what], seconds[what] = trained.model, trained.history["seconds"]
    chosen = (tuple(trained.history["settings"].values()),)
    longer = dataclasses.replace(recipes[WITHOUT_ORDER], name=f"dim {LONGER}", dim=LONGER, grid=chosen, gammas=())
    larger = trainer.train(split, longer, seed=seed, folder=folder / f"dim-{LONGER}")
    scorers[LONGER_STEP], seconds[LONGER_STEP] = larger.model, larger.history["seconds"]
    for name in BASELINES:
        began = time.perf_counter()
        scorers[name] = baselines.fit(name, split, seed).scorer
        seconds[name] = time.perf_counter() - began
    evaluation = evaluate(scorers, split, (20,), seed=seed)
    manifest, share = split.manifest, split.manifest["parameters"]["user_fraction"]
    drawn = "" if share == 1 else f" of a random {share:.0%} of the listeners"
    return (
        f"{manifest['dataset']}, split {manifest['split']}{drawn}: NDCG@20 on test over {split.n_items:,} songs, "
        f"{evaluation.n_users:,} listeners, 95 % intervals over listeners, paired differences, seed {seed}. Seconds "
        "include all choices, training and refit.\n\n"
        f"{account_sentence(split)}{_recency_sentence(trained.history['recency_trials'])}\n\n"
        f"{table(evaluation, seconds, list(recipes), WITHOUT_ORDER)}"
    )


def _recency_sentence(trials: list[dict[str, float]]) -> str:
    if not trials:
        return ""
    without, *values = (trial[MAIN_METRIC] for trial in trials)
    return (
        f" On validation NDCG@20 is {without:.4f} without recency weighting, and {min(values):.4f} to "
        f"{max(values):.4f} with the settings that were tried."
    )


def main() -> None:
    """Run the ablation on each split and write the page."""
    values = {"DATASET": "30music", "DATA_PATH": "", "SPLIT": "by-user-last", "USER_FRACTION": "1", "SEED": "0"}
    parser = argparse.ArgumentParser("make ablation", description=__doc__)
    parser.add_argument("values", nargs="*", metavar="NAME=value", help=", ".join(values))
    for name, equals, value in (each.partition("=") for each in parser.parse_args().values):
        if not equals or name not in values:
            parser.error(f"expected NAME=value with one of {', '.join(values)}, got {name!r}")
        values[name] = value
    texts = []
    for kind in values["SPLIT"].split():
        seed, fraction = int(values["SEED"]), float(values["USER_FRACTION"])
        path = values["DATA_PATH"] or None
        split = prepare(values["DATASET"], path, root=ROOT, split=kind, user_fraction=fraction, seed=seed)
        texts.append(ablation(split, ROOT / "data" / "bench" / "ablation", seed))
    write_between(PAGE, COMMAND, "\n\n".join([*texts, NOTE]))


if __name__ == "__main__":
    main()
