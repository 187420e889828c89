"""Recency weighting: move each user's vector towards the songs that they listened to last.

A song's weight is ½ to the power of the user's later listens divided by the half-life. The direction of the weighted
sum of the songs' directions is multiplied by the strength and added to the user's direction.
"""

import numpy as np
from scipy import sparse


def with_recency(users: np.ndarray, songs: np.ndarray, weights: sparse.csr_matrix, strength: float) -> np.ndarray:
    """Return users' vectors with recency weighting, float32 (n_users, dim), given those of users and songs without."""
    return directions(users) + np.float32(strength) * directions(weights @ directions(songs))


def directions(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, dim) divided by their lengths; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
