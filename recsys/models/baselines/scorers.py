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
class ItemItem:
    """A song's score is the sum of its similarities to the songs in the user's history: `history @ similarity`.

    `history` csr (n_users_all + 1, n_items), whose last row is empty and serves unknown users; `similarity` csr or
    dense (n_items, n_items_all).
    """

    history: sparse.csr_matrix
    similarity: Any

    @classmethod
    def for_split(cls, split: Split, history: sparse.csr_matrix, similarity: Any) -> "ItemItem":
        """Make the scorer from history (n_users, n_items) and similarity (n_items, n_items); pad both with zeros."""
        history.resize(split.n_users_all + 1, split.n_items)
        if sparse.issparse(similarity):
            similarity.resize(split.n_items, split.n_items_all)
            return cls(history, similarity)
        return cls(history, np.pad(similarity, ((0, 0), (0, split.n_items_all - split.n_items))))

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all), zeros for users without a history."""
        product = self.history[_rows(users, self.history)] @ self.similarity
        return product.toarray() if sparse.issparse(product) else product


@dataclass(frozen=True)
class Vectors:
    """A song's score is the dot product of the user's vector and the song's.

    `users` float32 (n_users_all + 1, dim), whose last row is zero and serves unknown users; `items` float32
    (n_items_all, dim).
    """

    users: np.ndarray
    items: np.ndarray

    @classmethod
    def for_split(cls, split: Split, users: np.ndarray, items: np.ndarray) -> "Vectors":
        """Make the scorer from the vectors of warm users (n_users, dim) and songs (n_items, dim); pad with zeros."""
        n_added = (split.n_users_all + 1 - split.n_users, split.n_items_all - split.n_items)
        return cls(*(np.pad(table, ((0, n), (0, 0))) for table, n in zip((users, items), n_added, strict=True)))

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all), zeros for unknown users."""
        return self.users[_rows(users, self.users)] @ self.items.T


def _rows(users: np.ndarray, table: Any) -> np.ndarray:
    """Return each user's row of a table; codes outside it get the last row, which is empty."""
    last = table.shape[0] - 1
    return np.where((users >= 0) & (users < last), users, last)
