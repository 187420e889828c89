"""The answers in words: every sentence is computed from an evaluation, and stays true when two models' results swap."""

from html import escape
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from recsys.audit import Check
from recsys.evaluation import Evaluation
from recsys.explore import label
from recsys.split import PARTS, Split

MAIN = "ndcg@20"  # the metric that the best model is named by
FEW = 100  # listeners, below which intervals say little


def percent(value: float, digits: int = 1) -> str:
    """Write a share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def best(evaluation: Evaluation, metric: str = MAIN) -> list[str]:
    """Return the models' names, best first by a metric."""
    means = evaluation.means.xs(metric, level="metric")["value"]
    return list(means.sort_values(ascending=False, kind="stable").index)


def headline(evaluation: Evaluation) -> str:
    """Say in one line which model is best, by how much, and whether the difference is real."""
    first, *others = best(evaluation)
    row = evaluation.means.loc[(first, MAIN)]
    line = f"{first} leads: NDCG@20 {row.value:.4f} ({row.low:.4f} to {row.high:.4f})"
    if not others:
        return line + "."
    gap = evaluation.difference(first, others[0], MAIN)
    if gap.verdict == "better":
        return f"{line}, {gap.value:.4f} above {others[0]} ({gap.low:.4f} to {gap.high:.4f})."
    level = [name for name in others if evaluation.difference(first, name, MAIN).verdict != "better"]
    return f"{line}, but not distinguishable from {_listed(level)}."


def sentences(evaluation: Evaluation, sampled: dict[str, dict[str, Any]]) -> list[str]:
    """Say what the lists are worth to a listener, what the 1-of-21 accuracy is worth, and what was not scored."""
    first = best(evaluation)[0]
    by_accuracy = sorted(sampled, key=lambda name: -sampled[name]["tie_fair"]["value"])
    share = {key: evaluation.means.loc[(first, key), "value"] for key in ("precision@20", "hit@20")}
    top, n_songs = sampled[by_accuracy[0]], evaluation.split.n_items
    lines = []
    if evaluation.n_users < FEW:
        lines.append(
            f"Only {evaluation.n_users:,} listeners can be scored, too few to tell much from; "
            "what was not scored, and why, stands in a table of its own."
        )
    lines += [
        f"Of 20 songs that {first} lists, {20 * share['precision@20']:.2f} on average are among the new songs that "
        f"the listener went on to play; {percent(share['hit@20'])} of "
        f"the {evaluation.n_users:,} listeners find at least one.",
        f"On the author's 1-of-{top['candidates']} test {by_accuracy[0]} scores "
        f"{percent(top['as_author']['value'], 2)} ({percent(top['tie_fair']['value'], 2)} with ties "
        f"shared); its recall@20 over all {n_songs:,} songs is "
        f"{percent(evaluation.means.loc[(by_accuracy[0], 'recall@20'), 'value'], 2)}. "
        f"To tell a song from {top['candidates'] - 1} random ones is not to find it.",
    ]
    if "popularity" in sampled and by_accuracy[0] != "popularity":
        lines.append(
            f"Popularity alone, the same list for everybody, scores "
            f"{percent(sampled['popularity']['as_author']['value'], 2)} there; "
            f"chance is {percent(1 / top['candidates'], 2)}."
        )
    flattered = max(sampled, key=lambda name: sampled[name]["as_author"]["value"] - sampled[name]["tie_fair"]["value"])
    gain = sampled[flattered]["as_author"]["value"] - sampled[flattered]["tie_fair"]["value"]
    if gain >= 0.0005:
        lines.append(
            f"Counting ties as hits, as the author's metric does, adds up to {100 * gain:.1f} points (to {flattered}); "
            "the tie-fair figure shares each hit among the tied."
        )
    lines.append(order_sentence(evaluation, sampled))
    account = evaluation.split.account(evaluation.part)
    shares = {key: percent(account[key] / account["rows"]) for key in ("scored", "repeat", "cold_user", "cold_item")}
    lines.append(
        f"Of {account['rows']:,} listens in {evaluation.part}, {shares['scored']} are new songs of known listeners "
        f"and are scored; {shares['repeat']} repeat a song that the listener already had, {shares['cold_user']} are by "
        f"listeners and {shares['cold_item']} of songs that training never saw."
    )
    return lines


