"""Measures: what the accuracy of the described system hides, in numbers with intervals and without a verdict."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from recsys.data.split import PARTS, Split
from recsys.evaluation.bootstrap import estimate, estimate_mean, ratio
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation
from recsys.evaluation.ranking import Scorer
from recsys.evaluation.sampled import NEGATIVES, accuracy_sweep, expected_hits, rank_distribution
from recsys.models.baselines.popularity import fit_popularity

K = 10  # length of the lists in which exposure is counted
DESCRIBED = "author"  # the described system's recipe
UNDEFINED = float("nan")  # in place of an interval
CHANCE = f"{100 / (NEGATIVES + 1):.1f} %"

# key: question, unit, why it matters
QUESTIONS = {
    "equivalent_rank": (
        "Equivalent rank: if every played song had the same rank, which would give the 1-of-21 accuracy of {model}?",
        "rank", "A listener sees the top of the list only."),
    "popularity_alone": (
        "What 1-of-21 accuracy does popularity alone reach?",
        "share", f"Popularity gives everyone the same list. Guessing reaches {CHANCE}."),
    "ties": (
        "How much does counting ties as hits add to the accuracy of {model}, where it adds most?",
        "points", "A model that scores all songs alike would reach 100 %."),
    "untrained_songs": (
        "How much do negatives that are not in train add to the accuracy of {model}?",
        "points", "Their vectors are untrained, which makes them easy negatives."),
    "accidental_hits": (
        f"How often is one of the {NEGATIVES} negatives a song that the listener plays?",
        "share", "A high score for such a song counts as an error, but is none."),
    "model_pairs": (
        "How many pairs of models does the 1-of-21 accuracy rank differently from NDCG@20?",
        "count", "An accuracy that ranks models differently cannot choose between them."),
    "train_minus_test": (
        "How far is the accuracy of {model} on train above that on test, measured in the same way?",
        "points", "A model that only remembers is good on train and poor on test."),
    "running_mean": (
        "In the first epoch of {model}, how far is the running mean below the accuracy on train at the end?",
        "points", "The running mean includes steps before the model had learnt anything."),
    "vector_length": (
        "How closely does the length of a song's vector in {model} follow its popularity?",
        "correlation", "Dot products favour long vectors. 1 is the same order, 0 is no relation."),
    "popular_tenth": (
        f"How much larger is the share of the most popular tenth of songs in the lists of {K} by {{model}} than among "
        "the new songs played?",
        "points", "Lists of popular songs hide the rest of the catalogue."),
    "skips": (
        "How many of all rows are skips, and left out?",
        "share", "A skip is no sign that the listener liked the song."),
    "repeats": (
        "How many test listens repeat a song that the listener already had?",
        "share", "Listing them again is remembering, not discovery. They are counted, not scored."),
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """A number that answers a question, with its 95 % interval over users (NaN where there is none).

    `unit` is share, points (a difference of shares), rank, count or correlation. "{model}" in the `question` stands for
    the name of `model`. A rank or a count is one of `of`; elsewhere `of` is 0. `why` says why the question matters.
    """

    key: str
    question: str
    value: float
    low: float
    high: float
    unit: str
    why: str
    model: str = ""
    of: int = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """All measures, and the frames of two figures, as made by `accuracy_sweep` and `exposure`."""

    measures: list[Measure]
    sweep: pd.DataFrame
    exposure: pd.DataFrame

    def __getitem__(self, key: str) -> Measure:
        """Return the (first) measure with a key. Raises KeyError where the run has none."""
        for each in self.measures:
            if each.key == key:
                return each
        raise KeyError(key)


def measure(
    split: Split, scorers: dict[str, Scorer], evaluation: Evaluation, accuracy: dict[str, dict[str, Any]],
    histories: dict[str, dict[str, Any]], seed: int = 0,
) -> Measured:  # fmt: skip
    """Measure what a reviewer would ask.

    `accuracy` holds what `sampled_accuracy` returns, by model; `histories` those of training, by recipe.
    """
    if "popularity" not in scorers:
        scorers = {**scorers, "popularity": fit_popularity(split, ("train", "validation"), seed)}
    ranks = {name: rank_distribution(split, scorer, seed) for name, scorer in scorers.items()}
    measures = [
        *_of_accuracy(split, ranks, evaluation, accuracy, seed),
        *_of_training(split, scorers, ranks, histories, seed),
        _of_lists(evaluation, seed),
        *_of_data(split, seed),
    ]
    return Measured(measures, accuracy_sweep(ranks, split.n_items_all, seed), exposure(evaluation))


def exposure(evaluation: Evaluation) -> pd.DataFrame:
    """Return, for each tenth of the songs in order of popularity (10: the most popular), its share of all songs.

    Column "played" counts the new songs that should be found, the columns named by model those in lists of 10.
    """
    relevant, tenth = evaluation.split.relevant(evaluation.part), _tenths(evaluation)
    songs = {"played": relevant.indices} | {name: each.items[:, :K] for name, each in evaluation.rankings.items()}
    counts = {name: np.bincount(tenth[each[each >= 0]], minlength=11)[1:] for name, each in songs.items()}
    table = pd.DataFrame(counts, index=pd.RangeIndex(1, 11, name="tenth"))
    return table / table.sum()


def _of_accuracy(split, ranks, evaluation, accuracy, seed) -> Iterator[Measure]:
    """Look at the 1-of-21 accuracy: that of the described system, or of the model that is best by it."""
    fair = {name: found["tie_fair"] for name, found in accuracy.items()}
    name = DESCRIBED if DESCRIBED in fair else max(fair, key=lambda each: fair[each]["value"])
    rows = ranks[name].query("part == 'test'")
    score, n_all = fair[name], split.n_items_all
    rank, low, high = (1 + n_all * (1 - score[key] ** (1 / NEGATIVES)) for key in ("value", "high", "low"))
    yield _measure("equivalent_rank", rank, low, high, name, n_all)
    if "popularity" in fair:
        value, low, high = fair["popularity"].values()
        yield _measure("popularity_alone", value, low, high)
    else:  # not among the baselines: its expectation
        popularity = ranks["popularity"].query("part == 'test'")
        yield _measure("popularity_alone", *estimate_mean(popularity["user"], expected_hits(popularity), seed))
    gain = {each: found["as_author"]["value"] - found["tie_fair"]["value"] for each, found in accuracy.items()}
    most = max(gain, key=lambda each: gain[each])
    yield _measure("ties", gain[most], model=most)
    untrained = expected_hits(rows) - expected_hits(rows, "warm")
    yield _measure("untrained_songs", *estimate_mean(rows["user"], untrained, seed), model=name)
    accidental = 1 - (1 - rows["own"]) ** NEGATIVES
    yield _measure("accidental_hits", *estimate_mean(rows["user"], accidental, seed))
    ndcg, pairs = evaluation.means["value"].xs(MAIN_METRIC, level="metric"), list(combinations(accuracy, 2))
    swapped = sum((fair[a]["value"] - fair[b]["value"]) * (ndcg[a] - ndcg[b]) < 0 for a, b in pairs)
    yield _measure("model_pairs", swapped, of=len(pairs))


def _of_training(split, scorers, ranks, histories, seed) -> Iterator[Measure]:
    """Compare train with test, and with its own running mean; relate the length of vectors to popularity."""
    for name in histories:  # train and test alike: the exact expectation, over warm songs of the same users
        rows = ranks[name].query("user < @split.n_users and item < @split.n_items")
        hits, parts = expected_hits(rows), [(rows["part"] == part).to_numpy() for part in ("train", "test")]
        gap = estimate(rows["user"], [column for part in parts for column in (hits * part, part)], ratio, seed)
        yield _measure("train_minus_test", *gap, model=name)
    if not histories:
        return
    first = {name: history["epochs"][0] for name, history in histories.items()}
    gain = {name: epoch["train_accuracy"] - epoch["accuracy"] for name, epoch in first.items()}
    yield _described_or_largest("running_mean", gain)
    popularity = np.bincount(split.train.item)
    tables = {name: np.asarray(scorers[name].item_embeddings)[: split.n_items] for name in histories}
    lengths = {name: np.linalg.norm(table, axis=1) for name, table in tables.items()}
    correlation = {name: spearmanr(each, popularity).statistic for name, each in lengths.items()}
    yield _described_or_largest("vector_length", correlation)


def _of_lists(evaluation: Evaluation, seed: int) -> Measure:
    """Measure how much more of the best model's lists than of what is played goes to the most popular songs."""
    name, tenth = evaluation.ordered()[0], _tenths(evaluation)
    users, lists = evaluation.rankings[name].users, evaluation.rankings[name].items[:, :K]
    filled, relevant = lists >= 0, evaluation.split.relevant(evaluation.part)[users]
    columns = [(filled & (tenth[lists] == 10)).sum(axis=1), filled.sum(axis=1)]
    columns += [relevant @ (tenth == 10), np.diff(relevant.indptr)]
    return _measure("popular_tenth", *estimate(users, columns, ratio, seed), model=name)


