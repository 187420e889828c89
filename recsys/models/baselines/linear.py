"""EASE: a linear model with one weight for each pair of songs."""

import numpy as np
from scipy.linalg import lapack

from recsys.data.split import Split
from recsys.models.baselines.scorers import DoesNotApply, ItemItem

MEMORY_LIMIT = 2e9  # bytes for the songs × songs matrices: about 12,900 songs, which take minutes


def fit_ease(split: Split, parts: tuple[str, ...], seed: int, regularisation: float) -> ItemItem:
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
    return ItemItem.for_split(split, seen, weights)
