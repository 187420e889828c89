"""Quality against time: the recipes of a run next to other libraries, with one split, one evaluation, one machine."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from recsys.data.split import Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation, evaluate, validation_ndcg
from recsys.evaluation.ranking import Scorer
from recsys.files import read_json
from recsys.models.baselines.factorisation import PEERS
from recsys.models.baselines.scorers import DoesNotApply
from recsys.reports import figures, narrative
from recsys.reports.narrative import model_name, named
from recsys.training.recipes import Recipe

EPOCH_SHARES = (0.1, 0.3)  # a recipe is also trained for these shares of its epochs, as points of its curve
FIT, IN_ALL = "fit, s", "with all choices, s"  # columns of the costs
Point = tuple[int, float, float]  # epochs or iterations, seconds of fitting, NDCG@20 on validation
Measured = tuple[Scorer, list[Point], dict[str, Any]]  # a fitted model, the points of its curve, its costs


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What `benchmark` found."""

    evaluation: Evaluation
    curves: pd.DataFrame  # a row for each point: model, amount (epochs or iterations), seconds, NDCG@20 on validation
    costs: pd.DataFrame  # a row for each model: settings, FIT, IN_ALL
    left_out: dict[str, str]  # peers that could not be fitted, and why


def benchmark(split: Split, models: dict[str, Any], histories: dict[str, dict], peers: str, seed: int = 0) -> Benchmark:
    """Fit the peers, measure a curve of quality against time for them and for the run's recipes, and evaluate all.

    Raises ValueError for the name of an unknown peer.
    """
    if unknown := [name for name in peers.split() if name not in PEERS]:
        raise ValueError(f"PEERS: expected names among {' '.join(PEERS)}; got {' '.join(unknown)}")
    found, left_out = {}, {}
    for name in peers.split():
        try:
            found[name] = _measure_peer(name, split, seed)
        except DoesNotApply as reason:
            left_out[name] = str(reason)
    found |= {name: _measure_recipe(split, histories[name], model, seed) for name, model in models.items()}
    rows = [(name, *point) for name, (_, points, _) in found.items() for point in points]
    curves = pd.DataFrame(rows, columns=["model", "amount", "seconds", MAIN_METRIC])
    costs = pd.DataFrame([cost for *_, cost in found.values()], list(found))
    evaluation = evaluate({name: scorer for name, (scorer, *_) in found.items()}, split, (20,), seed)
    return Benchmark(evaluation, curves, costs, left_out)


def _measure_peer(name: str, split: Split, seed: int) -> Measured:
    """Choose settings with the middle number of iterations, then the iterations, and fit on train and validation."""
    (fit, numbers, grid), began, points = PEERS[name], time.perf_counter(), []
    middle = numbers[len(numbers) // 2]
    tried = [validation_ndcg(fit(split, ("train",), seed, iterations=middle, **each), split) for each in grid]
    settings = grid[int(np.argmax(tried))]
    for iterations in numbers:
        started = time.perf_counter()
        scorer = fit(split, ("train",), seed, iterations=iterations, **settings)
        points.append((iterations, time.perf_counter() - started, validation_ndcg(scorer, split)))
    settings = {"iterations": max(points, key=lambda point: point[-1])[0]} | settings
    started = time.perf_counter()
    scorer = fit(split, ("train", "validation"), seed, **settings)
    now, words = time.perf_counter(), ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in settings.items())
    return scorer, points, {"settings": words, FIT: now - started, IN_ALL: now - began}


def _measure_recipe(split: Split, history: dict[str, Any], model: Any, seed: int) -> Measured:
    """Train the recipe again for parts of its epochs, with its chosen settings; the last point is the run's own.

    The shorter trainings have no additions; those of the run count with their time.
    """
    from recsys.training.trainer import train

    temperature, gamma = (history["settings"][name] for name in ("temperature", "gamma"))
    best, points = history["best_epoch"], []
    chosen = history["inputs"]["recipe"] | {"grid": ((temperature, gamma),), "gammas": (), "first_epochs": 0}
    chosen |= {"recency": (), "next_dim": 0, "next_epochs": 0, "next_shares": ()}
    chosen |= {"spectral_dim": 0, "spectral_shares": (), "trends": ()}
    for epochs in sorted({max(1, round(share * best)) for share in EPOCH_SHARES}):
        recipe = Recipe(**chosen | {"epochs": epochs, "patience": epochs, "evaluate_every": epochs})
        trained = train(split, recipe, seed=seed, verbose=False)
        points.append(_point(split, trained.history, trained.model))
    points.append(_point(split, history, model))
    words = f"epochs {best}, temperature {temperature:g}, gamma {gamma:g}"
    seconds = history.get("refit_seconds", points[-1][1])
    return model, points, {"settings": words, FIT: seconds, IN_ALL: history["seconds"]}


