"""What a fitted baseline is: a few forms of `scores(users)`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from recsys.data.split import Split


@dataclass(frozen=True)
class SameForAll:
    """The same scores for every user: `row`, float32 (n_items_all,)."""

    row: np.ndarray

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return the row for each user, (len(users), n_items_all)."""
        return np.broadcast_to(self.row, (len(users), len(self.row)))


@dataclass(frozen=True)
class RandomOrder:
    """An order of the songs of its own for every user, the same whenever he is asked for."""

    n_items: int
    seed: int

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items)."""
        return np.stack([np.random.default_rng((self.seed, int(u))).random(self.n_items, np.float32) for u in users])


@dataclass(frozen=True)
class ItemItem:
    """Sum of the similarities of a song to the songs of the user's history: `history @ similarity`.

    `history` csr (n_users_all + 1, n_items), the last row empty; `similarity` csr or dense (n_items, n_items_all).
    """

    history: sparse.csr_matrix
    similarity: Any

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all), zeros for who has no history."""
        product = self.history[_rows(users, self.history)] @ self.similarity
        return product.toarray() if sparse.issparse(product) else product


@dataclass(frozen=True)
class Vectors:
    """Dot products of user vectors (n_users_all + 1, dim), the last one zero, and song vectors (n_items_all, dim)."""

    users: np.ndarray
    items: np.ndarray

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all), zeros for whom it does not know."""
        return self.users[_rows(users, self.users)] @ self.items.T


def vectors(split: Split, users: np.ndarray, items: np.ndarray) -> Vectors:
    """Return warm users' and songs' vectors as a scorer, to whom all others have none."""
    more = (split.n_users_all + 1 - split.n_users, split.n_items_all - split.n_items)
    return Vectors(*(np.pad(table, ((0, n), (0, 0))) for table, n in zip((users, items), more, strict=True)))


class DoesNotApply(ValueError):
    """A baseline that cannot be fitted to this split, with the reason."""


def all_users(matrix: sparse.csr_matrix, split: Split) -> sparse.csr_matrix:
    """Add an empty row for each cold user, and one for all that are unknown."""
    matrix.resize(split.n_users_all + 1, split.n_items)
    return matrix


def _rows(users: np.ndarray, table: Any) -> np.ndarray:
    """Return the users' rows of a table: that of a code outside it is the last, which is empty."""
    last = table.shape[0] - 1
    return np.where((users >= 0) & (users < last), users, last)
