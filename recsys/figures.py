"""Frame in, Axes out: every figure has units on its axes; captions are the notebooks' sentences."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter

from recsys.evaluation import Evaluation
from recsys.split import PARTS, Split
from recsys.standing import NEGATIVES

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#555555",
)  # Okabe and Ito: safe for all eyes


def axes(width: float = 8.0, height: float = 3.6) -> Axes:
    """Make one plain Axes."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return _plain(ax)


def show(ax: Axes | None, caption: str) -> None:
    """Show a figure with its caption, which is its alternative text too; the caption alone where there is none."""
    from IPython.display import Markdown, display

    if ax is not None:
        display(ax.figure, metadata={"image/png": {"alt": caption}})
        plt.close(ax.figure)
    display(Markdown(caption))


def listens_by_time(split: Split, ax: Axes | None = None) -> Axes | None:
    """Draw listens per day, a colour a part; None where there are no timestamps."""
    if split.train.timestamp is None:
        return None
    ax = ax or axes()
    days = {part: getattr(split, part).timestamp.astype("datetime64[D]") for part in PARTS}
    first, last = (function(np.concatenate(list(days.values()))) for function in (np.min, np.max))
    edges = first.astype(int) + np.unique(np.linspace(0, (last - first).astype(int) + 1, 61).astype(int))
    bars = [np.histogram(days[part].astype(int), edges)[0] / np.diff(edges) for part in PARTS]
    starts, base = edges[:-1].astype("datetime64[D]"), np.zeros(len(edges) - 1)
    for part, bar, colour in zip(PARTS, bars, COLOURS, strict=False):
        ax.bar(starts, bar, np.diff(edges), base, align="edge", label=part, color=colour)
        base = base + bar
    ax.set(xlabel="date (UTC)", ylabel="positives per day")
    ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def popularity_curve(split: Split, ax: Axes | None = None) -> Axes:
    """Draw listens in train by the song's rank, both axes logarithmic: a straight line is Zipf's law."""
    ax = ax or axes()
    counts = np.sort(np.bincount(split.train.item))[::-1]
    ax.loglog(np.arange(1, len(counts) + 1), counts, color=COLOURS[0])
    ax.set(xlabel="song, by rank of popularity", ylabel="listens in train")
    return ax


