"""Item kNN and EASE: a song's score is the sum of its similarities to the songs of the user's history."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from recsys.data.split import Split
from recsys.models.baselines.scorers import Product

EXACT_SONGS = 6_000  # up to here EASE inverts a songs × songs matrix; the time grows with the cube of the songs
DENSE_SONGS = 10_000  # up to here the listeners that two songs share are in a dense matrix, at most 400 MB
SHARED_PAIRS = 100_000_000  # at most in the sparse matrix beyond, and in all neighbourhoods together, 400 MB
COUNTED_PAIRS = 2_000_000_000  # of two songs of one listener, over all listeners: more take too long
LEAST_NEAREST = 20  # songs in a neighbourhood, however many songs there are


def fit_itemknn(
    split: Split, parts: tuple[str, ...], seed: int, k: int, weighting: str = "cosine", shrinkage: float = 0.0
) -> Product:
    """Score by similarity of listeners, with each song's k most similar songs (Sarwar et al. 2001).

    The similarity of two songs is the cosine of their listeners, or with `weighting` "tfidf" the cosine where a
    listener of many songs counts less, or "bm25" the product of their BM25 weights. `shrinkage` adds to the squared
    length of each song's vector, so that songs with few listeners are less similar.
    """
    seen = split.seen(*parts)
    return Product.for_split(split, seen, similarity(seen, k, weighting, shrinkage))


def similarity(seen: sparse.csr_matrix, k: int, weighting: str = "cosine", shrinkage: float = 0.0) -> sparse.csr_matrix:
    """Return each song's k largest similarities, as `fit_itemknn` defines them: float32 (n_items, n_items), no own.

    Of a very large catalogue it returns fewer of each song: at most `SHARED_PAIRS` in all, but `LEAST_NEAREST` of each.
    If there are very many listens, long histories are `_shortened`.
    """
    from implicit.nearest_neighbours import all_pairs_knn, bm25_weight

    k, seen = min(k, max(SHARED_PAIRS // seen.shape[1], LEAST_NEAREST)), _shortened(seen)
    listeners = seen.astype(np.float64)  # (n_users, n_items)
    if weighting == "bm25":
        listeners = bm25_weight(listeners.T.tocsr(), K1=1.2, B=0.75).T
    elif weighting == "tfidf":
        n_songs = np.asarray(seen.sum(axis=1)).ravel()
        listeners = sparse.diags_array(np.log((1 + seen.shape[1]) / (1 + n_songs))) @ listeners
    if weighting != "bm25":
        squares = np.asarray(listeners.power(2).sum(axis=0)).ravel() + shrinkage
        listeners = listeners @ sparse.diags_array(1 / np.sqrt(np.maximum(squares, 1e-9)))
    found = all_pairs_knn(sparse.csr_matrix(listeners), k + 1, show_progress=False)  # + 1: each song finds itself
    found = found.tocsr().astype(np.float32)
    found.setdiag(0)
    return found


def _shortened(seen: sparse.csr_matrix) -> sparse.csr_matrix:
    """Drop songs of long histories at random, so that about `COUNTED_PAIRS` pairs of two songs of one user are left.

    All histories that are longer than some length are expected to have this length then.
    """
    lengths = np.diff(seen.indptr).astype(float)
    low, high = 1, int(lengths.max(initial=1))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if (np.minimum(lengths, middle) ** 2).sum() <= COUNTED_PAIRS else (low, middle - 1)
    if low >= lengths.max(initial=1):
        return seen
    share = np.repeat(np.minimum(1, low / np.maximum(lengths, 1)), lengths.astype(int))
    kept = seen.copy()
    kept.data[np.random.default_rng(0).random(len(share)) >= share] = 0
    kept.eliminate_zeros()
    return kept


@dataclass(frozen=True)
class Neighbourhoods:
    """Each song's nearest songs, and how many listeners they share: what no setting of EASE changes.

    Song codes are places in `songs`. Where a song has fewer than m nearest songs, the code is n and all counts are 0.
    """

    songs: np.ndarray  # (n,) the songs that have a neighbourhood, most listeners first
    nearest: np.ndarray  # (n, m)
    among: np.ndarray  # float32 (n, m, m) listeners that two of the nearest songs share
    own: np.ndarray  # float32 (n, m) listeners that the song shares with each


def fit_ease(
    split: Split, parts: tuple[str, ...], seed: int, regularisation: float, shared: Neighbourhoods | None = None
) -> Product:
    """Predict each song of a history from the other songs by ridge regression, in closed form (Steck 2019).

    In a catalogue of more than `EXACT_SONGS` songs, each song is predicted from its nearest songs alone (Steck 2019,
    arXiv 1910.09645), which `neighbourhoods` returns; they are found here if they are not `shared`.
    """
    seen = split.seen(*parts)
    if split.n_items <= EXACT_SONGS:
        return Product.for_split(split, seen, _exact_weights(seen, regularisation))
    found = neighbourhoods(split, parts) if shared is None else shared
    assert found is not None
    return Product.for_split(split, seen, _local_weights(found, split.n_items, regularisation))


def _exact_weights(seen: sparse.csr_matrix, regularisation: float) -> np.ndarray:
    gram = (seen.T @ seen).toarray()  # (n_items, n_items)
    gram[np.diag_indices_from(gram)] += np.float32(regularisation)
    factor, _ = lapack.spotrf(gram, lower=1)  # Cholesky: half the work of a general inverse
    lower, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def _local_weights(found: Neighbourhoods, n_items: int, regularisation: float) -> sparse.csr_matrix:
    """Return the weights from nearest songs (rows) to songs (columns): float32 (n_items, n_items)."""
    n, m = found.nearest.shape
    weights, ridge = np.empty((n, m), np.float32), np.float32(regularisation) * np.eye(m, dtype=np.float32)
    with threadpool_limits(1, "blas"):  # threads cost more than they give for matrices of this size
        for some in _blocks(n, m):
            weights[some] = np.linalg.solve(found.among[some] + ridge, found.own[some, :, None])[..., 0]
    target, place = np.nonzero(found.nearest < n)
    rows, columns = found.songs[found.nearest[target, place]], found.songs[target]
    return sparse.csr_matrix((weights[target, place], (rows, columns)), shape=(n_items, n_items))


def neighbourhoods(split: Split, parts: tuple[str, ...]) -> Neighbourhoods | None:
    """Find each song's nearest songs by cosine, as many as memory allows; None if EASE is exact.

    Of a very large catalogue only the songs with the most listeners have neighbourhoods.
    """
    if split.n_items <= EXACT_SONGS:
        return None
    seen = split.seen(*parts)
    songs = _most_played(seen)
    listeners = seen[:, songs].tocsr()  # (n_users, n)
    n = len(songs)
    m = min(n - 1, max(int(np.sqrt(SHARED_PAIRS / n)), LEAST_NEAREST))
    similar = similarity(listeners, m).tocoo()
    order = np.lexsort((-similar.data, similar.row))
    target, near = similar.row[order], similar.col[order]
    place = np.arange(len(target)) - np.searchsorted(target, target)
    kept = (place < m) & (similar.data[order] > 0)
    nearest = np.full((n, m), n)
    nearest[target[kept], place[kept]] = near[kept]
    nearest = -np.sort(-nearest, axis=1)  # fewest listeners first: looking up pairs in short rows is faster
    counts: Any = (listeners.T @ listeners).tocsr()  # (n, n)
    counts.resize(n + 1, n + 1)
    if n <= DENSE_SONGS:
        counts = counts.toarray()
    among, own = np.empty((n, m, m), np.float32), np.empty((n, m), np.float32)
    first, second = np.triu_indices(m)
    for some in _blocks(n, m):
        near = nearest[some]  # (block, m)
        if n <= DENSE_SONGS:
            among[some] = counts[near[:, :, None], near[:, None, :]]
        else:
            for matrix, pairs in zip(among[some], _look_up(counts, near[:, first], near[:, second]), strict=True):
                matrix[first, second] = matrix[second, first] = pairs
        own[some] = _look_up(counts, near, np.broadcast_to(np.arange(n)[some, None], near.shape))
    return Neighbourhoods(songs, nearest, among, own)


def _blocks(n: int, m: int) -> list[slice]:
    """Return slices of songs whose neighbourhoods have some 4 million pairs together."""
    size = max(4_000_000 // m**2, 1)
    return [slice(start, start + size) for start in range(0, n, size)]


def _look_up(counts: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    if sparse.issparse(counts):
        return np.asarray(counts[rows.ravel(), columns.ravel()]).reshape(rows.shape)
    return counts[rows, columns]


def _most_played(seen: sparse.csr_matrix) -> np.ndarray:
    """Return songs by listeners, most first: as many as share listeners in `SHARED_PAIRS` pairs, counted by user."""
    order = np.argsort(-np.asarray(seen.sum(axis=0)).ravel(), kind="stable")
    by_listeners = seen[:, order].tocoo()

    def pairs(n: int) -> float:
        return (np.bincount(by_listeners.row[by_listeners.col < n], minlength=1).astype(float) ** 2).sum()

    low, high = min(DENSE_SONGS, len(order)), len(order)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if pairs(middle) <= SHARED_PAIRS else (low, middle - 1)
    return order[:low]
