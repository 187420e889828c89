"""Quality against time: the recipes of a run next to other libraries, with one split, one evaluation, one machine."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from matplotlib.axes import Axes

from recsys.data.split import Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation, evaluate, validation_ndcg
from recsys.evaluation.ranking import Scorer
from recsys.models.baselines.factorisation import PEERS, Peer
from recsys.models.baselines.scorers import DoesNotApply
from recsys.reports import figures, narrative
from recsys.reports.narrative import model_name, named
from recsys.runs import read_json
from recsys.training.recipes import Recipe

EPOCH_SHARES = (0.1, 0.3)  # a recipe is also trained for these shares of its epochs, as points of its curve
SECONDS_BETWEEN_SAMPLES = 0.02  # of the memory
FIT, IN_ALL, MEMORY = "fit, s", "with all choices, s", "memory, MB"  # columns of the costs
Point = tuple[int, float, float]  # epochs or iterations, seconds of fitting, NDCG@20 on validation


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What `benchmark` found.

    `curves` has a row for each point: model, amount (epochs or iterations), seconds, NDCG@20 on validation. `costs` has
    a row for each model: settings, seconds of its fit, seconds with all choices, and MB by which the process grew.
    `left_out` gives the reason for each peer that could not be fitted.
    """

    evaluation: Evaluation
    curves: pd.DataFrame
    costs: pd.DataFrame
    left_out: dict[str, str]


def benchmark(
    split: Split, models: dict[str, Any], histories: dict[str, dict[str, Any]], peers: str = "als bpr lenskit",
    seed: int = 0,
) -> Benchmark:  # fmt: skip
    """Fit the peers, measure a curve of quality against time for them and for the run's recipes, and evaluate all.

    A peer's settings and iterations are chosen on validation; then it is fitted on train and validation. Test is read
    once, at the end. Raises ValueError for the name of an unknown peer.
    """
    if unknown := [name for name in peers.split() if name not in PEERS]:
        raise ValueError(f"PEERS: expected names among {' '.join(PEERS)}; got {' '.join(unknown)}")
    scorers: dict[str, Scorer] = {}
    points: dict[str, list[Point]] = {}
    costs, left_out = {}, {}
    for name in peers.split():
        try:
            scorers[name], points[name], costs[name] = _measure_peer(PEERS[name], split, seed)
        except DoesNotApply as reason:
            left_out[name] = str(reason)
    for name, model in models.items():
        scorers[name] = model
        points[name], costs[name] = _measure_recipe(split, histories[name], model, seed)
    rows = [(name, *point) for name, own in points.items() for point in own]
    curves = pd.DataFrame(rows, columns=["model", "amount", "seconds", MAIN_METRIC])
    evaluation = evaluate(scorers, split, (20,), seed=seed)
    return Benchmark(evaluation, curves, pd.DataFrame.from_dict(costs, orient="index"), left_out)


def _measure_peer(peer: Peer, split: Split, seed: int) -> tuple[Scorer, list[Point], dict[str, Any]]:
    began, points, middle = time.perf_counter(), [], peer.iterations[len(peer.iterations) // 2]
    tried = [validation_ndcg(peer.fit(split, ("train",), seed, iterations=middle, **each), split) for each in peer.grid]
    settings = peer.grid[int(np.argmax(tried))]
    for iterations in peer.iterations:
        started = time.perf_counter()
        scorer = peer.fit(split, ("train",), seed, iterations=iterations, **settings)
        points.append((iterations, time.perf_counter() - started, validation_ndcg(scorer, split)))
    settings = {"iterations": max(points, key=lambda point: point[-1])[0]} | settings
    with _memory_growth() as growth:
        started = time.perf_counter()
        scorer = peer.fit(split, ("train", "validation"), seed, **settings)
    now, words = time.perf_counter(), ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in settings.items())
    return scorer, points, {"settings": words, FIT: now - started, IN_ALL: now - began, MEMORY: growth[0]}


def _measure_recipe(
    split: Split, history: dict[str, Any], model: Any, seed: int
) -> tuple[list[Point], dict[str, Any]]:
    """Train the recipe again for parts of its epochs, with its chosen settings; the last point is the run's own."""
    from recsys.training.trainer import train

    recipe = Recipe(**{key: _as_tuple(value) for key, value in history["inputs"]["recipe"].items()})
    settings, best = history["settings"], history["best_epoch"]
    chosen: dict[str, Any] = {"grid": ((settings["temperature"], settings["gamma"]),), "gammas": (), "min_steps": 0}
    points = []
    with _memory_growth() as growth:
        for epochs in sorted({max(1, round(share * best)) for share in EPOCH_SHARES}):
            length: dict[str, Any] = {"epochs": epochs, "patience": epochs, "evaluate_every": epochs}
            trained = train(split, dataclasses.replace(recipe, **chosen, **length), seed=seed, verbose=False)
            points.append(_point(split, trained.history, trained.model))
    points.append(_point(split, history, model))
    words = f"epochs {best}, temperature {settings['temperature']:g}, gamma {settings['gamma']:g}"
    seconds = history.get("refit_seconds", points[-1][1])
    return points, {"settings": words, FIT: seconds, IN_ALL: history["seconds"], MEMORY: growth[0]}


def _point(split: Split, history: dict[str, Any], model: Any) -> Point:
    """Return the point of a training. Its seconds are those of the epochs alone, without compiling and evaluating.

    A model that was fitted again on train and validation cannot be evaluated on validation: its history has the figure
    from before.
    """
    best, refit = history["best_epoch"], history["inputs"]["recipe"]["refit"]
    epochs, n_rows = history["epochs"][:best], split.seen("train").nnz if refit else len(split.train)
    tried = [each[MAIN_METRIC] for each in history["recency_trials"]] or [epochs[-1].get(f"val_{MAIN_METRIC}")]
    ndcg = max(tried) if refit else validation_ndcg(model, split)
    return best, sum(n_rows / epoch["rows_per_second"] for epoch in epochs), ndcg


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


@contextlib.contextmanager
def _memory_growth() -> Iterator[list[float]]:
    """Yield a list of one number: by how many MB, at most, this process grew inside the context."""
    process, ended, growth = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(SECONDS_BETWEEN_SAMPLES):
            growth[0] = max(growth[0], (process.memory_info().rss - before) / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield growth
    finally:
        ended.set()
        thread.join()


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
    """Return a row for each model, the best last: NDCG@20 on test with its interval, seconds, memory and settings."""
    means = found.evaluation.means.xs(MAIN_METRIC, level="metric").sort_values("value", kind="stable")
    costs = found.costs.loc[means.index]
    table = pd.DataFrame({"model": means.index.map(model_name)})
    table["NDCG@20 on test"] = [f"{row.value:.4f} ({row.low:.4f} to {row.high:.4f})" for row in means.itertuples()]
    for column in (FIT, IN_ALL, MEMORY):
        table[column] = costs[column].map("{:,.1f}".format).to_numpy()
    table["ranking, s"] = [f"{found.evaluation.rank_seconds[name]:.2f}" for name in means.index]
    return table.assign(settings=costs["settings"].to_numpy())


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
