"""Baselines that know the order of listens: item kNN on the latest songs, a Markov chain, and their weighted sum."""

import numpy as np
from scipy import sparse

from recsys.data.interactions import Interactions
from recsys.data.split import Split
from recsys.models.baselines.item_item import similarity
from recsys.models.baselines.scorers import DoesNotApply, Product
from recsys.models.recency import recency_weights

WINDOW = np.timedelta64(1, "h")  # between two listens that count as one after the other
K, SHRINKAGE = 300, 10.0  # of the item kNN: similar songs that are kept, and listeners added to each song
DAMPING = 10.0  # added to each song's transitions, so that songs with few of them count less
MOST_PAIRS = 100_000_000  # of songs that follow each other: 800 MB


def fit_itemknn_recent(
    split: Split, parts: tuple[str, ...], seed: int, half_life: float, shared: sparse.csr_matrix | None = None
) -> Product:
    """Score by item kNN, where each listen of the history counts ½ ^ (later listens / half-life).

    This and the other fits here raise DoesNotApply if the order of the listens is not known. `knn` returns the
    similarities, which no setting changes; it is called here if they are not `shared`.
    """
    return _on_recent(split, _ordered(split, parts), knn(split, parts) if shared is None else shared, half_life)


def knn(split: Split, parts: tuple[str, ...]) -> sparse.csr_matrix:
    """Return the similarities that the sequential baselines use: float32 (n_items, n_items)."""
    return similarity(split.seen(*parts), K, shrinkage=SHRINKAGE)


def fit_markov(
    split: Split, parts: tuple[str, ...], seed: int, half_life: float, steps: int, symmetric: bool
) -> Product:
    """Score by how often a song came within the next `steps` songs after those of a history weighted by recency."""
    rows = _ordered(split, parts)
    return _on_recent(split, rows, transitions(rows, split.n_items, steps, symmetric), half_life)


def fit_markov_knn(
    split: Split, parts: tuple[str, ...], seed: int, half_life: float, weight: float,
    shared: tuple[sparse.csr_matrix, sparse.csr_matrix] | None = None,
) -> Product:  # fmt: skip
    """Score by item kNN plus `weight` times a symmetric Markov chain of 5 steps, on a history weighted by recency.

    `knn_and_chain` returns what no setting changes; it is called here if that is not `shared`.
    """
    rows, (similar, chain) = _ordered(split, parts), shared or knn_and_chain(split, parts)
    return _on_recent(split, rows, similar + np.float32(weight) * chain, half_life)


def knn_and_chain(split: Split, parts: tuple[str, ...]) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return the similarities and the transitions of `fit_markov_knn`: float32 (n_items, n_items) each."""
    chain = transitions(_ordered(split, parts), split.n_items, 5, symmetric=True)
    return knn(split, parts), chain


def transitions(rows: Interactions, n_items: int, steps: int, symmetric: bool) -> sparse.csr_matrix:
    """Return how often songs (columns) follow songs (rows), float32 (n_items, n_items), of ordered rows.

    The d-th song after another counts 1 / d, up to `steps`, and within `WINDOW` where there are times. Each entry is
    divided by the square roots of the sums of its row and of its column, each with `DAMPING` added; `symmetric` adds
    the transpose. Of more than `MOST_PAIRS` pairs, the rarest are left out.
    """
    user, item, time = rows.user, rows.item, rows.timestamp
    counts = sparse.csr_matrix((n_items, n_items), dtype=np.float32)
    for d in range(1, min(steps, len(rows) - 1) + 1):
        follows = user[d:] == user[:-d]
        if time is not None:
            follows &= time[d:] - time[:-d] <= WINDOW
        pairs = item[:-d][follows], item[d:][follows]
        counts += sparse.csr_matrix((np.full(len(pairs[0]), 1 / d, np.float32), pairs), shape=counts.shape)
    if (too_many := counts.nnz - MOST_PAIRS) > 0:
        counts.data[counts.data <= np.partition(counts.data, too_many - 1)[too_many - 1]] = 0
        counts.eliminate_zeros()
    scales = (sparse.diags_array(1 / np.sqrt(np.asarray(counts.sum(axis)).ravel() + DAMPING)) for axis in (1, 0))
    scaled = sparse.csr_matrix(next(scales) @ counts @ next(scales), dtype=np.float32)
    return scaled + scaled.T if symmetric else scaled


def _ordered(split: Split, parts: tuple[str, ...]) -> Interactions:
    """Return the warm rows of the parts by user, each user's oldest first."""
    if not split.has_order:
        raise DoesNotApply("it needs the order of the listens, which these data do not have")
    return split.in_order(*parts)


def _on_recent(split: Split, rows: Interactions, songs: sparse.csr_matrix, half_life: float) -> Product:
    return Product.for_split(split, recency_weights(rows, split.n_users, split.n_items, half_life), songs)
