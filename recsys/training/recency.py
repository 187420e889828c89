"""Recency weighting: move each user's vector towards the songs that they listened to last.

A song's weight is ½ to the power of the user's later listens divided by the half-life. The direction of the weighted
sum of the songs' directions is multiplied by the strength and added to the user's direction.
"""

import numpy as np
from scipy import sparse

from recsys.data.interactions import Interactions


def recency_weights(rows: Interactions, n_users: int, n_items: int, half_life: float) -> sparse.csr_matrix:
    """Return the weight of each user's songs, float32 (n_users, n_items); those of repeated listens add up."""
    assert rows.order is not None
    order = np.lexsort((rows.order, rows.user))  # at equal times the later row counts as the later listen
    user, item = rows.user[order], rows.item[order]
    n_later = np.bincount(user, minlength=n_users).cumsum()[user] - 1 - np.arange(len(user))
    weights = np.exp2(-n_later / half_life, dtype=np.float32)
    return sparse.csr_matrix((weights, (user, item)), shape=(n_users, n_items))


def with_recency(users: np.ndarray, songs: np.ndarray, weights: sparse.csr_matrix, strength: float) -> np.ndarray:
    """Return users' vectors with recency weighting, float32 (n_users, dim), given those of users and songs without."""
    return directions(users) + np.float32(strength) * directions(weights @ directions(songs))


def directions(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, dim) divided by their lengths; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
