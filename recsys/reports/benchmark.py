"""Quality against time: a run's recipes beside peers, with one split, one evaluation, on the same cores."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import psutil
from matplotlib.axes import Axes

from recsys.data.split import Split
from recsys.evaluation.evaluate import Evaluation, evaluate, validation_ndcg
from recsys.evaluation.ranking import Scorer
from recsys.models.baselines.factorisation import fit_als
from recsys.models.baselines.scorers import DoesNotApply, Vectors, vectors
from recsys.reports import figures, narrative
from recsys.training.recipes import Recipe

NDCG = "ndcg@20"
ALL, ADDED = "with all choices, s", "memory, MB"
SHARES = (0.1, 0.3)  # of a recipe's epochs, beside all of them
WATCH_SECONDS = 0.02  # between two looks at the memory


def fit_bpr(
    split: Split, parts: tuple[str, ...], seed: int, iterations: int, learning_rate: float, regularisation: float
) -> Vectors:
    """Bayesian personalised ranking (Rendle et al. 2009) of `implicit`, 64 factors and a bias."""
    from implicit.bpr import BayesianPersonalizedRanking

    options = {"learning_rate": learning_rate, "regularization": regularisation, "iterations": iterations}
    model = BayesianPersonalizedRanking(64, **options, random_state=seed)
    model.fit(split.seen(*parts), show_progress=False)
    return vectors(split, model.user_factors, model.item_factors)


def fit_lenskit(split: Split, parts: tuple[str, ...], seed: int, iterations: int, regularisation: float) -> Vectors:
    """Weighted matrix factorisation of LensKit, 64 factors. Raises DoesNotApply where it is not installed."""
    try:
        from lenskit.als import ImplicitMFScorer
        from lenskit.data import from_interactions_df
        from lenskit.training import TrainingOptions
    except ImportError:
        raise DoesNotApply("not installed here; the extra `peers` brings it") from None
    users, items = split.seen(*parts).nonzero()
    data = from_interactions_df(pd.DataFrame({"user_id": users, "item_id": items}))
    model = ImplicitMFScorer(embedding_size=64, epochs=iterations, regularization=regularisation)
    model.train(data, TrainingOptions(rng=seed))
    tables = [np.zeros((n, 64), np.float32) for n in (split.n_users, split.n_items)]
    tables[0][model.users.ids()], tables[1][model.items.ids()] = model.user_embeddings, model.item_embeddings
    return vectors(split, *tables)


# name: how it is fitted, iterations of its curve, and the settings that are tried with the middle one of these
PEERS: dict[str, tuple[Callable[..., Scorer], tuple[int, ...], list[dict[str, float]]]] = {
    "als": (fit_als, (1, 3, 8, 15), [{"regularisation": r, "alpha": a} for r, a in ((0.01, 1), (1, 5), (10, 5))]),
    "bpr": (fit_bpr, (10, 30, 90), [{"learning_rate": r, "regularisation": 0.01} for r in (0.01, 0.05, 0.1)]),
    "lenskit": (fit_lenskit, (1, 3, 10), [{"regularisation": r} for r in (0.1, 1.0)]),
}


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What `benchmark_run` found.

    `curves` has a row a point: model, amount (of epochs or iterations), seconds, NDCG@20 on validation; `costs` a row a
    model: settings, seconds to fit, seconds with all choices, megabytes that fitting added; `speeds` is
    data/bench/latest.json, or empty.
    """

    evaluation: Evaluation
    curves: pd.DataFrame
    costs: pd.DataFrame
    left_out: dict[str, str]
    speeds: dict[str, Any]


def benchmark(
    split: Split, models: dict[str, Any], histories: dict[str, dict[str, Any]], peers: str = "als bpr lenskit",
    seed: int = 0, speeds: dict[str, Any] | None = None,
) -> Benchmark:  # fmt: skip
    """Fit the peers and draw a curve of each, and of the run's recipes; judge all on test once.

    Settings and amounts are chosen on validation, then each is fitted on train and validation. A peer that is not
    installed is left out, with the reason.
    """
    if unknown := [name for name in peers.split() if name not in PEERS]:
        raise ValueError(f"PEERS: expected names among {' '.join(PEERS)}; got {' '.join(unknown)}")
    points: list[tuple] = []
    costs: list[tuple] = []
    left_out, scorers = {}, {}
    for name in peers.split():
        try:
            scorers[name], own, cost = _peer(name, split, seed)
        except DoesNotApply as reason:
            left_out[name] = str(reason)
            continue
        points, costs = points + own, [*costs, cost]
    for name, model in models.items():
        own, cost = _ours(name, split, histories[name], model, seed)
        points, costs, scorers = points + own, [*costs, cost], scorers | {name: model}
    curves = pd.DataFrame(points, columns=["model", "amount", "seconds", NDCG])
    evaluation = evaluate(scorers, split, (20,), seed=seed)
    costs = pd.DataFrame(costs, columns=["model", "settings", "fit, s", ALL, ADDED]).set_index("model")
    return Benchmark(evaluation, curves, costs, left_out, speeds or {})


