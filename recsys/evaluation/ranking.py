"""Exact ranked lists and the ranks of the relevant songs, from any model's scores."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix

from recsys.evaluation.metrics import Ranks

CHUNK = 30  # songs per chunk in `top_k`; 20 to 40 are equally fast, 150 takes half as long again
SCORES_IN_MEMORY = 32_000_000  # float32 scores that a model computes at once: 128 MB
SCORES_IN_CACHE = 4_000_000  # of these, how many are ranked at once


class Scorer(Protocol):
    """Anything that can be ranked and evaluated: a trained model or a baseline."""

    def scores(self, users: np.ndarray, /) -> np.ndarray:
        """Return float32 (len(users), at least n_items), higher is better; constant for a user it does not know."""


@dataclass(frozen=True)
class FunctionScorer:
    """A scorer made of a function, for scores that no model gives."""

    scores: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Ranking:
    """The lists of users, and the ranks of their relevant songs."""

    users: np.ndarray  # codes (n,)
    items: np.ndarray  # song codes, best first, −1 where no song is left: int32 (n, depth)
    scores: np.ndarray  # float32 (n, depth)
    ranks: Ranks  # cut at the depth: where more songs score higher than a relevant one, `greater` is the depth


def batches_of_users(users: np.ndarray, n_items: int) -> Iterator[np.ndarray]:
    """Yield users in batches whose scores fit in memory: always the same batches, for scores equal to the last bit."""
    size = min(max(SCORES_IN_MEMORY // n_items, 1), 1024)
    for start in range(0, len(users), size):
        yield users[start : start + size]


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best columns of each row and their scores: int32 and float32 (rows, min(k, columns)), best first.

    Equal scores are ordered by column. In place of a column with score −inf stands −1. NaN is the highest score.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    k = min(k, scores.shape[1])
    columns, candidates = _candidates(scores, k + 1)  # one more than needed, to notice a tie for the last place
    best = np.argpartition(candidates, candidates.shape[1] - k, axis=1)[:, -k:]  # (rows, k)
    columns, values = np.take_along_axis(columns, best, axis=1), np.take_along_axis(candidates, best, axis=1)
    last = values.min(axis=1, keepdims=True)  # (rows, 1)
    for row in np.flatnonzero(np.count_nonzero(candidates >= last, axis=1) > k):  # a tie: take the first columns
        places = np.flatnonzero(values[row] == last[row])
        columns[row, places] = np.flatnonzero(scores[row] == last[row])[: len(places)]
    order = np.lexsort((columns, -values), axis=1)
    columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), -1, columns).astype(np.int32), values


def _candidates(scores: np.ndarray, n_best: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and scores of the n_best chunks with the highest maxima: they hold the n_best best columns."""
    n_rows, n_columns = scores.shape
    if n_columns <= 2 * CHUNK * n_best:  # all columns of short rows
        return np.broadcast_to(np.arange(n_columns), scores.shape), scores
    n_chunks = n_columns // CHUNK
    maxima = scores[:, : n_chunks * CHUNK].reshape(n_rows, CHUNK, n_chunks).max(axis=1)  # contiguous memory is faster
    best = _highest(maxima, n_best)[:, None]  # (rows, 1, n_best)
    columns = (best + np.arange(0, n_chunks * CHUNK, n_chunks)[:, None]).reshape(n_rows, -1)
    rest = np.broadcast_to(np.arange(n_chunks * CHUNK, n_columns), (n_rows, n_columns % CHUNK))  # in no chunk
    columns = np.concatenate([columns, rest], axis=1)
    return columns, np.take_along_axis(scores, columns, axis=1)


def _highest(scores: np.ndarray, n_best: int) -> np.ndarray:
    """Return the columns of the n_best highest scores of each row, in any order: int (rows, n_best)."""
    columns, candidates = _candidates(scores, n_best)
    best = np.argpartition(candidates, candidates.shape[1] - n_best, axis=1)[:, -n_best:]
    return np.take_along_axis(columns, best, axis=1)


def rank(scorer: Scorer, users: np.ndarray, seen: csr_matrix, relevant: csr_matrix, depth: int = 100) -> Ranking:
    """Rank the whole catalogue for each user, without the songs that they have seen.

    `seen` and `relevant` (n_users, n_items) have sorted column indices and no entry in common. Raises ValueError for
    scores of another shape or with NaN.
    """
    n_items = seen.shape[1]
    size, parts, n_ranked = max(SCORES_IN_CACHE // n_items, 1), [], 0
    for batch in batches_of_users(users, n_items):
        scores = scorer.scores(batch)
        if scores.shape[0] != len(batch) or scores.shape[1] < n_items:
            raise ValueError(f"scores: expected shape ({len(batch)}, at least {n_items}), got {scores.shape}")
        in_place = scores.flags.writeable and scores.dtype == np.float32  # rank without a copy
        for start in range(0, len(batch), size):
            some = slice(start, start + size)
            own = scores[some, :n_items] if in_place else scores[some, :n_items].astype(np.float32)
            items, values, owner, greater, tied = _rank_some(own, seen[batch[some]], relevant[batch[some]], depth)
            parts.append((items, values, owner + n_ranked, greater, tied))
            n_ranked += len(items)
        del scores, own  # the next batch reuses this memory, which is faster than new memory
    items, values, owner, greater, tied = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Ranking(users, items, values, Ranks(owner, greater, tied, len(users)))


def _rank_some(scores: np.ndarray, seen: csr_matrix, relevant: csr_matrix, depth: int) -> tuple[np.ndarray, ...]:
    """Return some users' items, scores, owner, greater and tied, as in `Ranking` and `Ranks`."""
    places = seen.nonzero()
    before, scores[places] = scores[places], -np.inf
    try:
        items, values = top_k(scores, depth)
        if bad := np.isnan(values).any(axis=1).sum():  # `top_k` puts NaN first, so the lists show it
            raise ValueError(f"scores: expected numbers, got NaN; users with NaN: {bad}")
        owner, songs = relevant.nonzero()
        return items, values, owner, *_count_greater_and_tied(scores, values, owner, songs)
    finally:
        scores[places] = before  # the array belongs to the scorer: restore it even if ranking fails


def _count_greater_and_tied(
    scores: np.ndarray, best: np.ndarray, owner: np.ndarray, songs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count the songs that score higher than each relevant song, up to the depth, and those that score the same.

    `best` (rows, depth) holds each row's highest scores, sorted.
    """
    own = scores[owner, songs][:, None]  # (m, 1)
    greater = np.count_nonzero(best[owner] > own, axis=1)
    tied = np.maximum(np.count_nonzero(best[owner] == own, axis=1), 1)
    at_the_end = np.flatnonzero(own[:, 0] == best[owner, -1])  # the tie may go on: count it over the whole row
    rows, place = np.unique(owner[at_the_end], return_inverse=True)
    counts = np.array([np.count_nonzero(scores[row] == best[row, -1]) for row in rows], int)
    tied[at_the_end] = counts[place]
    return greater, tied