def _point(split: Split, history: dict[str, Any], model: Any) -> Point:
    """Return the point of a training. Its seconds are those of fitting alone, without compiling and evaluating."""
    best, refit = history["best_epoch"], history["inputs"]["recipe"]["refit"]
    epochs, n_rows = history["epochs"][:best], split.seen("train").nnz if refit else len(split.train)
    ndcg = history.get("validation_ndcg", epochs[-1].get(f"val_{MAIN_METRIC}"))
    if not refit:  # after a refit, validation is no longer unseen
        ndcg = validation_ndcg(model, split)
    seconds = best * n_rows / np.median([epoch["rows_per_second"] for epoch in epochs])
    added = sum(seconds for name, seconds in history.get("part_seconds", {}).items() if history[name])
    return best, history.get("warm_start_seconds", 0.0) + seconds + added, ndcg


def sentences(found: Benchmark) -> list[str]:
    """Say which model is best on test, which is best for how much time, and which peers are missing."""
    lines, leader = [narrative.headline(found.evaluation)], None
    if len(found.costs) > 1:
        lines.append(narrative.certainty_sentence(found.evaluation))
    for seconds in sorted(found.curves["seconds"]):
        in_time = found.curves[found.curves["seconds"] <= seconds]
        best = in_time.loc[in_time[MAIN_METRIC].idxmax()]
        if best["model"] != leader:
            leader = best["model"]
            ndcg = f"NDCG@20 {best[MAIN_METRIC]:.4f} on validation"
            lines.append(f"With {seconds:.2g} s for fitting, {named(leader)} is best: {ndcg}.")
    return lines + [f"{named(name)} is left out: {reason}." for name, reason in found.left_out.items()]


def quality_against_time(curves: pd.DataFrame) -> Axes:
    """Draw NDCG@20 on validation against seconds of fitting, a line for each model."""
    ax = figures.axes(height=4.2)
    for (name, rows), colour in zip(curves.groupby("model", sort=False), figures.COLOURS, strict=False):
        rows = rows.sort_values("seconds")
        ax.plot(rows["seconds"], rows[MAIN_METRIC], "-o", ms=5, color=colour, label=model_name(name))
    ax.set(xscale="log", xlabel="seconds of fitting on train", ylabel="NDCG@20 on validation")
    ax.legend(frameon=False)
    return ax


def costs_table(found: Benchmark) -> pd.DataFrame:
    """Return a row for each model, the best last: NDCG@20 on test with its interval, seconds and settings."""
    means = found.evaluation.means.xs(MAIN_METRIC, level="metric").sort_values("value", kind="stable")
    costs = found.costs.loc[means.index]
    return pd.DataFrame({
        "model": means.index.map(model_name),
        "NDCG@20 on test": [f"{row.value:.4f} ({row.low:.4f} to {row.high:.4f})" for row in means.itertuples()],
        **{column: costs[column].map("{:,.1f}".format).to_numpy() for column in (FIT, IN_ALL)},
        "ranking, s": [f"{found.evaluation.rank_seconds[name]:.2f}" for name in means.index],
        "settings": costs["settings"].to_numpy(),
    })  # fmt: skip


def read_speeds(root: Path) -> dict[str, Any]:
    """Return what `make bench` wrote below a project's root, or {} if it has not been run."""
    path = root / "data" / "bench" / "latest.json"
    return read_json(path) if path.exists() else {}


def speeds_table(speeds: dict[str, Any]) -> pd.DataFrame:
    """Return a row for each ratio of `make bench`: its median, lowest and highest value, the runs, and the target."""
    table = pd.DataFrame(speeds.get("ratios", {})).T.round(2).convert_dtypes()
    return table.assign(target=pd.Series(speeds.get("targets", {}), dtype=str).reindex(table.index, fill_value=""))


def growth_table(speeds: dict[str, Any]) -> pd.DataFrame:
    """Return a row for each size that `make bench` trained on: rows, songs, users, and the time for a row."""
    sizes = speeds.get("measures", {}).get("growth", {}).get("facts", {}).get("sizes", [])
    table = pd.DataFrame([each | {"nanoseconds a row": each["nanoseconds a row"]["median"]} for each in sizes])
    counts = {name: table[name].map("{:,}".format) for name in ("rows", "songs", "users") if name in table}
    return table.round(2).assign(**counts)
