"""The spectral part: singular vectors of users × songs, in closed form.

The matrix of who has which song is divided by the square roots of both numbers of songs and of listeners. A user's
vector is their row of the singular vectors, times the singular values; a song's vector is its column, times the square
root of its number of listeners. It knows in seconds what many steps of training find slowly, and errs in other places.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from recsys.training.recency import directions


def spectral_vectors(seen: sparse.csr_matrix, dim: int) -> list[np.ndarray]:
    """Return vectors of length one for users (n_users, dim + 1) and songs (n_items, dim + 1), zeros without rows.

    `seen` is 0/1 (n_users, n_items). The last number, 0 for users, gives all songs one length. `dim` is lowered to
    the number of users, or of songs.
    """
    of_users, of_songs = (np.maximum(np.asarray(seen.sum(axis=axis)).ravel(), 1) for axis in (1, 0))
    scaled = sparse.diags_array(of_users**-0.5) @ seen @ sparse.diags_array(of_songs**-0.5)
    scaled = scaled.astype(np.float32)
    if dim < min(seen.shape):
        left, values, right = svds(scaled, dim, random_state=0)
    else:
        left, values, right = np.linalg.svd(scaled.toarray(), full_matrices=False)
    songs = (right * np.sqrt(of_songs)).T
    lengths = np.linalg.norm(songs, axis=1, keepdims=True)
    rest = np.sqrt(np.maximum(lengths.max() ** 2 - lengths**2, 0))
    users = np.c_[directions(left * values), np.zeros(len(left))]
    return [users.astype(np.float32), (np.c_[songs, rest] / lengths.max()).astype(np.float32)]
