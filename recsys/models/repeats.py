"""Songs to hear again: scores from how often and how recently a listener has played a song."""

import numpy as np
from scipy import sparse

from recsys.data.split import Split

DECAY = 0.5  # the power with which a listen is forgotten; the usual value in ACT-R


def activation(split: Split) -> sparse.csr_matrix:
    """Return how present each song is in a listener's memory: float32 (n_users, n_items), 0 for songs without a listen.

    It is the base-level activation of ACT-R, Σ age^−0.5 over the listens to the song in train and validation. An age
    is the time from the listen to the last of all listens, plus an hour. Without times it is the number of listens.
    Source: Reiter-Haas et al., Predicting music relistening behavior using the ACT-R framework, RecSys 2021.
    """
    rows = split.warm("train", "validation")
    weights = np.ones(len(rows), np.float32)
    if rows.timestamp is not None and len(rows):
        hours = (rows.timestamp.max() - rows.timestamp) / np.timedelta64(1, "h") + 1
        weights = (hours**-DECAY).astype(np.float32)
    shape = (split.n_users, split.n_items)
    return sparse.csr_matrix((weights, (rows.user, rows.item)), shape)  # scipy adds up the listens of equal pairs
