"""Measures: a value, its interval and a sentence, without a verdict. Is 79 % too high; overfitting; bias; the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from recsys.data.split import PARTS, Split
from recsys.evaluation.bootstrap import over_users, ratio
from recsys.evaluation.evaluate import Evaluation
from recsys.evaluation.ranking import Scorer
from recsys.evaluation.sampled import NEGATIVES, accuracy_sweep, expected_hits, rank_distribution
from recsys.models.baselines.popularity import fit_popularity
from recsys.reports.narrative import MAIN, best, percent, points, spread

NONE = (float("nan"), float("nan"))  # the interval of what has none
PLACES = 10  # of the lists that exposure is counted in
SMALL = 50  # users below whom a group is warned of
# what the first screen says of the author's accuracy
FIRST = ("place that the accuracy asks for", "popularity alone", "ties counted as hits", "pairs of models out of order")
Found = Iterator[tuple[str, tuple[float, float, float], str]]

@dataclass(frozen=True)
class Measure:
    """A value in its `group`, its 95 % interval over users (NaN where there is none), and what they say."""

    group: str
    name: str
    value: float
    low: float
    high: float
    sentence: str


@dataclass(frozen=True, eq=False)
class Measured:
    """All measures, and the frames of two figures, from `accuracy_sweep` and `exposure`."""

    measures: list[Measure]
    sweep: pd.DataFrame
    exposure: pd.DataFrame

    def said(self, name: str) -> str:
        """Return the sentence of the measure of that name."""
        return next(each.sentence for each in self.measures if each.name == name)


def measure(
    split: Split, scorers: dict[str, Scorer], evaluation: Evaluation, sampled: dict[str, dict[str, Any]],
    histories: dict[str, dict[str, Any]], seed: int = 0,
) -> Measured:  # fmt: skip
    """Measure what a reviewer would ask; `sampled` as from `sampled_accuracy`, `histories` of training by recipe."""
    if "popularity" not in scorers:
        scorers = {**scorers, "popularity": fit_popularity(split, ("train", "validation"), seed)}
    places = {name: rank_distribution(split, scorer, seed) for name, scorer in scorers.items()}
    sweep, shown = accuracy_sweep(places, split.n_items_all, seed), exposure(evaluation)
    groups = {
        "is 79 % too high?": _accuracy(split, places, sweep, evaluation, sampled, seed),
        "overfitting": _overfitting(split, places, histories, seed),
        "bias": [*of_lists(scorers, evaluation, seed), *of_listeners(evaluation, seed)],
        "data": of_data(split, seed),
    }
    measures = [
        Measure(group, name, float(value), float(low), float(high), sentence)
        for group, found in groups.items()
        for name, (value, low, high), sentence in found
    ]
    return Measured(measures, sweep, shown)


def _accuracy(split, places, sweep, evaluation, sampled, seed) -> Found:
    """Look at the model that is best by the author's test from all sides."""
    name = max(sampled, key=lambda each: sampled[each]["tie_fair"]["value"])
    rows, popularity = (places[each].query("part == 'test'") for each in (name, "popularity"))
    n_all, n_cold, fair, one = split.n_items_all, split.n_items_all - split.n_items, expected_hits(rows), np.ones(len(rows))

    def mean(values: np.ndarray) -> tuple[float, float, float]:
        return over_users(rows["user"], [values, one], ratio, seed)

    score = sampled[name]["tie_fair"]
    alone = tuple(sampled["popularity"]["tie_fair"].values()) if "popularity" in sampled else mean(expected_hits(popularity))
    place = tuple(1 + n_all * (1 - score[key] ** (1 / NEGATIVES)) for key in ("value", "high", "low"))
    yield "place that the accuracy asks for", place, (
        f"{name} gets {spread(tuple(score.values()))} on 1-of-{NEGATIVES + 1}, ties shared, like a ranker that puts "
        f"every played song at place {place[0]:,.0f} of {n_all:,}."
    )
    yield "popularity alone", alone, (
        f"Popularity alone, one list for all, gets {spread(alone)} there; chance is {percent(1 / (NEGATIVES + 1))}."
    )
    gain = {each: found["as_author"]["value"] - found["tie_fair"]["value"] for each, found in sampled.items()}
    most = max(gain, key=lambda each: gain[each])
    author, shared = (percent(sampled[most][key]["value"], 2) for key in ("as_author", "tie_fair"))
    yield "ties counted as hits", (gain[most], *NONE), (
        f"Counting ties as hits, as the author's metric does, adds up to {100 * gain[most]:.2f} points: {most} gets "
        f"{author} so, and {shared} with ties shared."
    )
    cold = mean(fair - expected_hits(rows, "warm"))
    yield "given away by untrained songs", cold, (
        f"{n_cold:,} of the {n_all:,} songs to draw from were never trained: they give {name} {points(cold)}."
    )
    accident = mean(1 - (1 - rows["own"]) ** NEGATIVES)
    yield "accidental hits", accident, (
        f"{spread(accident)} of the rows have a song among the {NEGATIVES} that the listener plays himself."
    )
    popular = mean(expected_hits(rows, "popular"))
    yield "against songs drawn by popularity", popular, (
        f"Against {NEGATIVES} songs drawn as often as they are listened to, {name} gets {spread(popular)}."
    )
    curves = sweep.pivot(index="negatives", columns="model", values="value")
    steps = [1, curves.index[np.searchsorted(curves.index, min(1000, n_all))], n_all]
    told = [f"{percent(curves.loc[n, name])} against {n:,}" for n in dict.fromkeys(steps)]
    whole, lead = sweep.set_index(["model", "negatives"]).loc[(name, n_all)], curves.loc[n_all].idxmax()
    yield "against as many songs as there are", tuple(whole[["value", "low", "high"]]), (
        f"{name} gets {', '.join(told)} random songs; against that many, {lead} leads, with "
        f"{percent(curves.loc[n_all, lead], 2)}. By {whole['users']:,.0f} listeners."
    )
    ranked = evaluation.means["value"].xs(MAIN, level="metric")
    pairs = [(sampled[a]["tie_fair"]["value"] - sampled[b]["tie_fair"]["value"]) * (ranked[a] - ranked[b])
             for a, b in combinations(sampled, 2)]  # fmt: skip
    swapped, first = sum(each < 0 for each in pairs), evaluation.ordered()[0]
    yield "pairs of models out of order", (swapped / max(len(pairs), 1), *NONE), (
        f"1-of-{NEGATIVES + 1} puts {swapped} of {len(pairs)} pairs of models in another order than NDCG@20, for all "
        f"of them over the same {split.n_items:,} songs and {evaluation.n_users:,} listeners; "
        f"{f'both put {name} first' if first == name else f'the one puts {name} first, the other {first}'}."
    )


def _overfitting(split, places, histories, seed) -> Found:
    """Measure train, validation and test alike: the exact expectation, on warm songs of the same users."""
    for name, history in histories.items():
        rows = places[name].query("user < @split.n_users and item < @split.n_items")
        fair, known = expected_hits(rows), np.asarray(split.known[rows["user"], rows["item"]]).ravel() > 0
        inside = {part: (rows["part"] == part).to_numpy() for part in PARTS}
        inside["new"] = inside["test"] & ~known
        columns = [column for part in ("train", "test") for column in (fair * inside[part], inside[part])]
        gap = over_users(rows["user"], columns, ratio, seed)
        mean = {part: percent(fair[mask].mean()) if mask.any() else "nothing" for part, mask in inside.items()}
        yield f"{name}: train above test", gap, (
            f"{name}, measured alike for {rows['user'].nunique():,} listeners: train {mean['train']}, validation "
            f"{mean['validation']}, test {mean['test']} ({mean['new']} on songs that are new to the listener). "
            f"Train is {points(gap)} above test."
        )
        first = history["epochs"][0]
        running, train, validation = (first[key] for key in ("accuracy", "train_accuracy", "val_accuracy"))
        above = ["above" if validation > each else "not above" for each in (running, train)]
        yield f"{name}: train, measured at the end, above its running mean", (train - running, *NONE), (
            f"{name}, epoch 1: the running mean on train is {percent(running)}; at its end train has {percent(train)} "
            f"and validation, measured alike, {percent(validation)}: {above[0]} the first, {above[1]} the second."
        )


def exposure(evaluation: Evaluation) -> pd.DataFrame:
    """Return, by tenth of the songs in order of popularity (10: most), its share of the songs played, and listed.

    Columns "played" (the new songs that are to be found) and one a model (its lists of 10).
    """
    relevant, tenth = evaluation.split.relevant(evaluation.part), _tenth(evaluation)
    songs = {"played": relevant.indices} | {name: each.items[:, :PLACES] for name, each in evaluation.rankings.items()}
    counts = {name: np.bincount(tenth[each[each >= 0]], minlength=11)[1:] for name, each in songs.items()}
    table = pd.DataFrame(counts, index=pd.RangeIndex(1, 11, name="tenth"))
    return table / table.sum()


def _tenth(evaluation: Evaluation) -> np.ndarray:
    counts = np.asarray(evaluation.split.counts(*PARTS[: PARTS.index(evaluation.part)]).sum(axis=0)).ravel()
    return 1 + 10 * np.argsort(np.argsort(counts, kind="stable"), kind="stable") // len(counts)


def of_lists(scorers: dict[str, Scorer], evaluation: Evaluation, seed: int) -> Found:
    """Yield how far lists follow popularity: the best model's in full, and the same of the others in a word."""
    name, split, tenth = evaluation.ordered()[0], evaluation.split, _tenth(evaluation)
    users, lists = evaluation.rankings[name].users, {k: v.items[:, :PLACES] for k, v in evaluation.rankings.items()}
    filled, relevant = lists[name] >= 0, split.relevant(evaluation.part)[users]
    columns = [(filled & (tenth[lists[name]] == 10)).sum(axis=1), filled.sum(axis=1)]
    columns += [relevant @ (tenth == 10), np.diff(relevant.indptr)]
    listed, played = (sum(columns[i]) / sum(columns[i + 1]) for i in (0, 2))
    more = over_users(users, columns, ratio, seed)
    yield "most popular tenth, listed above played", more, (
        f"The most popular tenth of the songs takes {percent(listed)} of the places in {name}'s lists of {PLACES} and "
        f"{percent(played)} of the new songs played: {points(more)}."
    )
    n_top, shares = max(split.n_items // 100, 1), {}
    for each, songs in lists.items():
        leaders = np.argsort(-np.bincount(songs[songs >= 0], minlength=split.n_items), kind="stable")[:n_top]
        shares[each] = over_users(users, [np.isin(songs, leaders).sum(axis=1), (songs >= 0).sum(axis=1)], ratio, seed)
    told = ", ".join(f"{percent(share[0])} of {each}'s" for each, share in shares.items())
    yield "lists taken by the most listed 1 %", shares[name], (
        f"The {n_top:,} songs that a model lists most, 1 % of all, take {told} lists of {PLACES}."
    )
    popularity = np.bincount(split.train.item)
    for each, scorer in scorers.items():
        vectors = np.asarray(getattr(scorer, "item_embeddings", getattr(scorer, "items", 0)))
        if vectors.ndim == 2:
            rank = spearmanr(np.linalg.norm(vectors[: split.n_items], axis=1), popularity).statistic
            yield f"{each}: vector length against popularity", (rank, *NONE), (
                f"{each}: the length of a song's vector has a rank correlation of {rank:.2f} with its listens in train."
            )


def of_listeners(evaluation: Evaluation, seed: int, k: int = 20) -> Found:
    """Yield the best model's recall@k by age and gender, where they are known (by history: see `slices`)."""
    name, about = evaluation.ordered()[0], evaluation.split.users
    recall = evaluation.per_user[name][f"recall@{k}"]
    groups = {"gender": about["user_gender"]} if "user_gender" in about else {}
    if "user_age" in about:
        names = [f"{age} to {age + 4}" for age in range(0, 120, 5)]
        groups["age"] = pd.cut(about["user_age"], range(0, 125, 5), right=False, labels=names)
    for what, labels in groups.items():
        for label, own in recall.groupby(labels.reindex(recall.index), observed=True):
            inside = recall.index.isin(own.index)
            found = over_users(recall.index, [recall * inside, inside], ratio, seed)
            care = f"; fewer than {SMALL}: read it with care" if len(own) < SMALL else ""
            said = f"{spread(found)} for {len(own):,} listeners, {what} {label}{care}."
            yield f"recall@{k}, {what} {label}", found, f"recall@{k} of {name} is {said}"


def of_data(split: Split, seed: int) -> Found:
    """Yield skips, repeats, density, and how test differs from train: in popularity and in the days of the week."""
    train, test, n_pairs, pairs = split.train, split.test, split.seen("train").nnz, split.n_users * split.n_items
    for step in split.manifest.get("steps", []):
        if step["step"] == "positives":
            skips = step["dropped"].get("skipped", 0) / step["rows_in"]
            yield "skips", (skips, *NONE), (
                f"{percent(skips)} of the {step['rows_in']:,} rows that arrived were left out as skips."
            )
    warm = (test.user < split.n_users) & (test.item < split.n_items)
    again = np.zeros(len(test))
    again[warm] = np.asarray(split.known[test.user[warm], test.item[warm]]).ravel()
    repeats = over_users(test.user, [again, np.ones(len(test))], ratio, seed)
    yield "repeats", repeats, (
        f"{spread(repeats)} of the listens in test, split {split.manifest.get('split')}, repeat a song that the "
        "listener had before."
    )
    ids = split.items["item_id"]
    largest = f"The largest song id is {ids.max():,}" if ids.dtype.kind in "iu" else "Song ids are text"
    yield "song ids", (split.n_items_all - 1, *NONE), f"{largest}; codes go up to {split.n_items_all - 1:,}."
    yield "density", (n_pairs / pairs, *NONE), (
        f"{n_pairs:,} of {pairs:,} pairs of a listener and a song occur in train: {percent(n_pairs / pairs, 2)}."
    )
    songs, rng = np.concatenate([train.item, test.item]), np.random.default_rng(seed)
    halves = [np.split(each, [len(train)]) for each in (songs, rng.permutation(songs))]
    counts = [[np.bincount(part, minlength=split.n_items_all) for part in each] for each in halves]
    drift, luck = (jensenshannon(*each, 2) ** 2 for each in counts)
    yield "drift of popularity", (drift, *NONE), (
        f"What is listened to in train and in test differs by {drift:.3f} bits (Jensen and Shannon's, at most 1); "
        f"by {luck:.3f} if the two are shuffled."
    )
    if train.timestamp is not None:
        days = [pd.DatetimeIndex(part.timestamp) for part in (train, test)]
        weekend = np.concatenate([part.day_of_week >= 5 for part in days])
        late = np.arange(len(weekend)) >= len(train)
        columns = [weekend & late, late, weekend & ~late, ~late]
        gap = over_users(np.concatenate([train.user, test.user]), columns, ratio, seed)
        first, length = days[1].min(), (days[1].max() - days[1].min()) / pd.Timedelta(days=1)
        yield "listens at weekends, test above train", gap, (
            f"The first listen of test is on {first:%A %d %B %Y at %H:%M} UTC, the last {length:.1f} days later; "
            f"{percent(weekend[late].mean())} of test and {percent(weekend[~late].mean())} of train are at weekends: "
            f"{points(gap)}."
        )
