"""The answers in words: every sentence is computed from an evaluation, and stays true when two models' results swap."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import MAIN, Evaluation
from recsys.models.neighbours import unit
from recsys.reports.exploration import label, shown, song_table

FEW = 100  # listeners, below which intervals say little


def percent(value: float, digits: int = 1) -> str:
    """Write a share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def spread(share: Sequence[float], digits: int = 1) -> str:
    """Write a share and its interval in per cent."""
    value, low, high = (f"{100 * each:.{digits}f}" for each in share)
    return f"{value} % ({low} to {high})"


def points(difference: Sequence[float]) -> str:
    """Write a difference of shares and its interval in percentage points."""
    return "{:+.2f} points ({:+.2f} to {:+.2f})".format(*(100 * each for each in difference))


def headline(evaluation: Evaluation) -> str:
    """Say in one line which model is best, by how much, and whether the difference is real."""
    first, *others = evaluation.ordered()
    row = evaluation.means.loc[(first, MAIN)]
    line = f"{first} leads: NDCG@20 {row.value:.4f} ({row.low:.4f} to {row.high:.4f})"
    if not others:
        return line + "."
    gap = evaluation.difference(first, others[0], MAIN)
    if gap.verdict == "better":
        return f"{line}, {gap.value:.4f} above {others[0]} ({gap.low:.4f} to {gap.high:.4f})."
    level = [name for name in others if evaluation.difference(first, name, MAIN).verdict != "better"]
    return f"{line}, but not distinguishable from {', '.join(level)}."


def sentences(evaluation: Evaluation, sampled: dict[str, dict[str, Any]]) -> list[str]:
    """Say what the lists are worth to a listener, what the 1-of-21 accuracy is worth, and what was not scored."""
    first, by_test = evaluation.ordered()[0], max(sampled, key=lambda name: sampled[name]["tie_fair"]["value"])
    share = {key: evaluation.means.loc[(first, key), "value"] for key in ("precision@20", "hit@20")}
    top, recall = sampled[by_test], evaluation.means.loc[(by_test, "recall@20"), "value"]
    few = (
        f"Only {evaluation.n_users:,} listeners can be scored, too few to tell much from; "
        "what was not scored, and why, stands in a table of its own."
    )
    return [few] * (evaluation.n_users < FEW) + [
        f"Of 20 songs that {first} lists, {20 * share['precision@20']:.2f} on average are among the new songs that "
        f"the listener went on to play; {percent(share['hit@20'])} of "
        f"the {evaluation.n_users:,} listeners find at least one.",
        f"On the author's 1-of-{top['candidates']} test {by_test} scores {percent(top['as_author']['value'], 2)} "
        f"({percent(top['tie_fair']['value'], 2)} with ties shared); its recall@20 over all "
        f"{evaluation.split.n_items:,} songs is {percent(recall, 2)}. "
        f"To tell a song from {top['candidates'] - 1} random ones is not to find it.",
        account_sentence(evaluation.split, evaluation.part),
    ]


def account_sentence(split: Split, part: str = "test") -> str:
    """Say how many listens of a part are scored, and why the others are not."""
    account = split.account(part)
    parts = {key: percent(account[key] / account["rows"]) for key in ("scored", "repeat", "cold_user", "cold_item")}
    return (
        f"Of {account['rows']:,} listens in {part}, {parts['scored']} are new songs of known listeners "
        f"and are scored; {parts['repeat']} repeat a song that the listener already had, {parts['cold_user']} are by "
        f"listeners and {parts['cold_item']} of songs that training never saw."
    )


def seeds_sentence(by_seed: dict[str, list[float]], evaluation: Evaluation) -> str:
    """Say how far the seeds of a training spread beside the listeners."""
    lines = []
    for name, values in by_seed.items():
        row = evaluation.means.loc[(name, MAIN)]
        if len(values) > 1:
            lines.append(
                f"{name}, trained with {len(values)} seeds: NDCG@20 from {min(values):.4f} to {max(values):.4f}, "
                f"{max(values) - min(values):.4f} apart; the interval over listeners is {row.high - row.low:.4f} wide."
            )
    return " ".join(lines) or "Trained with one seed: `SEEDS=3` shows how far seeds spread."