def _of_data(split: Split, seed: int) -> Iterator[Measure]:
    """Count skips among the rows, and repeats in test."""
    for step in split.manifest.get("steps", []):
        if step["step"] == "positives":
            yield _measure("skips", step["dropped"].get("skipped", 0) / step["rows_in"])
    test = split.test
    warm, again = (test.user < split.n_users) & (test.item < split.n_items), np.zeros(len(test))
    again[warm] = np.asarray(split.known[test.user[warm], test.item[warm]]).ravel()
    yield _measure("repeats", *estimate_mean(test.user, again, seed))


def _measure(
    key: str, value: float, low: float = UNDEFINED, high: float = UNDEFINED, model: str = "", of: int = 0
) -> Measure:
    question, unit, why = QUESTIONS[key]
    return Measure(key, question, float(value), float(low), float(high), unit, why, model, of)


def _described_or_largest(key: str, by_model: dict[str, float]) -> Measure:
    model = DESCRIBED if DESCRIBED in by_model else max(by_model, key=lambda name: by_model[name])
    return _measure(key, by_model[model], model=model)


def _tenths(evaluation: Evaluation) -> np.ndarray:
    """Return the tenth that each song belongs to, 1 to 10, by listens before the evaluated part."""
    counts = np.asarray(evaluation.split.counts(*PARTS[: PARTS.index(evaluation.part)]).sum(axis=0)).ravel()
    return 1 + 10 * np.argsort(np.argsort(counts, kind="stable"), kind="stable") // len(counts)
