"""Whom and what a model's lists serve, and what the log itself is like: measures without a verdict."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from recsys.answers import best, percent
from recsys.evaluation import Evaluation, over_users, ratio
from recsys.ranking import Scorer
from recsys.split import PARTS, Split
from recsys.standing import NONE, points, spread

PLACES = 10  # of the lists that exposure is counted in
SMALL = 50  # users below whom a group is warned of
Found = Iterator[tuple[str, tuple[float, float, float], str]]


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
    name, split, tenth = best(evaluation)[0], evaluation.split, _tenth(evaluation)
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
    """Yield the best model's recall@k by length of the history and, where they are known, by age and gender."""
    name, split = best(evaluation)[0], evaluation.split
    users, recall = evaluation.rankings[name].users, evaluation.per_user[name][f"recall@{k}"].to_numpy()
    history = pd.Series(np.diff(split.known.indptr), name="songs in the history")[users]
    groups, about = {"songs in the history": pd.qcut(history, 3, duplicates="drop")}, split.users.iloc[users]
    if "user_age" in about:
        groups["age"] = pd.cut(about["user_age"], range(0, 125, 5), right=False)
    if "user_gender" in about:
        groups["gender"] = about["user_gender"].astype("category")
    for what, labels in groups.items():
        for label in labels.cat.categories:
            if n := (inside := (labels == label).to_numpy()).sum():
                found = over_users(users, [recall * inside, inside], ratio, seed)
                care = f"; fewer than {SMALL}: read it with care" if n < SMALL else ""
                said = f"{spread(found)} for {n:,} listeners, {what} {_label(label)}{care}."
                yield f"recall@{k}, {what} {_label(label)}", found, f"recall@{k} of {name} is {said}"


def _label(group: Any) -> str:
    if not isinstance(group, pd.Interval):
        return str(group)
    first, last = (group.left, group.right - 1) if group.closed_left else (np.floor(group.left) + 1, group.right)
    return f"{first:,.0f} to {last:,.0f}"


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
    yield "repeats", repeats, f"{spread(repeats)} of the listens in test repeat a song that the listener had before."
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