def time_sentence(split: Split) -> str:
    """Say which days the parts cover."""
    if split.train.timestamp is None:
        return "These listens have no timestamps: there is nothing to draw over time."
    spans = {part: getattr(split, part).timestamp for part in PARTS}
    days = [f"{part} from {str(times.min())[:16]} to {str(times.max())[:16]}" for part, times in spans.items()]
    return "Positives per day, UTC: " + "; ".join(days).replace("T", " ") + "."


def repeats_sentence(found: dict[str, float] | None) -> str:
    """Say what the listeners' own most played songs get on the songs that they repeat."""
    if not found:
        return "Nobody repeats a song in test."
    return (
        f"On the songs that {found['users']:,} listeners repeat in test, a list of their own 20 most played songs has "
        f"recall {spread((found['value'], found['low'], found['high']))}."
    )


def data_sentences(split: Split, reused: bool) -> list[str]:
    """Say what the prepared data are, and whether they were there already."""
    manifest = split.manifest
    first, last = manifest["steps"][0], manifest["steps"][-1]
    scored = split.account("test")
    density = split.seen("train").nnz / (split.n_users * split.n_items)
    return [
        "Nothing has changed since it was prepared: the folder is used again." if reused else "Prepared anew.",
        f"{first['rows_in']:,} rows arrived; {last['rows_out']:,} positives remain, split {manifest['split']}: "
        + ", ".join(f"{len(getattr(split, part)):,} in {part}" for part in PARTS)
        + ".",
        f"{split.n_users:,} listeners and {split.n_items:,} songs can be learnt; "
        f"{percent(density, 2)} of their pairs occur.",
        f"A recommender can find {scored['relevant']:,} pairs in test: new songs of known listeners.",
    ]


