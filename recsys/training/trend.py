"""The trend: songs that were played more lately are played more next.

A song's trend is log((late + 5) / (total + 5)), where `total` counts its listens and `late` the late ones among them,
scaled to the same sum over all songs. Late is the latest quarter of each user's listens ("of user"), or of all listens
by time ("of all"), which fits a test after one moment. Times β the trend is added to the song's score.
"""

import numpy as np

from recsys.data.interactions import Interactions
from recsys.training.recency import directions

LATE, PRIOR = 0.25, 5.0  # share of the listens that is late; listens that are added to both counts


def song_trend(rows: Interactions, n_items: int, late: str = "of user") -> np.ndarray:
    """Return the trend of each song, float32 (n_items,), from rows in the order of `Split.in_order`."""
    if late == "of all":
        assert rows.timestamp is not None
        is_late = rows.timestamp > np.sort(rows.timestamp)[int((1 - LATE) * len(rows))]
    else:
        n = np.bincount(rows.user)
        later = n.cumsum()[rows.user] - np.arange(len(rows)) - 0.5  # of the user, from the middle of this listen on
        is_late = later < LATE * n[rows.user]
    total, in_late = (np.bincount(songs, minlength=n_items) for songs in (rows.item, rows.item[is_late]))
    scaled = in_late * (len(rows) / max(is_late.sum(), 1))
    return np.log((scaled + PRIOR) / (total + PRIOR)).astype(np.float32)


def with_trend(users: np.ndarray, songs: np.ndarray, trend: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of users and songs with two more numbers, whose cosines rank songs by old cosine + β · trend.

    The first number of a song is β · trend and meets a 1 of the user. The second meets a 0, and gives all songs the
    same length.
    """
    biases = np.float32(beta) * trend
    rest = np.sqrt(np.maximum(np.max(biases**2) - biases**2, 0))
    ones, zeros = np.ones(len(users), np.float32), np.zeros(len(users), np.float32)
    return np.c_[directions(users), ones, zeros], np.c_[directions(songs), biases, rest]
