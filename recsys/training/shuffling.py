"""The order in which each epoch takes rows: shuffled anew, one window of them after the other on the device."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from recsys.data.interactions import IN_MEMORY, PIECE, Interactions, Stored

WINDOW = IN_MEMORY  # rows on the device at once
ORDER, WINDOWS = 0, 4  # what is drawn here; those of loops have other numbers


class Order:
    """Rows in an order that is a function of the seed and the epoch, whether they are in memory or in a file.

    The rows of an epoch fall into windows of about `WINDOW` rows by chance, and each window is shuffled. One pass over
    the rows finds those of a window.
    """

    def __init__(self, rows: Interactions | Stored, seed: int):
        self.rows, self.seed, self.epoch = rows, seed, 0
        self.n_windows = -(-len(rows) // WINDOW)
        self.first = [int(codes[0]) for codes in next(rows.pieces())]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, epoch: int, place: int, n: int) -> list[tf.Tensor]:
        """Return users and songs of n places of an epoch's order, int32 (n,); past its end, those of the first row."""
        until, found = min(place + n, len(self)), []
        short = place + n - until
        while place < until:
            self._open(epoch, place)
            found.append([codes[place - self.start : until - self.start] for codes in self.codes])
            place += len(found[-1][0])
        joined = (tf.concat(codes, 0) for codes in zip(*found, strict=True))
        pairs = zip(joined, self.first, strict=True)
        return [tf.pad(codes, [[0, short]], constant_values=first) for codes, first in pairs]

    def _open(self, epoch: int, place: int) -> None:
        """Bring the window of a place to the device."""
        if epoch != self.epoch:
            draw, sizes = self._draws(epoch), np.zeros(self.n_windows, np.int64)
            for start in range(0, len(self), PIECE):
                sizes += np.bincount(draw(min(PIECE, len(self) - start)), minlength=self.n_windows)
            self.epoch, self.window, self.ends = epoch, -1, np.cumsum(sizes)
        if (window := int(np.searchsorted(self.ends, place, side="right"))) == self.window:
            return
        self.window, self.codes, end = window, [], 0  # first the old one goes, as there may be no room for two
        size = int(self.ends[window] - (self.ends[window - 1] if window else 0))
        draw, found = self._draws(epoch), [np.empty(size, np.int32) for _ in range(2)]
        for piece in self.rows.pieces():
            rows = np.flatnonzero(draw(len(piece[0])) == window)
            for codes, some in zip(found, piece, strict=True):
                codes[end : end + len(rows)] = some[rows]
            end += len(rows)
        for codes in found:  # alike, without an order to keep
            np.random.default_rng([self.seed, epoch, ORDER, window]).shuffle(codes)
        self.start, self.codes = int(self.ends[window]) - size, [tf.constant(found.pop(0)) for _ in range(2)]

    def _draws(self, epoch: int) -> Callable[[int], np.ndarray]:
        """Return a function that draws the windows of the next n rows, int32 (n,)."""
        rng = np.random.default_rng([self.seed, epoch, WINDOWS])
        return lambda n: (rng.random(n) * self.n_windows).astype(np.int32)
