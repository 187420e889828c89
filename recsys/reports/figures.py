"""Frame in, Axes out: every figure has units on its axes; captions are the notebooks' sentences."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.dates import ConciseDateFormatter
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator

from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import Evaluation
from recsys.evaluation.sampled import NEGATIVES
from recsys.reports.exploration import label, shown

# Okabe and Ito: safe for all eyes
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555")

MOST_DOTS = 20_000  # songs on a map


def axes(width: float = 8.0, height: float = 3.6) -> Axes:
    """Make one plain Axes."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return _plain(ax)


def show(ax: Axes | None, caption: str) -> None:
    """Show a figure with its caption, which is its alternative text too; the caption alone where there is none."""
    from IPython.display import Markdown, display

    if ax is not None:
        figure = ax.get_figure(root=True)
        display(figure, metadata={"image/png": {"alt": caption}})
        plt.close(figure)
    display(Markdown(caption))


def listens_by_time(split: Split) -> Axes | None:
    """Draw listens per day, a colour a part; None where there are no timestamps."""
    if split.train.timestamp is None:
        return None
    ax = axes()
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


def popularity_curve(split: Split) -> Axes:
    """Draw listens in train by the song's rank, both axes logarithmic: a straight line is Zipf's law."""
    ax = axes()
    counts = np.sort(np.bincount(split.train.item))[::-1]
    ax.loglog(np.arange(1, len(counts) + 1), counts, color=COLOURS[0])
    ax.set(xlabel="song, by rank of popularity", ylabel="listens in train")
    return ax