def _peer(name: str, split: Split, seed: int) -> tuple[Scorer, list[tuple], tuple]:
    fit, amounts, grid = PEERS[name]
    began, points, middle = time.perf_counter(), [], amounts[len(amounts) // 2]
    tried = [validation_ndcg(fit(split, ("train",), seed, iterations=middle, **each), split) for each in grid]
    settings = grid[int(np.argmax(tried))]
    for amount in amounts:
        started = time.perf_counter()
        scorer = fit(split, ("train",), seed, iterations=amount, **settings)
        points.append((name, amount, time.perf_counter() - started, validation_ndcg(scorer, split)))
    settings = {"iterations": max(points, key=lambda point: point[-1])[1]} | settings
    with _memory() as added:
        started = time.perf_counter()
        scorer = fit(split, ("train", "validation"), seed, **settings)
    now, said = time.perf_counter(), ", ".join(f"{key} {value:g}" for key, value in settings.items())
    return scorer, points, (name, said, now - started, now - began, added[0])


def _ours(name: str, split: Split, history: dict[str, Any], model: Any, seed: int) -> tuple[list[tuple], tuple]:
    from recsys.training.trainer import train

    recipe = Recipe(**{key: _frozen(value) for key, value in history["inputs"]["recipe"].items()})
    chosen, best = history["settings"], history["best_epoch"]
    alone: dict[str, Any] = {"grid": ((chosen["temperature"], chosen["gamma"]),), "gammas": (), "least_steps": 0}
    points = []
    with _memory() as added:
        for epochs in sorted({max(1, round(share * best)) for share in SHARES}):
            few: dict[str, Any] = {"epochs": epochs, "patience": epochs, "every": epochs}
            trained = train(split, dataclasses.replace(recipe, **alone, **few), seed=seed, verbose=False)
            points.append((name, *_point(split, trained.history, trained.model)))
    points.append((name, *_point(split, history, model)))
    said = f"epochs {best}, temperature {chosen['temperature']:g}, gamma {chosen['gamma']:g}"
    seconds = history.get("refit_seconds", points[-1][2])
    return points, (name, said, seconds, history["seconds"], added[0])


def _point(split: Split, history: dict[str, Any], model: Any) -> tuple[int, float, float]:
    """Return epochs, seconds of learning alone, and NDCG@20 on validation of what learnt from train alone."""
    best, refit = history["best_epoch"], history["inputs"]["recipe"]["refit"]
    epochs, rows = history["epochs"][:best], split.seen("train").nnz if refit else len(split.train)
    after = [each[NDCG] for each in history["pulls"]] or [epochs[-1].get(f"val_{NDCG}")]
    value = max(after) if refit else validation_ndcg(model, split)
    return best, sum(rows / epoch["rows_per_second"] for epoch in epochs), value


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@contextlib.contextmanager
def _memory() -> Iterator[list[float]]:
    """Yield a list whose only number is, afterwards, by how many megabytes this process grew at most."""
    process, over, grown = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def watch() -> None:
        while not over.wait(WATCH_SECONDS):
            grown[0] = max(grown[0], (process.memory_info().rss - before) / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        over.set()
        thread.join()


def sentences(found: Benchmark) -> list[str]:
    """Say who is best in how much time, and who was left out."""
    lines = [narrative.headline(found.evaluation)]
    previous = None
    for seconds in sorted(found.curves["seconds"]):
        within = found.curves[found.curves["seconds"] <= seconds]
        leader = within.loc[within[NDCG].idxmax()]
        if leader["model"] != previous:
            lines.append(
                f"From {seconds:.2g} s of fitting on {leader['model']} is best, at first with {leader[NDCG]:.4f}."
            )
            previous = leader["model"]
    lines += [f"{name} is left out: {reason}." for name, reason in found.left_out.items()]
    return lines


def quality_against_time(curves: pd.DataFrame) -> Axes:
    """Draw NDCG@20 on validation against seconds of fitting, a line a model, a point an amount of epochs."""
    ax = figures.axes(height=4.2)
    for (name, rows), colour in zip(curves.groupby("model", sort=False), figures.COLOURS, strict=False):
        rows = rows.sort_values("seconds")
        ax.plot(rows["seconds"], rows[NDCG], "-o", ms=5, color=colour, label=name)
    ax.set(xscale="log", xlabel="seconds of fitting on train, settings known", ylabel="NDCG@20 on validation")
    ax.legend(frameon=False)
    return ax


def costs_table(found: Benchmark) -> pd.DataFrame:
    """Return a row a model, best last: NDCG@20 on test with its interval, seconds, memory and settings."""
    means, costs = found.evaluation.means.xs(NDCG, level="metric"), found.costs
    table = pd.DataFrame(index=means["value"].sort_values(kind="stable").index)
    table["NDCG@20 on test"] = [
        f"{row.value:.4f} ({row.low:.4f} to {row.high:.4f})" for row in means.loc[table.index].itertuples()
    ]
    for name in ("fit, s", ALL, ADDED):
        table[name] = costs[name].map("{:,.1f}".format)
    table["ranking, s"] = [f"{found.evaluation.seconds[name]:.2f}" for name in table.index]
    return table.assign(settings=costs["settings"])


def speeds_table(speeds: dict[str, Any]) -> pd.DataFrame:
    """Return the ratios of `make bench`, a row each: median, lowest, highest, number of runs, and the target."""
    table = pd.DataFrame(speeds.get("ratios", {})).T.round(2).convert_dtypes()
    return table.assign(target=pd.Series(speeds.get("targets", {}), dtype=str).reindex(table.index, fill_value=""))


def growth_table(speeds: dict[str, Any]) -> pd.DataFrame:
    """Return what a row of training costs as rows and songs grow, as `make bench` measured it, a row a size."""
    sizes = speeds.get("measures", {}).get("growth", {}).get("facts", {}).get("sizes", [])
    table = pd.DataFrame([each | {"nanoseconds a row": each["nanoseconds a row"]["median"]} for each in sizes])
    counts = {name: table[name].map("{:,}".format) for name in ("rows", "songs", "users") if name in table}
    return table.round(2).assign(**counts)
