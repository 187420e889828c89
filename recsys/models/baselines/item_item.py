"""Item kNN and EASE: a song's score is the sum of its similarities to the songs of the user's history."""

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from recsys.data.split import Split
from recsys.models.baselines.scorers import DoesNotApply, Product

MEMORY_LIMIT = 2e9  # bytes for EASE's songs × songs matrices: about 12,900 songs, which take minutes


def fit_itemknn(split: Split, parts: tuple[str, ...], seed: int, k: int) -> Product:
    """Take the cosine of two songs' listeners, and keep each song's k most similar songs (Sarwar et al. 2001)."""
    from implicit.nearest_neighbours import all_pairs_knn

    seen = split.seen(*parts)
    norms = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))
    listeners = (seen @ sparse.diags_array(1 / norms)).tocsr().astype(np.float64)  # (n_users, n_items), unit columns
    similarity = all_pairs_knn(listeners, k + 1, show_progress=False)  # k + 1, because each song finds itself
    similarity = similarity.tocsr().astype(np.float32)
    similarity.setdiag(0)
    return Product.for_split(split, seen, similarity)


def fit_ease(split: Split, parts: tuple[str, ...], seed: int, regularisation: float) -> Product:
    """Predict each song of a history from the other songs by ridge regression, in closed form.

    Steck 2019, arXiv 1905.03375. Raises DoesNotApply if the songs × songs matrices exceed `MEMORY_LIMIT`.
    """
    needed, allowed = 3 * 4 * split.n_items**2 / 1e9, MEMORY_LIMIT / 1e9
    if needed > allowed:
        raise DoesNotApply(f"{split.n_items:,} songs need {needed:.0f} GB, more than the {allowed:.0f} GB allowed")
    seen = split.seen(*parts)
    gram = (seen.T @ seen).toarray()  # (n_items, n_items)
    gram[np.diag_indices_from(gram)] += np.float32(regularisation)
    factor, _ = lapack.spotrf(gram, lower=1)  # Cholesky: half the work of a general inverse
    lower, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return Product.for_split(split, seen, weights)
