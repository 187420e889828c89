"""Users' vectors that are pulled towards the songs they listened to last."""

import numpy as np
from scipy import sparse

from recsys.data.interactions import Interactions


def latest_weights(rows: Interactions, n_users: int, n_items: int, half_life: float) -> sparse.csr_matrix:
    """Return what each listen weighs, ½ to the power of the user's later listens over `half_life`: (n_users, n_items).

    Repeated listens add up. Raises ValueError for rows without timestamps.
    """
    if rows.timestamp is None:
        raise ValueError("expected listens with timestamps, to know the latest, got none")
    order = np.lexsort((rows.timestamp, rows.user))  # of equal times the later row comes later
    user, item = rows.user[order], rows.item[order]
    later = np.bincount(user, minlength=n_users).cumsum()[user] - 1 - np.arange(len(user))
    weights = np.exp2(-later / half_life, dtype=np.float32)
    return sparse.csr_matrix((weights, (user, item)), shape=(n_users, n_items))


def pulled(users: np.ndarray, songs: np.ndarray, weights: sparse.csr_matrix, pull: float) -> np.ndarray:
    """Return users' vectors (n_users, dim) of length one plus `pull` times the direction of their latest songs.

    `songs` (n_items, dim) count by direction, as `weights` (n_users, n_items) say; float32.
    """
    return _directions(users) + np.float32(pull) * _directions(weights @ _directions(songs))


def _directions(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
