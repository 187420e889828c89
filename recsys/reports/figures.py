"""The figures of the pages: each function takes results and returns Axes; captions are sentences of the narrative."""

import io
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.ticker import MaxNLocator
from PIL import Image

from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import Evaluation
from recsys.evaluation.sampled import NEGATIVES
from recsys.reports.narrative import model_name
from recsys.reports.tables import metric_name

# by Okabe and Ito, distinguishable for colour-blind readers
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555")
RECIPE_COLOURS = {"best": COLOURS[0], "author": COLOURS[1], "fast": COLOURS[2], "tuned": COLOURS[3]}
GREY = "#999999"
BASELINE_COLOURS = {
    "ease": "#8C564B", "als": COLOURS[4], "itemknn": COLOURS[5], "markov-knn": "#6A3D9A", "popularity": COLOURS[6],
    "random": "#BBBBBB", "itemknn-recent": "#B8860B", "markov": "#B39DDB", "recent": "#7F9F7F",
}  # fmt: skip

DPI = 160  # sharp on screens with twice the pixels; pages show figures at 100 dots an inch
COLOURS_KEPT = 256  # of a picture, which then takes a third of the space


def axes(width: float = 8.0, height: float = 3.6) -> Axes:
    """Return the Axes of a new figure."""
    return panels(1, width, height)[0]


def panels(n: int, width: float, height: float) -> np.ndarray:
    """Return the Axes of a new figure with n panels side by side, which share the vertical axis."""
    _, axs = plt.subplots(1, n, figsize=(width, height), layout="constrained", sharey=True, squeeze=False)
    for ax in axs[0]:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
    return axs[0]


def show(ax: Axes | None, caption: str) -> None:
    """Show a figure with its caption, which is also its alternative text; only the caption if there is no figure."""
    if ax is None:
        return display(Markdown(caption))
    figure = ax.get_figure(root=True)
    assert figure
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLOURS_KEPT).save(small, "png", optimize=True)
    facts = {"alt": caption, "width": round(100 * figure.get_figwidth())}
    display({"image/png": small.getvalue()}, metadata={"image/png": facts}, raw=True)
    plt.close(figure)
    display(Markdown(caption))


def listens_by_time(split: Split) -> Axes | None:
    """Draw listens per day, with a colour for each part, if the times are known."""
    if split.train.timestamp is None:
        return None
    ax = axes()
    days = [getattr(split, part).timestamp.astype("datetime64[D]").astype(int) for part in PARTS]  # since 1970
    together = np.concatenate(days)
    edges = together.min() + np.unique(np.linspace(0, np.ptp(together) + 1, 61).astype(int))
    bars = [np.histogram(each, edges)[0] / np.diff(edges) for each in days]
    for part, bar, top, colour in zip(PARTS, bars, np.cumsum(bars, axis=0), COLOURS, strict=False):
        ax.bar(edges[:-1], bar, np.diff(edges), top - bar, align="edge", label=part, color=colour)
    ax.xaxis_date()
    ax.set(xlabel="date (UTC)", ylabel="listens per day")
    ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def popularity_curve(split: Split) -> Axes:
    """Draw the listens of each song in train by its rank, on logarithmic axes: Zipf's law is a straight line."""
    ax = axes()
    counts = np.sort(np.bincount(split.train.item))[::-1]
    ax.loglog(np.arange(1, len(counts) + 1), counts, color=COLOURS[0])
    ax.set(xlabel="rank of the song by listens", ylabel="listens in train")
    return ax


