"""Metrics of ranked lists, one value a user; the caller averages.

Equal scores share the expectation over all orders of the tied songs, in closed form, so that a model which scores all
songs alike gets exactly what a random order gets. Everywhere: `ranks` holds the relevant songs of users who have at
least one (a user without is left out by the caller, and counted); k is at most the depth of the ranking; a perfect
ranking scores 1 unless the docstring says otherwise. Definitions differ between libraries; ours are in the formulas.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """Where the relevant songs stand: `owner` (m,) row of the user, ascending; `greater` (m,) songs that score higher;
    `tied` (m,) songs of the same score, itself included. Every one of the `n_users` rows owns at least one song."""

    owner: np.ndarray
    greater: np.ndarray
    tied: np.ndarray
    n_users: int

    @property
    def n_relevant(self) -> np.ndarray:
        """Number of relevant songs by row: (n_users,)."""
        return np.bincount(self.owner, minlength=self.n_users)

    def sum_by_user(self, values: np.ndarray) -> np.ndarray:
        """Sum values of relevant songs (m,) by row: (n_users,)."""
        return np.bincount(self.owner, weights=values, minlength=self.n_users)


def hits(ranks: Ranks, k: int) -> np.ndarray:
    """Expected number of relevant songs in the first k: Σ clip((k − greater) / tied, 0, 1); float64 (n_users,)."""
    return ranks.sum_by_user(np.clip((k - ranks.greater) / ranks.tied, 0, 1))


def precision(ranks: Ranks, k: int) -> np.ndarray:
    """Share of the first k places that hold a relevant song: hits / k; float64 (n_users,).

    The best that can be had is min(k, relevant) / k.
    """
    return hits(ranks, k) / k


def recall(ranks: Ranks, k: int) -> np.ndarray:
    """Share of the relevant songs in the first k places: hits / relevant; float64 (n_users,).

    The best that can be had is min(k, relevant) / relevant (as ranx, RecBole and RecTools; LensKit caps the divisor).
    """
    return hits(ranks, k) / ranks.n_relevant


def ndcg(ranks: Ranks, k: int) -> np.ndarray:
    """Binary normalised discounted cumulative gain; float64 (n_users,).

    Σ over hits of 1 / log2(rank + 1), over the same for min(k, relevant) hits on top (Järvelin & Kekäläinen 2002).
    """
    gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])  # (k + 1,): of all places up to each
    first, last = np.minimum(ranks.greater, k), np.minimum(ranks.greater + ranks.tied, k)
    return ranks.sum_by_user((gain[last] - gain[first]) / ranks.tied) / gain[np.minimum(ranks.n_relevant, k)]


def hit(ranks: Ranks, k: int) -> np.ndarray:
    """Probability that a relevant song stands in the first k places; float64 (n_users,)."""
    return _first_hit(ranks, np.ones(k))


def mrr(ranks: Ranks, k: int) -> np.ndarray:
    """1 / rank of the first relevant song, 0 beyond place k; float64 (n_users,)."""
    return _first_hit(ranks, 1 / np.arange(1, k + 1))


def average_precision(ranks: Ranks, k: int) -> np.ndarray:
    """Σ over hits of (hits so far / rank), divided by min(k, relevant); float64 (n_users,). Its mean is MAP@k.

    RecBole and implicit divide alike; ranx by relevant.
    """
    owner, greater, tied, relevant, before = _groups(ranks)
    total = np.zeros(len(owner))
    for j in range(1, k + 1):  # the j-th place within each group of tied songs
        place = greater + j
        inside = (j <= tied) & (place <= k)
        others_before = (j - 1) * (relevant - 1) / np.maximum(tied - 1, 1)
        total += np.where(inside, relevant / tied * (1 + before + others_before) / place, 0)
    return np.bincount(owner, weights=total, minlength=ranks.n_users) / np.minimum(ranks.n_relevant, k)


def _groups(ranks: Ranks):
    """Return the groups of tied relevant songs: owner, greater, tied, relevant in it, relevant before it."""
    order = np.lexsort((ranks.greater, ranks.owner))
    owner, greater, tied = ranks.owner[order], ranks.greater[order], ranks.tied[order]
    starts = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(greater, prepend=-1) != 0))
    relevant = np.diff(starts, append=len(owner))
    first_of_user = np.searchsorted(owner, owner[starts])
    return owner[starts], greater[starts], tied[starts], relevant, starts - first_of_user


def _first_hit(ranks: Ranks, worth: np.ndarray) -> np.ndarray:
    """Return the expected worth of the place of the first relevant song; `worth` (k,) by place, nothing beyond."""
    owner, greater, tied, relevant, before = _groups(ranks)
    missed = (before == 0).astype(float)  # only the first group can hold the first hit
    total = np.zeros(len(owner))
    for j in range(1, len(worth) + 1):
        place = greater + j
        inside = (j <= tied) & (place <= len(worth))
        found = np.where(inside, missed * np.minimum(relevant / np.maximum(tied - j + 1, 1), 1), 0)
        total += found * worth[np.minimum(place, len(worth)) - 1]
        missed = missed - found
    return np.bincount(owner, weights=total, minlength=ranks.n_users)


BY_USER = {"precision": precision, "recall": recall, "map": average_precision, "ndcg": ndcg, "mrr": mrr, "hit": hit}


def coverage(lists: np.ndarray, n_items: int) -> float:
    """Share of the catalogue that stands in at least one list: `lists` (n_users, k) codes, −1 is empty."""
    return len(np.unique(lists[lists >= 0])) / n_items


def gini(lists: np.ndarray, n_items: int) -> float:
    """Inequality of exposure over the catalogue: 0 when all songs are listed equally often, towards 1 when one is.

    Σ (2 i − n − 1) xᵢ / (n Σ xᵢ) over the counts x in ascending order, i = 1…n. Undefined (NaN) for empty lists.
    """
    counts = np.sort(np.bincount(lists[lists >= 0], minlength=n_items)).astype(float)
    total = counts.sum()
    if not total:
        return float("nan")
    return float(((2 * np.arange(1, n_items + 1) - n_items - 1) * counts).sum() / (n_items * total))


def novelty(lists: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Mean −log2 of the songs' share of all listens, in bits; (n_users,); higher is less known, none is perfect.

    `popularity` (n_items,) listens in what the model was fitted on, all above zero. Empty places are left out; a user
    with an empty list has NaN (Zhou et al. 2010).
    """
    bits = -np.log2(popularity / popularity.sum())
    return _mean_of_places(lists, bits)


def tail(popularity: np.ndarray, share: float = 0.2) -> np.ndarray:
    """Mark the long tail, the least popular songs that hold at most `share` of all listens: bool (n_items,)."""
    order = np.argsort(popularity, kind="stable")
    marked = np.zeros(len(popularity), bool)
    marked[order] = np.cumsum(popularity[order]) <= share * popularity.sum()
    return marked


def tail_share(lists: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Share of each list that is long tail (see `tail`); (n_users,); NaN for an empty list."""
    return _mean_of_places(lists, tail(popularity).astype(float))


def _mean_of_places(lists: np.ndarray, worth: np.ndarray) -> np.ndarray:
    filled = lists >= 0
    total = np.where(filled, worth[np.maximum(lists, 0)], 0).sum(axis=1)
    return np.divide(total, filled.sum(axis=1), out=np.full(len(lists), np.nan), where=filled.any(axis=1))