def popularity_sentence(split: Split) -> str:
    """Say how much of all listening the most played songs take."""
    counts = np.sort(np.bincount(split.train.item))[::-1]
    top = max(len(counts) // 100, 1)
    return (
        f"The {top:,} most played of {len(counts):,} songs take {percent(counts[:top].sum() / counts.sum())} of the "
        f"listens in train; {percent((counts == 1).mean())} of the songs were played once."
    )


def training_sentences(histories: dict[str, dict[str, Any]]) -> list[str]:
    """Say how each training went: device, epochs, speed, and how train and validation compare when measured alike."""
    lines = []
    for name, history in histories.items():
        epochs, best_epoch = history["epochs"], history["best_epoch"]
        at_best = epochs[best_epoch - 1]
        gap = at_best["train_accuracy"] - at_best["val_accuracy"]
        speed = np.median([epoch["rows_per_second"] for epoch in epochs])
        side = "above" if gap >= 0 else "below"
        lines.append(
            f"{name}: {len(epochs)} epochs in {history['seconds']:.1f} s on {history['device']} ({speed:,.0f} rows/s); "
            f"best epoch {best_epoch}, validation accuracy {percent(at_best['val_accuracy'], 2)}. "
            f"Measured alike, train is {100 * abs(gap):.2f} points {side} validation."
        )
    return lines


def quoted(text: str) -> str:
    """Write a foreign text, of one line, so that Markdown, HTML, formulas and the text around it leave it alone."""
    return f"`\u2068{text.replace('`', chr(39))}\u2069`"


def neighbour_sentence(split: Split, kind: str, anchor: int, cosine: pd.DataFrame, dot: pd.DataFrame) -> str:
    """Say which song the neighbours are of, whether people listen to both, and how far the two similarities agree."""
    listens, shared = (split.train.item == anchor).sum(), (cosine["listen to both"] > 0).sum()
    lines = [f"The {kind} song, **{quoted(label(split, anchor))}**, has {listens:,} listens in train."]
    if "artist" in cosine:
        same = (cosine["artist"] == song_table(split, np.array([anchor]))["artist"][1]).sum()
        lines.append(f"{same} of its {len(cosine)} neighbours by cosine are by the same artist;")
    lines.append(f"{shared} share a listener with it, and the median lift is {cosine['lift'].median():.1f}.")
    plays = [table["listens in train"].median() for table in (dot, cosine)]
    both = len(set(cosine["song"]) & set(dot["song"]))
    lines.append(
        f"By dot product {both} of the {len(cosine)} are the same; the median neighbour has {plays[0]:,.0f} "
        f"listens by dot product, {plays[1]:,.0f} by cosine."
    )
    return " ".join(lines)


def quality_sentence(quality: pd.DataFrame) -> str:
    """Say how the neighbours by cosine and by dot product stand to chance and to each other."""
    words = ("by the same artist", "also neighbours by co-listening", "also neighbours with another seed", "mutual")
    rows = {each: quality.loc[(each, "cosine")] for each in words if each in quality.index}
    shares = [f"{percent(row.value)} are {each} ({percent(row.chance)} by chance)" for each, row in rows.items()]
    hubs = quality.loc["places taken by the 1 % most listed"]
    seeds = "" if words[2] in rows else " How far another seed changes them is measured where a run has `SEEDS=2`."
    return (
        f"Of the neighbours by cosine {', '.join(shares)}. The 1 % of songs listed most take "
        f"{percent(hubs['value']['cosine'])} of all places, by dot product {percent(hubs['value']['dot product'])}, "
        f"by chance {percent(hubs['chance']['cosine'])}.{seeds}"
    )


def length_sentence(split: Split, vectors: np.ndarray, similarity: str) -> str:
    """Say how the length of a song's vector goes with its popularity, by rank correlation, and whether it counts."""
    lengths = np.linalg.norm(vectors[: split.n_items], axis=1)
    correlation = spearmanr(lengths, np.bincount(split.train.item)).statistic
    part = {"dot": "count in", "cosine": "have no part in"}[similarity]
    return (
        f"Rank correlation of a song's vector length with its listens: {correlation:.2f}. The lengths {part} what this "
        "model recommends."
    )


def map_sentence(vectors: np.ndarray, places: np.ndarray, by: str) -> str:
    """Say what a map shows of the vectors, and what it cannot."""
    how = "by UMAP, which keeps who is near whom rather than how far"
    if by == "pca":
        part = places.var(axis=0).sum() / max(unit(vectors).var(axis=0).sum(), 1e-12)
        how = f"by the two directions in which they differ most, {percent(part)} of all that they differ"
    return (
        f"The directions of {len(vectors):,} vectors of {vectors.shape[1]} numbers, laid flat {how}: neighbours by "
        "cosine (in outline) may lie apart here. On the right the first song's surroundings, its neighbours numbered."
    )


def fold_in_sentence(checked: dict[str, Any]) -> str:
    """Say how near the lists from a history alone come to the trained ones."""
    k, ndcg = checked["k"], checked["ndcg"]
    return (
        f"Treated as strangers with only their songs known, {checked['users']:,} listeners get lists that share "
        f"{spread(checked['shared'])} of the {k} places with their trained ones; somebody else's trained list shares "
        f"{spread(checked['by chance'])}. NDCG@{k} is {ndcg['folded in']:.4f} against {ndcg['trained']:.4f}: "
        f"{spread(checked['ratio'])} of it."
    )


def listener_sentence(
    split: Split, name: str, user: int, recommended: pd.DataFrame, show_user_ids: bool = False
) -> str:
    """Say whose list it is, and how many of its songs he went on to play."""
    who = f"The listener with code {user}"
    if show_user_ids:
        who = f"Listener {quoted(shown(split.users['user_id'][user]))}"
    relevant = int(np.diff(split.relevant("test")[[user]].indptr)[0])
    found = int((recommended["played in test"] == "yes").sum())
    return (
        f"{who} went on to play {relevant:,} new songs; {name} lists {len(recommended)}, {found} of them among these."
    )
