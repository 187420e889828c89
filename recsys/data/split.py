"""The frozen split that everything after `prepare` works on: codes, what was seen and what is relevant."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.interactions import Interactions, Stored, read, store_pairs
from recsys.runs import read_json, sha256

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Train, validation and test, as integer codes.

    Codes 0…n_users−1 and 0…n_items−1 occur in train (warm); codes from there up to n_users_all and n_items_all occur
    only later (cold) and have no vector. `users` and `items` are tables whose row i describes code i, with raw ids in
    `user_id` and `item_id`. Checks itself when made; raises ValueError naming the part that does not fit.
    """

    name: str
    train: Interactions | Stored
    validation: Interactions | Stored
    test: Interactions | Stored
    users: pd.DataFrame
    items: pd.DataFrame
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        warm = [np.zeros(self.n_users, bool), np.zeros(self.n_items, bool)]
        for part in PARTS:
            rows = getattr(self, part)
            if isinstance(rows, Interactions) and not len(rows) == len(rows.item):
                raise ValueError(f"{part}: expected as many songs as users, got {len(rows.item)} and {len(rows)}")
            for piece in rows.pieces():
                sizes = (("user", self.n_users_all), ("song", self.n_items_all))
                for (what, n), codes, found in zip(sizes, piece, warm, strict=True):
                    if not 0 <= codes.min() <= codes.max() < n:
                        raise ValueError(f"{part}: expected {what} codes in 0…{n - 1}, got {codes.min()}…{codes.max()}")
                    if part == "train":
                        found[codes] = True
        for what, found in zip(("users", "songs"), warm, strict=True):
            if not found.all():
                raise ValueError(
                    f"train: expected the {what} of train to be the codes 0…{len(found) - 1}, got {found.sum()} codes"
                )

    @cached_property
    def n_users(self) -> int:
        """Number of warm users."""
        return 1 + max((int(users.max()) for users, _ in self.train.pieces()), default=-1)

    @cached_property
    def n_items(self) -> int:
        """Number of warm songs."""
        return 1 + max((int(items.max()) for _, items in self.train.pieces()), default=-1)

    @property
    def n_users_all(self) -> int:
        """Number of users, the cold ones too."""
        return len(self.users)

    @property
    def n_items_all(self) -> int:
        """Number of songs, the cold ones too."""
        return len(self.items)

    def __repr__(self) -> str:
        parts = ", ".join(f"{part} {len(getattr(self, part)):,}" for part in PARTS)
        return (
            f"Split({self.name}: {self.n_users:,} users (+{self.n_users_all - self.n_users:,} cold), "
            f"{self.n_items:,} songs (+{self.n_items_all - self.n_items:,} cold); listens: {parts})"
        )

    def warm(self, *parts: str) -> Interactions:
        """Return the rows of the parts, in their order, whose user and song both occur in train."""
        rows = [getattr(self, part) for part in parts]
        dated = all(each.timestamp is not None for each in rows)
        columns = ("user", "item", "timestamp") if dated else ("user", "item")
        joined = Interactions(*(np.concatenate([getattr(each, column) for each in rows]) for column in columns))
        return joined[(joined.user < self.n_users) & (joined.item < self.n_items)]

    def counts(self, *parts: str, users: np.ndarray | None = None) -> sparse.csr_matrix:
        """Return how often each warm user listened to each warm song in the parts: float32 (n_users, n_items).

        Where only some `users` are asked for, the rows of the others are empty.
        """
        asked = np.arange(self.n_users_all) < self.n_users
        if users is not None:
            asked &= np.isin(np.arange(self.n_users_all), users)
        found = [np.empty((2, 0), np.int32)]
        for user, item in (piece for part in parts for piece in getattr(self, part).pieces()):
            rows = asked[user] & (item < self.n_items)
            found.append(np.stack([user[rows], item[rows]]))
        pairs = np.concatenate(found, axis=1)
        ones = np.ones(pairs.shape[1], np.float32)  # of equal pairs, scipy makes the sum
        return sparse.csr_matrix((ones, tuple(pairs)), shape=(self.n_users, self.n_items))

    def seen(self, *parts: str, users: np.ndarray | None = None) -> sparse.csr_matrix:
        """Return which songs each warm user has in the parts: float32 0/1 (n_users, n_items), column indices sorted.

        Where only some `users` are asked for, the rows of the others are empty.
        """
        return self.counts(*parts, users=users).sign()

    def pairs(self, *parts: str) -> Interactions | Stored:
        """Return each warm user with each warm song that he has in the parts, once, by user and song."""
        if isinstance(self.train, Stored):
            path = self.train.path.with_name(f".pairs-{'-'.join(parts)}.parquet")
            return store_pairs([getattr(self, part) for part in parts], self.n_users, self.n_items, path)
        return Interactions(*self.seen(*parts).nonzero())

    @cached_property
    def known(self) -> sparse.csr_matrix:
        """`seen` of train and validation: what may never stand in a list of recommendations at test time."""
        return self.seen("train", "validation")

    def relevant(self, part: str = "test") -> sparse.csr_matrix:
        """Return what a ranker should find: 0/1 (n_users, n_items), positives of the part not seen in earlier parts."""
        return (self.seen(part) > self._before(part)).astype(np.float32)

    def _before(self, part: str) -> sparse.csr_matrix:
        """Return what the users of a part have in the earlier ones."""
        return self.seen(*PARTS[: PARTS.index(part)], users=getattr(self, part).user)

    def account(self, part: str = "test") -> dict[str, int]:
        """Return where each row of a part went: `cold_user`, then `cold_item`, then `repeat`, and `scored` rows.

        The four add up to `rows`. `scored` rows may repeat a pair within the part; `relevant` counts distinct pairs.
        """
        rows, warm = getattr(self, part), self.warm(part)
        before = self._before(part)
        cold_user = int((rows.user >= self.n_users).sum())
        cold = {"cold_user": cold_user, "cold_item": len(rows) - len(warm) - cold_user}
        repeat = int(before[warm.user, warm.item].sum()) if len(warm) else 0
        scored = {"repeat": repeat, "scored": len(warm) - repeat, "relevant": self.relevant(part).nnz}
        return {"rows": len(rows), **cold, **scored}

    @classmethod
    def load(cls, folder: Path) -> "Split":
        """Read a prepared folder. Raises ValueError when a file is not the one that its manifest describes."""
        folder = Path(folder)
        manifest = read_json(folder / "manifest.json")
        for name, expected in manifest["files"].items():
            if (arrived := sha256(folder / name)) != expected:
                raise ValueError(
                    f"{folder.name}/{name}: expected SHA-256 {expected[:12]}…, as in the manifest, got "
                    f"{arrived[:12]}…; delete the folder and prepare it again"
                )
        parts = [read(folder / f"{part}.parquet") for part in PARTS]
        users, items = (pd.read_parquet(folder / f"{what}.parquet") for what in ("users", "items"))
        return cls(manifest["dataset"], parts[0], parts[1], parts[2], users, items, manifest)

    @classmethod
    def from_arrays(cls, train: Any, validation: Any, test: Any, name: str = "arrays") -> "Split":
        """Make a split of three arrays of (user, song) codes, each (n, 2); raw ids are then the codes themselves."""
        arrays = [np.asarray(part, np.int32).reshape(-1, 2) for part in (train, validation, test)]
        n_users, n_items = np.concatenate(arrays).max(axis=0) + 1
        users, items = pd.DataFrame({"user_id": np.arange(n_users)}), pd.DataFrame({"item_id": np.arange(n_items)})
        first, second, third = (Interactions(part[:, 0], part[:, 1]) for part in arrays)
        return cls(name, first, second, third, users, items, {"dataset": name, "key": name, "split": "given"})
