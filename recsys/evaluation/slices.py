"""What a mean hides: by popularity of the songs, by length of the history, on repeats, and below which ceiling."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data import synthetic
from recsys.data.split import PARTS, Split
from recsys.evaluation import metrics
from recsys.evaluation.bootstrap import over_users, ratio
from recsys.evaluation.evaluate import Evaluation, metrics_by_user
from recsys.evaluation.ranking import rank

HEAD = 0.5  # share of all listens that the head takes; the tail is `metrics.tail`, the middle what lies between


def popularity_groups(popularity: np.ndarray) -> np.ndarray:
    """Return "head", "middle" or "tail" for each song: the head holds half of all listens, the tail the last fifth."""
    order = np.argsort(-popularity, kind="stable")
    head = np.zeros(len(popularity), bool)
    head[order] = np.cumsum(popularity[order]) - popularity[order] < HEAD * popularity.sum()
    return np.where(head, "head", np.where(metrics.tail(popularity), "tail", "middle"))


def by_popularity(evaluation: Evaluation, k: int = 20, seed: int = 0) -> pd.DataFrame:
    """Return the share of relevant songs found in the first k places, by group of songs.

    Columns model, slice, songs, events, value, low, high: pooled over events, intervals over users.
    """
    split, before = evaluation.split, PARTS[: PARTS.index(evaluation.part)]
    groups = popularity_groups(np.asarray(split.counts(*before).sum(axis=0)).ravel())
    rows = []
    for name, ranking in evaluation.rankings.items():
        relevant = split.relevant(evaluation.part)[ranking.users].tocoo()  # in the order of ranking.owner
        found = np.clip((k - ranking.greater) / ranking.tied, 0, 1)
        for group in ("head", "middle", "tail"):
            inside = groups[relevant.col] == group
            share = over_users(ranking.owner, [found * inside, inside], ratio, seed)
            rows.append((name, group, (groups == group).sum(), inside.sum(), *share))
    return pd.DataFrame(rows, columns=["model", "slice", "songs", "events", "value", "low", "high"])


def by_history(evaluation: Evaluation, metric: str = "recall@20", n_groups: int = 4, seed: int = 0) -> pd.DataFrame:
    """Return the mean of a metric by length of the user's history, in groups of about equal size.

    Columns model, slice (distinct songs in the history), users, value, low, high.
    """
    lengths = np.diff(evaluation.split.seen(*PARTS[: PARTS.index(evaluation.part)]).indptr)
    rows = []
    for name, frame in evaluation.per_user.items():
        own = pd.Series(lengths[frame.index], frame.index)
        for _, members in own.groupby(pd.qcut(own, n_groups, duplicates="drop"), observed=True):
            mean = over_users(members.index, [frame.loc[members.index, metric], np.ones(len(members))], ratio, seed)
            rows.append((name, f"{members.min():,} to {members.max():,} songs", len(members), *mean))
    return pd.DataFrame(rows, columns=["model", "slice", "users", "value", "low", "high"])


@dataclass(frozen=True)
class OwnPlays:
    """Scores a song by how often the user has played it: what a "listen again" shelf would show."""

    counts: sparse.csr_matrix

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return the counts, (len(users), n_items)."""
        return self.counts[users].toarray()


def on_repeats(split: Split, k: int = 20, seed: int = 0) -> dict[str, float] | None:
    """Return recall@k of the user's own most played songs on the songs he repeats in test; None without repeats.

    Keys users, value, low, high. It is the other half of listening: not what a recommender of new songs is judged by.
    """
    repeats = split.seen("test").multiply(split.known).tocsr()
    repeats.sort_indices()
    users = np.flatnonzero(np.diff(repeats.indptr))
    if not len(users):
        return None
    nothing_seen = sparse.csr_matrix(repeats.shape, dtype=np.float32)
    ranking = rank(OwnPlays(split.counts("train", "validation")), users, nothing_seen, repeats, k)
    values = metrics_by_user(ranking, (k,), np.ones(split.n_items))[f"recall@{k}"].to_numpy()
    value, low, high = over_users(users, [values, np.ones(len(users))], ratio, seed)
    return {"users": len(users), "value": value, "low": low, "high": high}


@dataclass(frozen=True)
class Truth:
    """Scores a song of the invented sample by how probable it truly is to be the user's next new one.

    `songs` (n_items_all,) columns of `synthetic.truth` by code, `ids` (n_users_all,) its users, `before` as there.
    """

    songs: np.ndarray
    ids: np.ndarray
    before: np.datetime64

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all)."""
        size = {name: synthetic.SAMPLE[name] for name in ("n_items", "seed")}
        return synthetic.truth(self.ids[users], **size, before=self.before)[:, self.songs]


def ceiling(split: Split) -> Truth | None:
    """Return the scorer that no model can beat in the mean; None where the truth is not known.

    It is known for the sample split by time: what the generator would play next, given the moment that test begins.
    """
    if split.name != "sample" or split.manifest["split"] != "by-time" or split.test.timestamp is None:
        return None
    made = synthetic.catalogue(synthetic.SAMPLE["n_items"], synthetic.SAMPLE["seed"])
    songs = pd.Index(made.media).get_indexer(split.items["item_id"])
    return Truth(songs, split.users["user_id"].astype(int).to_numpy(), split.test.timestamp.min())