def training_curves(histories: dict[str, dict[str, Any]]) -> Axes:
    """Draw the 1-of-21 accuracy by epoch: train and validation measured alike, and the best epoch marked."""
    ax = axes()
    for (name, history), colour in zip(histories.items(), COLOURS, strict=False):
        epochs = pd.DataFrame(history["epochs"]).set_index("epoch")
        ax.plot(epochs.index, 100 * epochs["train_accuracy"], "--", color=colour, label=f"{name}, train")
        ax.plot(epochs.index, 100 * epochs["val_accuracy"], "-o", ms=3, color=colour, label=f"{name}, validation")
        best = epochs.loc[[history["best_epoch"]], "val_accuracy"]
        ax.plot(best.index, 100 * best, "o", ms=10, mfc="none", color=colour, label=f"{name}, best epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel="1-of-21 accuracy, %")
    ax.legend(frameon=False)
    return ax


def trials(table: pd.DataFrame, settings: Sequence[str]) -> np.ndarray:
    """Draw NDCG@20 on validation by each of the settings tried, one panel a setting, the best trial marked."""
    size = (2.9 * len(settings), 3.4)
    axs = plt.subplots(1, len(settings), figsize=size, layout="constrained", sharey=True, squeeze=False)[1][0]
    whole = table["state"] == "COMPLETE"
    best = table[whole].nlargest(1, "ndcg@20")
    for ax, setting in zip(axs, settings, strict=True):
        for rows, fill, told in ((table[whole], COLOURS[0], "to its end"), (table[~whole], "none", "ended early")):
            _plain(ax).scatter(rows[setting], rows["ndcg@20"], 26, facecolors=fill, edgecolors=COLOURS[0], label=told)
        ax.plot(best[setting], best["ndcg@20"], "o", ms=12, mfc="none", color=COLOURS[1], label="best")
        ax.set_xlabel(setting.replace("_", " "))
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.margins(0.12)
    axs[0].set_ylabel("NDCG@20 on validation")
    axs[0].figure.legend(*axs[0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside upper left")
    return axs


def means_with_intervals(evaluation: Evaluation, metrics: tuple[str, ...]) -> np.ndarray:
    """Draw each metric's mean by model with its 95 % interval, one panel a metric, best model on top."""
    order = evaluation.means.xs(metrics[0], level="metric")["value"].sort_values(kind="stable").index
    size = (4.2 * len(metrics), 1.2 + 0.42 * len(order))
    axs = plt.subplots(1, len(metrics), figsize=size, layout="constrained", sharey=True, squeeze=False)[1][0]
    for ax, metric in zip(axs, metrics, strict=True):
        rows = evaluation.means.xs(metric, level="metric").loc[order]
        errors = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        _plain(ax).errorbar(rows["value"], order, xerr=errors, fmt="o", color=COLOURS[0], capsize=3)
        ax.set(xlabel=f"{metric}, mean over users and 95 % interval", xlim=(0, None))
        ax.margins(y=0.15)
    return axs


def length_against_popularity(split: Split, vectors: np.ndarray) -> Axes:
    """Draw the length of each warm song's vector against its listens in train, with the median by popularity."""
    ax = axes()
    counts = np.bincount(split.train.item)
    lengths = np.linalg.norm(vectors[: split.n_items], axis=1)
    ax.scatter(counts, lengths, s=6, alpha=0.25, color=COLOURS[0], linewidths=0, label="a song")
    groups = pd.Series(lengths).groupby(np.round(2 * np.log2(counts)))
    ax.plot(2 ** (groups.median().index / 2), groups.median(), color=COLOURS[1], label="median")
    ax.set(xlabel="listens in train", ylabel="length of the song's vector", xscale="log")
    ax.legend(frameon=False)
    return ax


def accuracy_by_negatives(sweep: pd.DataFrame) -> Axes:
    """Draw each model's expected accuracy against 1 … all random songs, and chance; the author's 20 are marked."""
    ax = axes(height=4.4)
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


def exposure_by_decile(exposure: pd.DataFrame) -> Axes:
    """Draw what share of list places each tenth of the songs takes by model, over bars of what was played."""
    ax = axes(height=4)
    ax.bar(exposure.index, 100 * exposure["played"], 0.8, color="#dddddd", label="new songs played")
    for number, name in enumerate(exposure.columns.drop("played")):
        colour = COLOURS[number % len(COLOURS)]
        ax.plot(exposure.index, 100 * exposure[name], "-o", ms=4, lw=1.8, color=colour, label=f"listed by {name}")
    ax.set(xlabel="tenth of the songs by listens, 10 the most popular", ylabel="share, %", ylim=(0, None))
    ax.set_xticks(exposure.index)
    ax.legend(frameon=False)
    return ax


def song_map(split: Split, places: np.ndarray, anchors: dict[str, int], lists: dict[str, np.ndarray]) -> Axes:
    """Draw all songs by place (n_items, 2), the anchors and their neighbours marked, and the first anchor's from near.

    Colours are the artists most listened to, or listens in train where no artist is known, as in the view from near.
    """
    far, near = plt.subplots(1, 2, figsize=(11, 6.2), layout="constrained")[1]
    counts, first = np.bincount(split.train.item), next(iter(anchors))
    drawn = np.argsort(counts, kind="stable")[-MOST_DOTS:]  # the most listened to on top
    shades = {"norm": LogNorm(1, counts.max()), "cmap": "viridis", "linewidths": 0, "rasterized": True}
    dots = near.scatter(*places[drawn].T, c=counts[drawn], s=24, **shades)
    near.figure.colorbar(dots, ax=near, location="top", label="listens in train", aspect=40)
    if "artist" in split.items:
        artists = split.items["artist"][: split.n_items].to_numpy()
        far.scatter(*places[drawn].T, color="#d0d0d0", s=5, linewidths=0, rasterized=True, label="by others")
        for artist, colour in zip(pd.Series(counts).groupby(artists).sum().nlargest(6).index, COLOURS, strict=False):
            songs = np.intersect1d(np.flatnonzero(artists == artist), drawn)
            far.scatter(*places[songs].T, color=colour, s=9, linewidths=0, label="by " + drawable(artist, 28))
    else:
        far.scatter(*places[drawn].T, c=counts[drawn], s=5, **shades)
    for name, marker in zip(anchors, "os^", strict=False):
        songs = np.append(lists[name], anchors[name])
        for ax in (far, near)[: 1 + (name == first)]:
            ax.scatter(*places[songs].T, s=50, marker=marker, facecolors="none", edgecolors="black")
            ax.scatter(*places[songs[-1]], s=70, marker=marker, color="black")
        far.plot([], [], marker, color="black", label=drawable(f"{name}: {label(split, songs[-1])}", 60))
    for number, song in enumerate(lists[first], 1):
        near.annotate(number, places[song], (5, 5), textcoords="offset points", fontsize=9, weight="bold")
        near.plot([], [], " ", label=drawable(f"{number} {label(split, song)}", 60))
    songs = np.append(lists[first], anchors[first])
    low, high = places[songs].min(axis=0), places[songs].max(axis=0)
    for side, limits in zip((near.set_xlim, near.set_ylim), np.stack([low, high], 1), strict=True):
        side(*(limits + np.ptp(limits) * np.array([-0.15, 0.15])))
    for ax, title in ((far, "all songs"), (near, f"near the {first} song")):
        ax.set(xticks=[], yticks=[], xlabel=title)
        for text in ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.07)).get_texts():
            text.set_parse_math(False)
    return far


def drawable(text: Any, width: int) -> str:
    """Return a text for a figure: of sane length, with a box for each sign that matplotlib's own font lacks."""
    signs = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(sign if ord(sign) in signs else "\u25af" for sign in shown(text, width))


def _plain(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax
