"""Measures: a value, its interval and a sentence, without a verdict. Is 79 % too high; overfitting; bias; the data."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from recsys import bias
from recsys.answers import MAIN, best, percent
from recsys.baselines import fit_popularity
from recsys.evaluation import Evaluation, over_users, ratio
from recsys.ranking import Scorer
from recsys.split import PARTS, Split
from recsys.standing import NEGATIVES, NONE, accuracy_sweep, hits, points, spread, standing


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
    places = {name: standing(split, scorer, seed) for name, scorer in scorers.items()}
    sweep, shown = accuracy_sweep(places, split.n_items_all, seed), bias.exposure(evaluation)
    groups = {
        "is 79 % too high?": _accuracy(split, places, sweep, evaluation, sampled, seed),
        "overfitting": _overfitting(split, places, histories, seed),
        "bias": [*bias.of_lists(scorers, evaluation, seed), *bias.of_listeners(evaluation, seed)],
        "data": bias.of_data(split, seed),
    }
    return Measured([Measure(group, name, *map(float, triple), sentence) for group, found in groups.items()
                     for name, triple, sentence in found], sweep, shown)  # fmt: skip


def _accuracy(split, places, sweep, evaluation, sampled, seed):
    """Look at the model that is best by the author's test from all sides."""
    name = max(sampled, key=lambda each: sampled[each]["tie_fair"]["value"])
    rows, popularity = (places[each].query("part == 'test'") for each in (name, "popularity"))
    n_all, n_cold, fair, one = split.n_items_all, split.n_items_all - split.n_items, hits(rows), np.ones(len(rows))

    def mean(values: np.ndarray) -> tuple[float, float, float]:
        return over_users(rows["user"], [values, one], ratio, seed)

    score, *alone = ([sampled[each]["tie_fair"][key] for key in ("value", "low", "high")]
                     for each in (name, "popularity") if each in sampled)  # fmt: skip
    alone = alone[0] if alone else mean(hits(popularity))
    place = [1 + n_all * (1 - score[i] ** (1 / NEGATIVES)) for i in (0, 2, 1)]
    yield "place that the accuracy asks for", place, (
        f"{name} gets {spread(score)} on 1-of-{NEGATIVES + 1}, ties shared, like a ranker that puts every played song "
        f"at place {place[0]:,.0f} of {n_all:,}."
    )
    yield "popularity alone", alone, (
        f"Popularity alone, one list for everybody, gets {spread(alone)}; chance is {percent(1 / (NEGATIVES + 1))}."
    )
    cold = mean(fair - hits(rows, "warm"))
    yield "given away by untrained songs", cold, (
        f"{n_cold:,} of the {n_all:,} songs to draw from were never trained: they give {name} {points(cold)}."
    )
    accident, others = mean(1 - (1 - rows["own"]) ** NEGATIVES), mean(hits(rows, "others") - fair)
    yield "accidental hits", accident, (
        f"{spread(accident)} of the rows have a song among the {NEGATIVES} that the listener plays himself; without "
        f"such songs the accuracy of {name} changes by {points(others)}."
    )
    popular = mean(hits(rows, "popular"))
    yield "against songs drawn by popularity", popular, (
        f"Against {NEGATIVES} songs drawn as often as they are listened to, {name} gets {spread(popular)}."
    )
    curve = sweep[sweep["model"] == name].set_index("negatives")
    steps = sorted({1, curve.index[np.searchsorted(curve.index, min(1000, n_all))], n_all})
    yield "against as many songs as there are", tuple(curve.loc[n_all, ["value", "low", "high"]]), (
        f"{name} gets " + ", ".join(f"{percent(curve['value'][n])} against {n:,}" for n in steps) + " random songs."
    )
    ranked = evaluation.means["value"].xs(MAIN, level="metric")
    pairs = [(sampled[a]["tie_fair"]["value"] - sampled[b]["tie_fair"]["value"]) * (ranked[a] - ranked[b])
             for a, b in combinations(sampled, 2)]  # fmt: skip
    swapped, first = sum(each < 0 for each in pairs), best(evaluation)[0]
    yield "pairs of models in another order", (swapped / max(len(pairs), 1), *NONE), (
        f"Of {len(pairs)} pairs of models, 1-of-{NEGATIVES + 1} puts {swapped} in another order than NDCG@20 over all "
        f"songs; {f'both put {name} first' if first == name else f'the one puts {name} first, the other {first}'}."
    )


def _overfitting(split, places, histories, seed):
    """Measure train, validation and test alike: the exact expectation, on warm songs of the same users."""
    for name, history in histories.items():
        rows = places[name].query("user < @split.n_users and item < @split.n_items")
        fair, known = hits(rows), np.asarray(split.known[rows["user"], rows["item"]]).ravel() > 0
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
