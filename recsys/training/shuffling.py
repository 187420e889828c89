"""The order in which each epoch takes the rows of train: shuffled anew, in windows that fit on the device."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from recsys.data.interactions import IN_MEMORY, PIECE, Interactions, Stored
from recsys.training.losses import ORDER, WINDOWS

WINDOW, MOST_WINDOWS = IN_MEMORY, 32  # rows on the device at once; more if there would be too many windows


class ShuffledRows:
    """Rows in an order that depends on the seed and the epoch alone, whether they are in memory or in a file.

    Each row is put at random into one of several windows of about `WINDOW` rows, and each window is shuffled. As one
    pass over all rows collects a window, there are at most `MOST_WINDOWS`: the time then grows no faster than the rows.
    """

    def __init__(self, rows: Interactions | Stored, seed: int):
        self.rows, self.seed, self.epoch = rows, seed, 0
        self.n_windows = min(-(-len(rows) // WINDOW), MOST_WINDOWS)
        self.first = [int(codes[0]) for codes in next(rows.pieces())]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, epoch: int, start: int, n: int) -> list[tf.Tensor]:
        """Return users and songs of n of the epoch's rows, int32 (n,) each; the first row pads the end of the epoch."""
        end, found = min(start + n, len(self)), []
        missing = start + n - end
        while start < end:
            self._load_window(epoch, start)
            found.append([codes[start - self.start : end - self.start] for codes in self.codes])
            start += len(found[-1][0])
        joined = (tf.concat(codes, 0) for codes in zip(*found, strict=True))
        pairs = zip(joined, self.first, strict=True)
        return [tf.pad(codes, [[0, missing]], constant_values=first) for codes, first in pairs]

    def _load_window(self, epoch: int, place: int) -> None:
        """Bring the window that holds a place of the epoch to the device."""
        if epoch != self.epoch:
            draw, sizes = self._window_draws(epoch), np.zeros(self.n_windows, np.int64)
            for first in range(0, len(self), PIECE):
                sizes += np.bincount(draw(min(PIECE, len(self) - first)), minlength=self.n_windows)
            self.epoch, self.window, self.ends = epoch, -1, np.cumsum(sizes)
        if (window := int(np.searchsorted(self.ends, place, side="right"))) == self.window:
            return
        self.window, self.codes, end = window, [], 0  # free the old window first: there may be no room for two
        size = int(self.ends[window] - (self.ends[window - 1] if window else 0))
        draw, found = self._window_draws(epoch), [np.empty(size, np.int32) for _ in range(2)]
        for piece in self.rows.pieces():
            rows = np.flatnonzero(draw(len(piece[0])) == window)
            for codes, some in zip(found, piece, strict=True):
                codes[end : end + len(rows)] = some[rows]
            end += len(rows)
        for codes in found:  # the same shuffle for users and songs, without an index array in memory
            np.random.default_rng([self.seed, epoch, ORDER, window]).shuffle(codes)
        self.start, self.codes = int(self.ends[window]) - size, [tf.constant(found.pop(0)) for _ in range(2)]

    def _window_draws(self, epoch: int) -> Callable[[int], np.ndarray]:
        """Return a function that draws the windows of the next n rows, int32 (n,)."""
        rng = np.random.default_rng([self.seed, epoch, WINDOWS])
        return lambda n: (rng.random(n) * self.n_windows).astype(np.int32)