def training_curves(histories: dict[str, dict[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw the 1-of-21 accuracy by epoch: train and validation measured alike, and the best epoch marked."""
    ax = ax or axes()
    for (name, history), colour in zip(histories.items(), COLOURS, strict=False):
        epochs = pd.DataFrame(history["epochs"]).set_index("epoch")
        ax.plot(epochs.index, 100 * epochs["train_accuracy"], "--", color=colour, label=f"{name}, train")
        ax.plot(epochs.index, 100 * epochs["val_accuracy"], "-o", ms=3, color=colour, label=f"{name}, validation")
        best = history["best_epoch"]
        ax.plot(
            best, 100 * epochs["val_accuracy"][best], "o", ms=10, mfc="none", color=colour, label=f"{name}, best epoch"
        )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="1-of-21 accuracy, %")
    ax.legend(frameon=False)
    return ax


def means_with_intervals(evaluation: Evaluation, metrics: tuple[str, ...], axs: Any = None) -> Any:
    """Draw each metric's mean by model with its 95 % interval, one panel a metric, best model on top."""
    order = evaluation.means.xs(metrics[0], level="metric")["value"].sort_values(kind="stable").index
    if axs is None:
        size = (4.2 * len(metrics), 1.2 + 0.42 * len(order))
        axs = np.atleast_1d(plt.subplots(1, len(metrics), figsize=size, layout="constrained", sharey=True)[1])
    for ax, metric in zip(axs, metrics, strict=True):
        rows = evaluation.means.xs(metric, level="metric").loc[order]
        errors = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        _plain(ax).errorbar(rows["value"], order, xerr=errors, fmt="o", color=COLOURS[0], capsize=3)
        ax.set(xlabel=f"{metric}, mean over users and 95 % interval", xlim=(0, None))
        ax.margins(y=0.15)
    return axs


def accuracy_against_ranking(
    evaluation: Evaluation, sampled: dict[str, dict[str, Any]], ax: Axes | None = None
) -> Axes:
    """Draw each model's 1-of-21 accuracy beside its recall@20 over the whole catalogue, as bars."""
    recall = evaluation.means.xs("recall@20", level="metric")["value"]
    order = sorted(sampled, key=lambda name: sampled[name]["tie_fair"]["value"])
    ax = ax or axes(height=1.4 + 0.5 * len(order))
    places = np.arange(len(order))
    bars = {
        "1-of-21 accuracy, as the author counts": [sampled[name]["as_author"]["value"] for name in order],
        "1-of-21 accuracy, tie-fair": [sampled[name]["tie_fair"]["value"] for name in order],
        "recall@20 over the whole catalogue": list(recall[order]),
    }
    for i, ((name, values), colour) in enumerate(zip(bars.items(), COLOURS, strict=False)):
        shown = ax.barh(places + 0.27 * (1 - i), 100 * np.array(values), 0.25, label=name, color=colour)
        ax.bar_label(shown, fmt="%.1f", padding=3, fontsize=8)
    ax.set_yticks(places, order)
    ax.set(xlabel="%", xlim=(0, 108))
    ax.legend(frameon=False, ncols=3, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def length_against_popularity(split: Split, vectors: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw the length of each warm song's vector against its listens in train, with the median by popularity."""
    ax = ax or axes()
    counts = np.bincount(split.train.item)
    lengths = np.linalg.norm(vectors[: split.n_items], axis=1)
    ax.scatter(counts, lengths, s=6, alpha=0.25, color=COLOURS[0], linewidths=0, label="a song")
    groups = pd.Series(lengths).groupby(np.round(2 * np.log2(counts)))
    ax.plot(2 ** (groups.median().index / 2), groups.median(), color=COLOURS[1], label="median")
    ax.set(xlabel="listens in train", ylabel="length of the song's vector", xscale="log")
    ax.legend(frameon=False)
    return ax


def accuracy_by_negatives(sweep: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw each model's expected accuracy against 1 … all random songs, and chance; the author's 20 are marked."""
    ax = ax or axes(height=4.4)
    curves = sweep.pivot(index="negatives", columns="model", values=["value", "low", "high"]) * 100
    n, last = curves.index, curves.index[-1]
    names = curves["value"].loc[NEGATIVES].sort_values(ascending=False, kind="stable").index
    for name in names:
        colour = COLOURS[list(sweep["model"].unique()).index(name) % len(COLOURS)]
        value = curves["value"][name]
        label = f"{name}: {value[NEGATIVES]:.1f} %, at the end {value[last]:.2g} %"
        ax.plot(n, value, color=colour, lw=1.8, label=label)
        ax.fill_between(n, curves["low"][name], curves["high"][name], color=colour, alpha=0.2, linewidth=0)
        ax.plot(NEGATIVES, value[NEGATIVES], "o", ms=5, color=colour)
    ax.plot(n, 100 / (n + 1), color="black", lw=1, ls=":", label=f"chance: {100 / (NEGATIVES + 1):.1f} %")
    ticks = [*(10**i for i in range(9) if 10**i <= last / 3), last]
    ax.axvline(NEGATIVES, color="#999999", lw=0.8)
    ax.set(xscale="log", xlim=(1, last), ylim=(0, 100), ylabel="expected accuracy, %")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_xlabel("random songs that the played one has to beat, 1 to as many as there are")
    ax.legend(frameon=False, title=f"1 of {NEGATIVES + 1}, ties shared", alignment="left", fontsize=9)
    return ax


def exposure_by_decile(exposure: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what share of list places each tenth of the songs takes by model, over bars of what was played."""
    ax = ax or axes(height=4)
    ax.bar(exposure.index, 100 * exposure["played"], 0.8, color="#dddddd", label="new songs played")
    for number, name in enumerate(exposure.columns.drop("played")):
        colour = COLOURS[number % len(COLOURS)]
        ax.plot(exposure.index, 100 * exposure[name], "-o", ms=4, lw=1.8, color=colour, label=f"listed by {name}")
    ax.set(xlabel="tenth of the songs by listens, 10 the most popular", ylabel="share, %", ylim=(0, None))
    ax.set_xticks(exposure.index)
    ax.legend(frameon=False)
    return ax


def _plain(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax
