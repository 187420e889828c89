"""From scores to exact lists and tie-fair ranks, some users at a time, with the seen songs removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

CHUNK = 30  # songs whose maximum stands for them in the first pass; 20 to 40 are alike, 150 takes half as long again
SCORES_IN_MEMORY = 32_000_000  # float32 scores of one batch of users: 128 MB
SCORES_IN_CACHE = 4_000_000  # of these, how many are looked at in one go


class Scorer(Protocol):
    """Anything that ranks songs: the models and the baselines."""

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), at least n_items), higher is better; constant rows for users it does not know."""


@dataclass(frozen=True)
class Ranking:
    """Lists of songs, and where the relevant songs stand.

    `users` (n,) codes; `items` (n, depth) int32, best first, −1 where no song is left; `scores` (n, depth) float32.
    Per relevant song: `owner` (m,) its row in `users`, ascending; `greater` (m,) how many songs score higher, or
    `depth` where that many or more do; `tied` (m,) how many songs have its very score, itself included.
    """

    users: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    owner: np.ndarray
    greater: np.ndarray
    tied: np.ndarray

    @property
    def depth(self) -> int:
        """Number of places in a list."""
        return self.items.shape[1]


def batches_of_users(users: np.ndarray, n_items: int) -> Iterator[np.ndarray]:
    """Yield users in batches whose scores fit in memory; equal users and songs give equal batches, hence equal bits."""
    size = int(np.clip(SCORES_IN_MEMORY // max(n_items, 1), 1, 1024))
    for start in range(0, len(users), size):
        yield users[start : start + size]


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best columns of each row and their scores: int32 and float32 (rows, min(k, columns)).

    Exact; best first, equal scores by the smaller column; −inf is "not to be listed" and gives column −1; NaN would be
    above all. The maximum of each chunk of columns is taken first, so that few chunks of a long row are looked into.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    k = min(k, scores.shape[1])
    columns, candidates = _candidates(scores, k + 1)  # one more than needed: a tie for the last place shows
    best = np.argpartition(candidates, candidates.shape[1] - k, axis=1)[:, -k:]  # (rows, k)
    columns, values = np.take_along_axis(columns, best, axis=1), np.take_along_axis(candidates, best, axis=1)
    last = values.min(axis=1, keepdims=True)  # (rows, 1)
    for row in np.flatnonzero(np.count_nonzero(candidates >= last, axis=1) > k):  # the smallest columns of those tied
        places = np.flatnonzero(values[row] == last[row])
        columns[row, places] = np.flatnonzero(scores[row] == last[row])[: len(places)]
    order = np.lexsort((columns, -values), axis=1)
    columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), -1, columns).astype(np.int32), values


def _candidates(scores: np.ndarray, n_best: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and scores of the chunks with the highest maximum: the n_best songs cannot be elsewhere.

    A chunk is every n_chunks-th column, so that the maxima are taken along contiguous memory. Of short rows: all.
    """
    n_rows, n_columns = scores.shape
    if n_columns <= 2 * CHUNK * n_best:
        return np.broadcast_to(np.arange(n_columns), scores.shape), scores
    n_chunks = n_columns // CHUNK
    maxima = scores[:, : n_chunks * CHUNK].reshape(n_rows, CHUNK, n_chunks).max(axis=1)
    best = _highest(maxima, n_best)[:, None]  # (rows, 1, n_best)
    columns = (best + np.arange(0, n_chunks * CHUNK, n_chunks)[:, None]).reshape(n_rows, -1)
    rest = np.broadcast_to(np.arange(n_chunks * CHUNK, n_columns), (n_rows, n_columns % CHUNK))  # in no chunk
    columns = np.concatenate([columns, rest], axis=1)
    return columns, np.take_along_axis(scores, columns, axis=1)


def _highest(scores: np.ndarray, n_best: int) -> np.ndarray:
    """Return the columns of the n_best scores of each row, in any order: int (rows, n_best)."""
    columns, candidates = _candidates(scores, n_best)
    best = np.argpartition(candidates, candidates.shape[1] - n_best, axis=1)[:, -n_best:]
    return np.take_along_axis(columns, best, axis=1)


def rank(
    scorer: Scorer, users: np.ndarray, seen: sparse.csr_matrix, relevant: sparse.csr_matrix, depth: int = 100
) -> Ranking:
    """Rank the whole catalogue for each user, without the songs he has seen.

    `seen` and `relevant` are (n_users, n_items) with sorted columns and nothing in common. Raises ValueError on scores
    that are not numbers and on a scorer whose shape does not fit.
    """
    n_items = seen.shape[1]
    depth = min(depth, n_items)
    size, parts = int(np.clip(SCORES_IN_CACHE // max(n_items, 1), 1, 1024)), []
    for batch in batches_of_users(users, n_items):
        scores = scorer.scores(batch)
        if scores.shape[0] != len(batch) or scores.shape[1] < n_items:
            raise ValueError(f"expected scores of shape ({len(batch)}, at least {n_items}), got {scores.shape}")
        ours = scores.flags.writeable and scores.dtype == np.float32  # to write into and put back, without a copy
        for start in range(0, len(batch), size):
            few = slice(start, start + size)
            own = scores[few, :n_items] if ours else scores[few, :n_items].astype(np.float32)
            parts.append(_rank_few(own, seen[batch[few]], relevant[batch[few]], depth))
        del scores, own  # before the next ones are asked for: the same memory, warm, takes them
    items, values, owner, greater, tied = ([part[i] for part in parts] for i in range(5))
    starts = np.cumsum([0] + [len(part) for part in items[:-1]])
    owner = [part + start for part, start in zip(owner, starts, strict=True)]
    return Ranking(users, *map(np.concatenate, (items, values, owner, greater, tied)))


def _rank_few(scores, seen, relevant, depth):
    places = seen.nonzero()
    before, scores[places] = scores[places], -np.inf
    try:
        items, values = top_k(scores, depth)
        if bad := np.isnan(values).any(axis=1).sum():  # NaN comes first in a list
            raise ValueError(f"expected scores that are numbers, got NaN for {bad} users")
        owner, songs = relevant.nonzero()
        return items, values, owner, *_tie_ranks(scores, values, owner, songs)
    finally:
        scores[places] = before  # they are the scorer's


def _tie_ranks(scores, best, owner, songs):
    """Count the songs above and level with each relevant one, from the sorted best scores where these suffice."""
    own = scores[owner, songs][:, None]  # (m, 1)
    greater = np.count_nonzero(best[owner] > own, axis=1)
    tied = np.maximum(np.count_nonzero(best[owner] == own, axis=1), 1)
    straddles = np.flatnonzero(own[:, 0] == best[owner, -1])
    rows, place = np.unique(owner[straddles], return_inverse=True)
    level = np.array([np.count_nonzero(scores[row] == best[row, -1]) for row in rows], int)
    tied[straddles] = level[place]
    return greater, tied