def training_curves(histories: dict[str, dict[str, Any]]) -> Axes:
    """Draw the 1-of-21 accuracy by epoch, train and validation measured in the same way, with the best epoch marked."""
    ax = axes(height=4.4)
    for key, colour in model_colours(histories).items():
        epochs, name = pd.DataFrame(histories[key]["epochs"]).set_index("epoch"), model_name(key)
        ax.plot(epochs.index, 100 * epochs["train_accuracy"], "--", color=colour, label=f"{name}: train")
        ax.plot(epochs.index, 100 * epochs["val_accuracy"], "-o", ms=3, color=colour, label=f"{name}: validation")
        best = epochs.loc[[histories[key]["best_epoch"]], "val_accuracy"]
        ax.plot(best.index, 100 * best, "o", ms=10, mfc="none", color=colour, label=f"{name}: best epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel="1-of-21 accuracy, %")
    ax.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return ax


def trials(table: pd.DataFrame, settings: Sequence[str]) -> np.ndarray:
    """Draw NDCG@20 on validation by each of the settings tried, with a panel for each and the best trial marked."""
    axs, whole = panels(len(settings), 2.9 * len(settings), 3.4), table["state"] == "COMPLETE"
    best = table[whole].nlargest(1, "ndcg@20")
    for ax, setting in zip(axs, settings, strict=True):
        for rows, fill, name in ((table[whole], COLOURS[0], "complete"), (table[~whole], "none", "stopped early")):
            ax.scatter(rows[setting], rows["ndcg@20"], 26, facecolors=fill, edgecolors=COLOURS[0], label=name)
        ax.plot(best[setting], best["ndcg@20"], "o", ms=12, mfc="none", color=COLOURS[1], label="best")
        ax.set_xlabel(setting.replace("_", " "))
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.margins(0.12)
    axs[0].set_ylabel("NDCG@20 on validation")
    axs[0].figure.legend(*axs[0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside upper left")
    return axs


def means_with_intervals(evaluation: Evaluation) -> Axes:
    """Draw the models' NDCG@20 and recall@20 with 95 % intervals, the best model on top, baselines in grey."""
    order = evaluation.ordered()[::-1]
    axs = panels(2, 8.4, 1.2 + 0.42 * len(order))
    for ax, metric in zip(axs, ("ndcg@20", "recall@20"), strict=True):
        rows = evaluation.means.xs(metric, level="metric").loc[order]
        for key, row in rows.iterrows():
            errors = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
            colour = RECIPE_COLOURS.get(key, GREY)
            ax.errorbar(row["value"], model_name(key), xerr=errors, fmt="o", color=colour, capsize=3)
        ax.set(xlabel=f"{metric_name(metric)}, mean with 95 % interval", xlim=(0, None))
        ax.margins(y=0.15)
    return axs[0]


def length_against_popularity(split: Split, vectors: np.ndarray) -> Axes | None:
    """Draw the length of each song's vector against its listens in train, and the median length by listens.

    There is nothing to draw if all vectors have one length.
    """
    counts = np.bincount(split.train.item)
    lengths = np.linalg.norm(vectors[: split.n_items], axis=1)
    if np.allclose(lengths, lengths[0], rtol=1e-3):
        return None
    ax = axes()
    ax.scatter(counts, lengths, s=6, alpha=0.25, color=COLOURS[0], linewidths=0, label="a song")
    medians = pd.Series(lengths).groupby(np.round(2 * np.log2(counts))).median()  # two groups for each doubling
    ax.plot(2 ** (medians.index / 2), medians, color=COLOURS[1], label="median")
    ax.set(xlabel="listens in train", ylabel="length of the song's vector", xscale="log")
    ax.set_ylim(bottom=0)  # rounding is no difference: vectors of length one are drawn as a line
    ax.legend(frameon=False)
    return ax


def accuracy_by_negatives(sweep: pd.DataFrame) -> Axes:
    """Draw each model's expected accuracy by the number of random songs, and that of a guess; a line marks 20 songs."""
    ax = axes(height=5)
    curves = sweep.pivot(index="negatives", columns="model", values=["value", "low", "high"]) * 100
    n, last = curves.index, curves.index[-1]
    colours = model_colours(sweep["model"].unique())
    for key in curves["value"].loc[NEGATIVES].sort_values(ascending=False, kind="stable").index:
        colour, value = colours[key], curves["value"][key]
        name = f"{model_name(key)}: {value[NEGATIVES]:.1f} %, against all songs {value[last]:.2g} %"
        ax.plot(n, value, color=colour, lw=1.8, label=name)
        ax.fill_between(n, curves["low"][key], curves["high"][key], color=colour, alpha=0.2, linewidth=0)
        ax.plot(NEGATIVES, value[NEGATIVES], "o", ms=5, color=colour)
    ax.plot(n, 100 / (n + 1), color="black", lw=1, ls=":", label=f"guess: {100 / (NEGATIVES + 1):.1f} %")
    ticks = [*(10**i for i in range(9) if 10**i <= last / 3), last]
    ax.axvline(NEGATIVES, color=GREY, lw=0.8)
    ax.set(xscale="log", xlim=(1, last), ylim=(0, 100), ylabel="expected accuracy, %")
    ax.set(xlabel="number of random songs that the played song competes with")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    title = f"accuracy 1 of {NEGATIVES + 1}, ties shared"
    ax.legend(frameon=False, title=title, fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return ax


def exposure_by_decile(exposure: pd.DataFrame) -> Axes:
    """Draw each tenth's share of the songs in each model's lists, over bars with its share of the new songs played."""
    ax = axes(height=4)
    ax.bar(exposure.index, 100 * exposure["played"], 0.8, color="#dddddd", label="new songs played")
    for key, colour in model_colours(exposure.columns.drop("played")).items():
        name = f"listed by {model_name(key)}"
        ax.plot(exposure.index, 100 * exposure[key], "-o", ms=4, lw=1.8, color=colour, label=name)
    ax.set(xlabel="tenth of the songs, by listens (10: the most popular)", ylabel="share, %", ylim=(0, None))
    ax.set_xticks(exposure.index)
    ax.legend(frameon=False)
    return ax


def model_colours(keys: Iterable[str]) -> dict[str, str]:
    """Return a colour for each model: the same in every figure, and of no other recipe or baseline."""
    known, free = RECIPE_COLOURS | BASELINE_COLOURS, itertools.cycle(COLOURS)
    return {key: known.get(key) or next(free) for key in keys}
