"""The forms that a fitted baseline takes, each with `scores(users)`, and the error for one that cannot be fitted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from recsys.data.split import Split


class DoesNotApply(ValueError):
    """The baseline cannot be fitted to this split; the message is the reason."""


@dataclass(frozen=True)
class SameForAll:
    """The same scores for every user: `row`, float32 (n_items_all,)."""

    row: np.ndarray

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return the row for each user: float32 (len(users), n_items_all)."""
        return np.broadcast_to(self.row, (len(users), len(self.row)))


@dataclass(frozen=True)
class RandomOrder:
    """A random order of the songs for each user, the same at every call."""

    n_items: int
    seed: int

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items)."""
        return np.stack([np.random.default_rng((self.seed, int(u))).random(self.n_items, np.float32) for u in users])


@dataclass(frozen=True)
class Product:
    """The product of a row for each user, such as a vector or a history, with a column for each song."""

    users: Any  # csr matrix or array, float32 (n_users_all + 1, m); the last row is zero and serves unknown users
    songs: Any  # csr matrix or array, float32 (m, n_items_all)

    @classmethod
    def for_split(cls, split: Split, users: Any, songs: Any) -> "Product":
        """Make the scorer from rows of warm users (n_users, m) and columns of warm songs (m, n_items); add zeros."""
        return cls(_padded(users, split.n_users_all + 1, 0), _padded(songs, 0, split.n_items_all))

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all), zeros for unknown users."""
        last = self.users.shape[0] - 1
        product = self.users[np.where((users >= 0) & (users < last), users, last)] @ self.songs
        return product.toarray() if sparse.issparse(product) else product


def _padded(matrix: Any, n_rows: int, n_columns: int) -> Any:
    """Add zeros until a matrix has at least so many rows and columns."""
    shape = np.maximum(matrix.shape, (n_rows, n_columns))
    if sparse.issparse(matrix):
        matrix.resize(*shape)
        return matrix
    return np.pad(matrix, [(0, n) for n in shape - matrix.shape])
