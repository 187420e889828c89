"""Metrics of ranked lists: one value per user, float64 (n_users,), which the caller averages.

`k` is the cutoff, at most the depth of the ranking. A perfect ranking scores 1 unless the docstring says otherwise. A
metric of `ranks` is the expectation over all orders of tied songs. A new metric goes into a dictionary at the end.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """The ranks of the m relevant songs of `n_users` users, each of whom has at least one."""

    owner: np.ndarray  # (m,) row of the song's user, ascending
    greater: np.ndarray  # (m,) how many songs score higher
    tied: np.ndarray  # (m,) how many songs have the same score, itself included
    n_users: int

    @property
    def n_relevant(self) -> np.ndarray:
        """Number of relevant songs by user: (n_users,)."""
        return np.bincount(self.owner, minlength=self.n_users)

    def found(self, k: int) -> np.ndarray:
        """Return the probability that each relevant song is in the first k places: float64 (m,)."""
        return np.clip((k - self.greater) / self.tied, 0, 1)

    def sum_by_user(self, values: np.ndarray) -> np.ndarray:
        """Sum values of relevant songs (m,) by user: (n_users,)."""
        return np.bincount(self.owner, weights=values, minlength=self.n_users)


def hits(ranks: Ranks, k: int) -> np.ndarray:
    """Number of relevant songs in the first k places: Σ clip((k − greater) / tied, 0, 1); at best min(k, relevant)."""
    return ranks.sum_by_user(ranks.found(k))


def precision(ranks: Ranks, k: int) -> np.ndarray:
    """Share of the first k places that hold a relevant song: hits / k; at best min(k, relevant) / k."""
    return hits(ranks, k) / k


def recall(ranks: Ranks, k: int) -> np.ndarray:
    """Share of the relevant songs in the first k places: hits / relevant; at best min(k, relevant) / relevant."""
    return hits(ranks, k) / ranks.n_relevant


def ndcg(ranks: Ranks, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain of binary relevance: a hit counts more, the higher it is ranked.

    Σ 1 / log2(rank + 1) over the hits, divided by that of min(k, relevant) hits at the top. Järvelin & Kekäläinen 2002.
    """
    gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])  # (k + 1,) the first n places together
    first, last = np.minimum(ranks.greater, k), np.minimum(ranks.greater + ranks.tied, k)
    return ranks.sum_by_user((gain[last] - gain[first]) / ranks.tied) / gain[np.minimum(ranks.n_relevant, k)]


def hit(ranks: Ranks, k: int) -> np.ndarray:
    """Probability that at least one relevant song is in the first k places."""
    return _first_hit(ranks, np.ones(k))


def mrr(ranks: Ranks, k: int) -> np.ndarray:
    """1 / rank of the first relevant song, or 0 if it is beyond place k; the mean is MRR@k."""
    return _first_hit(ranks, 1 / np.arange(1, k + 1))


def average_precision(ranks: Ranks, k: int) -> np.ndarray:
    """Σ (hits so far / rank) over the hits, divided by min(k, relevant) as in RecBole; the mean is MAP@k."""
    owner, greater, tied, relevant, before = _tied_groups(ranks)
    total = np.zeros(len(owner))
    for j in range(1, k + 1):  # the j-th place within each group of tied songs
        place = greater + j
        inside = (j <= tied) & (place <= k)
        others_before = (j - 1) * (relevant - 1) / np.maximum(tied - 1, 1)
        total += np.where(inside, relevant / tied * (1 + before + others_before) / place, 0)
    return np.bincount(owner, weights=total, minlength=ranks.n_users) / np.minimum(ranks.n_relevant, k)


def _tied_groups(ranks: Ranks) -> tuple[np.ndarray, ...]:
    """Return each user's groups of tied songs, best first: owner, greater, tied, relevant songs in it and before it."""
    order = np.lexsort((ranks.greater, ranks.owner))
    owner, greater, tied = ranks.owner[order], ranks.greater[order], ranks.tied[order]
    starts = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(greater, prepend=-1) != 0))
    relevant = np.diff(starts, append=len(owner))
    first_of_user = np.searchsorted(owner, owner[starts])
    return owner[starts], greater[starts], tied[starts], relevant, starts - first_of_user


def _first_hit(ranks: Ranks, worth: np.ndarray) -> np.ndarray:
    """Return the expected worth of the first hit's place: `worth` (k,) by place, 0 beyond; (n_users,)."""
    owner, greater, tied, relevant, before = _tied_groups(ranks)
    missed = (before == 0).astype(float)  # the first hit is always in a user's first group
    total = np.zeros(len(owner))
    for j in range(1, len(worth) + 1):  # the j-th place within each group
        place = greater + j
        inside = (j <= tied) & (place <= len(worth))
        found = np.where(inside, missed * np.minimum(relevant / np.maximum(tied - j + 1, 1), 1), 0)
        total += found * worth[np.minimum(place, len(worth)) - 1]
        missed = missed - found
    return np.bincount(owner, weights=total, minlength=ranks.n_users)


def novelty(lists: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Mean −log2 of the listed songs' share of all listens, in bits (Zhou et al. 2010).

    `lists` (n_users, k) song codes, −1 in empty places, which are left out; `popularity` (n_items,) listens, above 0.
    Higher means less known; no value is perfect. NaN for an empty list.
    """
    return _mean_over_places(lists, -np.log2(popularity / popularity.sum()))


def tail_share(lists: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Share of each list that belongs to the long tail (`in_tail`); arguments and NaN as for `novelty`."""
    return _mean_over_places(lists, in_tail(popularity).astype(float))


def in_tail(popularity: np.ndarray, share: float = 0.2) -> np.ndarray:
    """Mark the long tail, the least popular songs with at most `share` of all listens together: bool (n_items,)."""
    order, marked = np.argsort(popularity, kind="stable"), np.zeros(len(popularity), bool)
    marked[order] = np.cumsum(popularity[order]) <= share * popularity.sum()
    return marked


def _mean_over_places(lists: np.ndarray, worth: np.ndarray) -> np.ndarray:
    filled = lists >= 0
    total = np.where(filled, worth[np.maximum(lists, 0)], 0).sum(axis=1)
    return np.divide(total, filled.sum(axis=1), out=np.full(len(lists), np.nan), where=filled.any(axis=1))


def coverage(lists: np.ndarray, n_items: int) -> float:
    """Share of the catalogue that appears in at least one list; `lists` (n_users, k) song codes, −1 if empty."""
    return len(np.unique(lists[lists >= 0])) / n_items


def gini(lists: np.ndarray, n_items: int) -> float:
    """Inequality of exposure: 0 if all songs are listed equally often, close to 1 if one song fills all lists.

    Σ (2 i − n − 1) xᵢ / (n Σ xᵢ) over the n songs' counts x in ascending order, i = 1…n. NaN if all lists are empty.
    """
    counts = np.sort(np.bincount(lists[lists >= 0], minlength=n_items)).astype(float)
    weighted = ((2 * np.arange(1, n_items + 1) - n_items - 1) * counts).sum()
    return float(weighted / (n_items * counts.sum())) if counts.any() else float("nan")


# A value per user, from the ranks of the relevant songs and k
BY_USER = {"precision": precision, "recall": recall, "map": average_precision, "ndcg": ndcg, "mrr": mrr, "hit": hit}
# A value per user, from the lists of length k and the songs' popularity
BY_LIST = {"novelty": novelty, "tail_share": tail_share}
# One value for all lists of length k together, from the lists and the size of the catalogue
AGGREGATE = {"coverage": coverage, "gini": gini}