def order_sentence(evaluation: Evaluation, sampled: dict[str, dict[str, Any]]) -> str:
    """Say whether the 1-of-21 accuracy and the ranking of the whole catalogue agree on who is better than whom."""
    by_ranking, by_accuracy = best(evaluation), sorted(sampled, key=lambda name: -sampled[name]["tie_fair"]["value"])
    orders = "the same order"
    if by_ranking != by_accuracy:
        orders = f"different orders ({', '.join(by_accuracy)} against {', '.join(by_ranking)})"
    return f"Sampled accuracy and full ranking put the models in {orders} here."


def sweep_sentence(sweep: pd.DataFrame) -> str:
    """Say how the accuracy of the model that leads at the fewest negatives falls on the way to the whole catalogue."""
    last = sweep["negatives"].max()
    at = {n: sweep[sweep["negatives"] == n].set_index("model")["value"] for n in (20, last)}
    lead = {n: values.idxmax() for n, values in at.items()}
    return (
        f"Against 20 random songs {lead[20]} leads with {percent(at[20][lead[20]])}; against {last:,} (all), "
        f"{lead[last]} leads with {percent(at[last][lead[last]], 2)}. By {sweep['users'].min():,} listeners."
    )


def exposure_sentence(exposure: pd.DataFrame) -> str:
    """Say what share the most popular tenth of the songs has in what is played, and in each model's lists."""
    top = exposure.iloc[-1]
    listed = ", ".join(f"{percent(top[name])} of {name}'s" for name in exposure.columns.drop("played"))
    return (
        f"The most popular tenth of the songs makes {percent(top['played'])} of the new songs that are played; "
        f"of the places, {listed}."
    )


def audit_sentence(checks: list[Check]) -> str:
    """Say whether anything leaks or flatters."""
    failed = [check.name for check in checks if not check.passed]
    if failed:
        return f"{len(failed)} of {len(checks)} checks for leaks and flattery fail: {', '.join(failed)}."
    return f"Nothing is found to leak or to flatter: all {len(checks)} checks pass."


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
        f"recall {percent(found['value'])} ({percent(found['low'])} to {percent(found['high'])})."
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


def neighbour_sentence(split: Split, name: str, anchor: int, tables: dict[str, pd.DataFrame]) -> str:
    """Say which song the neighbours are of, and how far the two similarities agree."""
    dot, cosine = (set(tables[by]["song"]) for by in ("dot", "cosine"))
    plays = {by: tables[by]["listens in train"].median() for by in ("dot", "cosine")}
    return (
        f"Neighbours of **{escape(label(split, anchor))}** in the model `{name}`: {len(dot & cosine)} of {len(cosine)} "
        f"stand in both lists. The median neighbour has {plays['dot']:,.0f} listens by dot product and "
        f"{plays['cosine']:,.0f} by cosine."
    )


def length_sentence(split: Split, vectors: np.ndarray) -> str:
    """Say how the length of a song's vector goes with its popularity, by rank correlation."""
    lengths = np.linalg.norm(vectors[: split.n_items], axis=1)
    correlation = spearmanr(lengths, np.bincount(split.train.item)).statistic
    return f"Rank correlation of a song's vector length with its listens: {correlation:.2f}."


def listener_sentence(
    split: Split, name: str, user: int, recommended: pd.DataFrame, show_user_ids: bool = False
) -> str:
    """Say whose list it is, and how many of its songs he went on to play."""
    who = f"Listener {split.users['user_id'][user]}" if show_user_ids else f"The listener with code {user}"
    relevant = int(np.diff(split.relevant("test")[[user]].indptr)[0])
    found = int((recommended["played in test"] == "yes").sum())
    return (
        f"{who} went on to play {relevant:,} new songs; {name} lists {len(recommended)}, {found} of them among these."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
