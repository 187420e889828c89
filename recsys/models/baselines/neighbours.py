"""Item kNN: recommend songs that have the same listeners as the songs in the history."""

import numpy as np
from scipy import sparse

from recsys.data.split import Split
from recsys.models.baselines.scorers import ItemItem


def fit_itemknn(split: Split, parts: tuple[str, ...], seed: int, k: int) -> ItemItem:
    """Use the cosine of two songs' listeners as their similarity, and keep each song's k most similar songs.

    Sarwar et al. 2001. The neighbours are found by `implicit`.
    """
    from implicit.nearest_neighbours import all_pairs_knn

    seen = split.seen(*parts)
    norms = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))
    listeners = (seen @ sparse.diags_array(1 / norms)).tocsr().astype(np.float64)  # (n_users, n_items), unit columns
    similarity = all_pairs_knn(listeners, k + 1, show_progress=False)  # k + 1, because each song finds itself
    similarity = similarity.tocsr().astype(np.float32)
    similarity.setdiag(0)
    return ItemItem.for_split(split, seen, similarity)
