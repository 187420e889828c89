"""What a mean hides: results by popularity of songs and length of history, on repeats, and the best possible ones."""

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data import synthetic
from recsys.data.split import Split
from recsys.evaluation import metrics
from recsys.evaluation.bootstrap import estimate, estimate_mean, ratio
from recsys.evaluation.evaluate import CUTOFFS, Evaluation, count_listens, evaluate
from recsys.evaluation.ranking import FunctionScorer, rank

HEAD_SHARE = 0.5  # share of all listens that the head holds; the tail is `metrics.in_tail`, the rest is the middle


def popularity_groups(popularity: np.ndarray) -> np.ndarray:
    """Return "head", "middle" or "tail" for each song: the head holds half of all listens, the tail the last fifth."""
    order, head = np.argsort(-popularity, kind="stable"), np.zeros(len(popularity), bool)
    head[order] = np.cumsum(popularity[order]) - popularity[order] < HEAD_SHARE * popularity.sum()
    return np.where(head, "head", np.where(metrics.in_tail(popularity), "tail", "middle"))


def by_popularity(evaluation: Evaluation, k: int = 20, seed: int = 0) -> pd.DataFrame:
    """Return the share of relevant songs that are in the first k places, by group of songs.

    Columns model, slice, songs, events (relevant songs over all users), value, low, high. Intervals are over users.
    """
    groups, rows = popularity_groups(count_listens(evaluation.split)), []
    for name, ranking in evaluation.rankings.items():
        relevant = evaluation.split.relevant()[ranking.users].tocoo()  # in the order of the ranks
        found = ranking.ranks.found(k)
        for group in ("head", "middle", "tail"):
            inside = groups[relevant.col] == group
            share = estimate(ranking.ranks.owner, [found * inside, inside], ratio, seed)
            rows.append((name, group, (groups == group).sum(), inside.sum(), *share))
    return pd.DataFrame(rows, columns=["model", "slice", "songs", "events", "value", "low", "high"])


def by_history(evaluation: Evaluation, metric: str = "recall@20", seed: int = 0) -> pd.DataFrame:
    """Return the mean of a metric by length of the user's history, in four groups of about equal size.

    Columns model, slice (distinct songs in the history), users, value, low, high.
    """
    lengths, rows = np.diff(evaluation.split.known.indptr), []
    for name, frame in evaluation.per_user.items():
        own = pd.Series(lengths[frame.index], frame.index)
        for _, members in own.groupby(pd.qcut(own, 4, duplicates="drop"), observed=True):
            mean = estimate_mean(members.index, frame.loc[members.index, metric], seed)
            rows.append((name, f"{members.min():,} to {members.max():,} songs", len(members), *mean))
    return pd.DataFrame(rows, columns=["model", "slice", "users", "value", "low", "high"])


def on_repeats(split: Split, k: int = 20, seed: int = 0) -> dict[str, float] | None:
    """Return recall@k of the users' own most played songs on the songs that they repeat in test.

    Keys users, value, low, high; None if no song is repeated. A recommender of new songs is not evaluated on repeats.
    """
    repeats, plays = split.seen("test").multiply(split.known).tocsr(), split.counts("train", "validation")
    repeats.sort_indices()
    users = np.flatnonzero(np.diff(repeats.indptr))
    if not len(users):
        return None
    most_played = FunctionScorer(lambda users: plays[users].toarray())
    ranking = rank(most_played, users, sparse.csr_matrix(repeats.shape, dtype=np.float32), repeats, k)
    value, low, high = estimate_mean(users, metrics.recall(ranking.ranks, k), seed)
    return {"users": len(users), "value": value, "low": low, "high": high}


def ceiling_evaluation(split: Split, cutoffs: tuple[int, ...] = CUTOFFS, seed: int = 0) -> Evaluation | None:
    """Evaluate the best possible ranking, as the model "ceiling"; None where it is not known.

    It is known for the sample if that is split by time and all of test is evaluated: its generator knows the
    probability that a song is the user's next new one. No model can have a higher expected result.
    """
    is_known = split.name == "sample" and split.manifest["split"] == "by-time" and not split.test_sample
    if not is_known or split.test.timestamp is None:
        return None
    size = {name: synthetic.SAMPLE[name] for name in ("n_items", "seed")}
    songs = pd.Index(synthetic.catalogue(**size).media).get_indexer(split.items["item_id"])
    ids, before = split.users["user_id"].astype(int).to_numpy(), split.test.timestamp.min()
    truth = FunctionScorer(lambda users: synthetic.truth(ids[users], **size, before=before)[:, songs])
    return evaluate({"ceiling": truth}, split, cutoffs, seed)
