"""Item kNN: songs with the same listeners."""

import numpy as np
from scipy import sparse

from recsys.data.split import Split
from recsys.models.baselines.scorers import ItemItem, all_users


def fit_itemknn(split: Split, parts: tuple[str, ...], seed: int, k: int) -> ItemItem:
    """Cosine of the songs' listeners, the k most similar songs of each kept (Sarwar et al. 2001)."""
    from implicit.nearest_neighbours import all_pairs_knn

    seen = split.seen(*parts)
    norms = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))
    listeners = (seen @ sparse.diags_array(1 / norms)).tocsr().astype(np.float64)  # (n_users, n_items), unit columns
    # implicit wants users in rows; + 1 for the song itself
    similarity = all_pairs_knn(listeners, k + 1, show_progress=False).tocsr().astype(np.float32)
    similarity.setdiag(0)
    similarity.resize(split.n_items, split.n_items_all)
    return ItemItem(all_users(seen, split), similarity)
