"""Measures: what the accuracy of the described system hides, in numbers with intervals and without a verdict."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.split import Split
from recsys.evaluation.bootstrap import estimate, estimate_mean, ratio
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation, count_listens
from recsys.evaluation.ranking import Scorer
from recsys.evaluation.sampled import NEGATIVES, accuracy_sweep, expected_hits, rank_distribution

K = 10  # length of the lists in which exposure is counted
DESCRIBED = "author"  # the described system's recipe
GUESS = f"{100 / (NEGATIVES + 1):.1f} %"

# key: (unit of the answer, question, why it matters); {model} stands for the name of the measure's model
QUESTIONS = {
    "equivalent_rank": ("count",
        "Equivalent rank: if every played song had the same rank, which would give the 1-of-21 accuracy of {model}?",
        "A listener sees the top of the list only."),
    "popularity_alone": ("share", "What 1-of-21 accuracy does popularity alone reach?",
        f"Popularity gives everyone the same list. Guessing reaches {GUESS}."),
    "ties": ("points", "How much does counting ties as hits add to the accuracy of {model}, where it adds most?",
        "A model that scores all songs alike would reach 100 %."),
    "songs_not_in_train": ("count", "How many of all songs are not in train?",
        "A model has nothing to learn them from, and cannot rank them."),
    "untrained_songs": ("points", "How much do negatives that are not in train add to the accuracy of {model}?",
        "Their vectors are untrained, which makes them easy negatives."),
    "accidental_hits": ("share", f"How often is one of the {NEGATIVES} negatives a song that the listener plays?",
        "A high score for such a song counts as an error, but is none."),
    "model_pairs": ("count", "How many pairs of models does the 1-of-21 accuracy rank differently from NDCG@20?",
        "An accuracy that ranks models differently cannot choose between them."),
    "train_minus_test": ("points", "How much higher is the accuracy of {model} on train than on test?",
        "A model that only remembers is good on train and poor on test."),
    "running_mean": ("points",
        "In the first epoch of {model}, how far is the running mean below the accuracy on train at the end?",
        "The running mean includes steps before the model had learnt anything."),
    "vector_length": ("correlation", "How closely does the length of a song's vector in {model} follow its popularity?",
        "Dot products favour long vectors. 1 is the same order, 0 is no relation."),
    "skips": ("share", "How many of all rows are skips, and left out?",
        "A skip is no sign that the listener liked the song."),
    "repeats": ("share", "How many test listens repeat a song that the listener already had?",
        "Listing them again is remembering, not discovery. They are counted, not scored."),
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """The answer to one of the `QUESTIONS`, with its 95 % interval over users (NaN where there is none).

    `model` is the one that the question is about, if it names one. A count is one of `of`.
    """

    key: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    model: str = ""
    of: int = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """All measures, the first of a key by `[key]`, and the frames that `accuracy_sweep` and `exposure` return."""

    measures: list[Measure]
    sweep: pd.DataFrame
    exposure: pd.DataFrame

    def __getitem__(self, key: str) -> Measure:
        for each in self.measures:
            if each.key == key:
                return each
        raise KeyError(key)


def measure(
    split: Split, scorers: dict[str, Scorer], evaluation: Evaluation, accuracy: dict[str, dict[str, Any]],
    histories: dict[str, dict[str, Any]], seed: int = 0,
) -> Measured:  # fmt: skip
    """Measure what a reviewer would ask; `accuracy` is by model from `sampled_accuracy`, `histories` are by recipe."""
    ranks = {name: rank_distribution(split, scorer, seed) for name, scorer in scorers.items()}
    measures = [
        *_of_accuracy(split, ranks, evaluation, accuracy, seed),
        *_of_training(split, scorers, ranks, histories, seed),
        *_of_data(split, seed),
    ]
    return Measured(measures, accuracy_sweep(ranks, split.n_items_all, seed), exposure(evaluation))


def exposure(evaluation: Evaluation) -> pd.DataFrame:
    """Return, for each tenth of the songs in order of popularity (10: the most popular), its share of all songs.

    Column "played" counts the new songs that should be found, the columns named by model those in lists of 10.
    """
    counts = count_listens(evaluation.split)
    tenth = 1 + 10 * np.argsort(np.argsort(counts, kind="stable"), kind="stable") // len(counts)
    songs = {"played": evaluation.split.relevant().indices}
    songs |= {name: each.items[:, :K] for name, each in evaluation.rankings.items()}
    places = {name: np.bincount(tenth[each[each >= 0]], minlength=11)[1:] for name, each in songs.items()}
    table = pd.DataFrame(places, index=pd.RangeIndex(1, 11, name="tenth"))
    return table / table.sum()


def _of_accuracy(split, ranks, evaluation, accuracy, seed) -> Iterator[Measure]:
    """Look at the 1-of-21 accuracy: that of the described system, or of the model that is best by it."""
    fair = {name: found["tie_fair"]["value"] for name, found in accuracy.items()}
    name, n_all = _described_or_largest(fair), split.n_items_all
    bounds = (accuracy[name]["tie_fair"][key] for key in ("value", "high", "low"))
    rank, low, high = (1 + n_all * (1 - each ** (1 / NEGATIVES)) for each in bounds)
    yield Measure("equivalent_rank", rank, low, high, name, n_all)
    if "popularity" in accuracy:
        yield Measure("popularity_alone", **accuracy["popularity"]["tie_fair"])
    gain = {each: found["as_author"]["value"] - found["tie_fair"]["value"] for each, found in accuracy.items()}
    most = max(gain, key=lambda each: gain[each])
    yield Measure("ties", gain[most], model=most)
    yield Measure("songs_not_in_train", n_all - evaluation.split.n_items, of=n_all)
    rows = ranks[name].query("part == 'test'")
    untrained = expected_hits(rows) - expected_hits(rows, "warm")
    yield Measure("untrained_songs", *estimate_mean(rows["user"], untrained, seed), name)
    accidental = 1 - (1 - rows["own"]) ** NEGATIVES
    yield Measure("accidental_hits", *estimate_mean(rows["user"], accidental, seed))
    ndcg, pairs = evaluation.means["value"].xs(MAIN_METRIC, level="metric"), list(combinations(accuracy, 2))
    swapped = sum((fair[a] - fair[b]) * (ndcg[a] - ndcg[b]) < 0 for a, b in pairs)
    yield Measure("model_pairs", swapped, of=len(pairs))


def _of_training(split, scorers, ranks, histories, seed) -> Iterator[Measure]:
    """Compare train with test, and with its own running mean; relate the length of vectors to popularity."""
    for name in histories:  # train and test alike: the exact expectation, over warm songs of the same users
        rows = ranks[name].query("user < @split.n_users and item < @split.n_items")
        hits, parts = expected_hits(rows), [(rows["part"] == part).to_numpy() for part in ("train", "test")]
        gap = estimate(rows["user"], [column for part in parts for column in (hits * part, part)], ratio, seed)
        yield Measure("train_minus_test", *gap, name)
    if not histories:
        return
    from scipy.stats import spearmanr  # takes most of a second, and commands without a model do without

    first = {name: history["epochs"][0] for name, history in histories.items()}
    gain = {name: epoch["train_accuracy"] - epoch["accuracy"] for name, epoch in first.items()}
    name = _described_or_largest(gain)
    yield Measure("running_mean", gain[name], model=name)
    popularity, correlation = np.bincount(split.train.item), {}
    for name in histories:
        lengths = np.linalg.norm(np.asarray(scorers[name].item_embeddings)[: split.n_items], axis=1)
        correlation[name] = spearmanr(lengths, popularity).statistic
    name = _described_or_largest(correlation)
    yield Measure("vector_length", correlation[name], model=name)


def _of_data(split: Split, seed: int) -> Iterator[Measure]:
    """Count skips among the rows, and repeats in test."""
    for step in split.manifest.get("steps", []):
        if step["step"] == "positives":
            yield Measure("skips", step["dropped"].get("skipped", 0) / step["rows_in"])
    test = split.test
    warm, again = (test.user < split.n_users) & (test.item < split.n_items), np.zeros(len(test))
    again[warm] = np.asarray(split.known[test.user[warm], test.item[warm]]).ravel()
    yield Measure("repeats", *estimate_mean(test.user, again, seed))


def _described_or_largest(by_model: dict[str, float]) -> str:
    return DESCRIBED if DESCRIBED in by_model else max(by_model, key=lambda name: by_model[name])
