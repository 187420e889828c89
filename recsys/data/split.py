"""The Split: train, validation and test as integer codes, which everything after `prepare` works on."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.interactions import COLUMNS, Interactions, Stored, read_interactions, store_pairs
from recsys.files import check_file, read_json

PARTS = ("train", "validation", "test")
UNKNOWN_ORDER = 0.1  # share of neighbouring listens with equal times from which a user's order counts as unknown


@dataclass(frozen=True, eq=False)
class Split:
    """Train, validation and test: the positives of each as integer codes of users and songs.

    There are three ways to make one:

    - `recsys.prepare("csv", "listens.csv", user_column="who", item_column="song")` reads a log and splits it.
    - `Split.load(folder)` opens a folder that was prepared before.
    - `Split.from_arrays(train, validation, test)` takes three arrays of (user, song) codes.

    `split.train.user`, `.item` and `.timestamp` are arrays with one element for each listen; `validation` and `test`
    have the same. Lists in the order of time without times have `.place` instead of `.timestamp`.

    Users and songs in train are *warm*: their codes are 0…n_users−1 and 0…n_items−1. Those that appear only later are
    *cold*: their codes follow, and models have no vector for them. The last codes, up to n_users_all−1 and
    n_items_all−1, are of users and songs that no part has but that a list of all names; there are few such lists.

    Row i of the table `users` describes the user with code i, whose raw id is in the column `user_id`; `items` does the
    same for songs, with `item_id`. `manifest` tells how the split was made.

    Raises ValueError if the codes do not follow these rules.
    """

    name: str
    train: Interactions | Stored
    validation: Interactions | Stored
    test: Interactions | Stored
    users: pd.DataFrame
    items: pd.DataFrame
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        in_train = {"user": np.zeros(self.n_users, bool), "song": np.zeros(self.n_items, bool)}
        sizes = (("user", self.n_users_all), ("song", self.n_items_all))
        for part in PARTS:
            rows = getattr(self, part)
            if isinstance(rows, Interactions) and len(rows.user) != len(rows.item):
                raise ValueError(f"{part}: expected as many songs as users, got {len(rows.item)} and {len(rows.user)}")
            for piece in rows.pieces():
                for (what, n), codes in zip(sizes, piece, strict=True):
                    if not 0 <= codes.min() <= codes.max() < n:
                        raise ValueError(f"{part}: expected {what} codes in 0…{n - 1}, got {codes.min()}…{codes.max()}")
                    if part == "train":
                        in_train[what][codes] = True
        for what, found in in_train.items():
            if not found.all():
                raise ValueError(
                    f"train: expected every {what} code in 0…{len(found) - 1}, got {found.sum()} of {len(found)}; "
                    f"number the {what}s of train from 0, then the others"
                )

    def __repr__(self) -> str:
        how = f", {self.manifest['split']}" if "split" in self.manifest else ""
        unheard = (
            self.n_users_all - self.n_users - self.n_cold_users, self.n_items_all - self.n_items - self.n_cold_items,
        )  # fmt: skip
        nowhere = [f", {n:,} in no part" if n else "" for n in unheard]
        return "\n".join([
            f"Split of {self.name}{how}",
            f"  users      {self.n_users:>13,} in train, {self.n_cold_users:,} only later (cold)" + nowhere[0],
            f"  songs      {self.n_items:>13,} in train, {self.n_cold_items:,} only later (cold)" + nowhere[1],
            *(f"  {part:<10} {len(getattr(self, part)):>13,} listens" for part in PARTS),
        ])  # fmt: skip

    @cached_property
    def n_users(self) -> int:
        """Number of warm users."""
        return 1 + max((int(users.max()) for users, _ in self.train.pieces()), default=-1)

    @cached_property
    def n_items(self) -> int:
        """Number of warm songs."""
        return 1 + max((int(items.max()) for _, items in self.train.pieces()), default=-1)

    @property
    def size(self) -> tuple[int, int, int]:
        """Number of rows in train, of warm users, and of warm songs."""
        return len(self.train), self.n_users, self.n_items

    @property
    def n_cold_users(self) -> int:
        """Number of users that only validation or test has."""
        return self._last_codes[0] + 1 - self.n_users

    @property
    def n_cold_items(self) -> int:
        """Number of songs that only validation or test has."""
        return self._last_codes[1] + 1 - self.n_items

    @cached_property
    def _last_codes(self) -> tuple[int, int]:
        """The highest codes of a user and of a song in any part."""
        pieces = [piece for part in PARTS for piece in getattr(self, part).pieces()]
        return max(int(users.max()) for users, _ in pieces), max(int(items.max()) for _, items in pieces)

    @property
    def n_users_all(self) -> int:
        """Number of users: warm, cold and, where a list names all, those in no part."""
        return len(self.users)

    @property
    def n_items_all(self) -> int:
        """Number of songs: warm, cold and, where a list names all, those in no part."""
        return len(self.items)

    @property
    def test_sample(self) -> dict[str, int]:
        """The numbers of users and rows that test had before a sample was drawn; empty if test is whole."""
        return self.manifest.get("test_sample", {})

    @property
    def has_order(self) -> bool:
        """Whether the order of each user's listens is known: by places in a list, or by times that are rarely equal."""
        share = self.manifest.get("equal_times")  # `prepare` notes it where there are times
        return self.train[:0].order is not None if share is None else share <= UNKNOWN_ORDER

    def warm(self, *parts: str) -> Interactions:
        """Return the rows of the parts, one part after the other, whose user and song are both warm."""
        columns: dict[str, Any] = {}
        for name in COLUMNS:
            values = [getattr(getattr(self, part), name) for part in parts]
            columns[name] = None if any(each is None for each in values) else np.concatenate(values)
        joined = Interactions(**columns)
        return joined[(joined.user < self.n_users) & (joined.item < self.n_items)]

    def frame(self, *parts: str) -> pd.DataFrame:
        """Return the rows of the parts as a table, one part after the other: user, item, what orders them, part.

        The column `part` has the place of each row's part in `PARTS`.
        """
        rows = [getattr(self, part)[:] for part in parts]
        known = [name for name in COLUMNS if all(getattr(each, name) is not None for each in rows)]
        columns = {name: np.concatenate([getattr(each, name) for each in rows]) for name in known}
        numbers = np.array([PARTS.index(part) for part in parts], np.int8)
        return pd.DataFrame(columns | {"part": np.repeat(numbers, [len(each) for each in rows])}, copy=False)

    def in_order(self, *parts: str) -> Interactions:
        """Return the rows of `warm` by user, each user's oldest first. Raises ValueError if their order is not known.

        Rows with equal times stay in the order of the parts' files, which is that of a hash.
        """
        rows = self.warm(*parts)
        if not self.has_order or rows.order is None:
            raise ValueError(f"{' and '.join(parts)}: expected rows with times or places, got none")
        return rows[np.lexsort((rows.order, rows.user))]

    def counts(self, *parts: str, users: np.ndarray | None = None) -> sparse.csr_matrix:
        """Return how often each warm user listened to each warm song in the parts: float32 (n_users, n_items).

        With `users`, the rows of all other users are empty.
        """
        wanted = np.arange(self.n_users_all) < self.n_users
        if users is not None:
            wanted &= np.isin(np.arange(self.n_users_all), users)
        found = [np.empty((2, 0), np.int32)]
        for user, item in (piece for part in parts for piece in getattr(self, part).pieces()):
            rows = wanted[user] & (item < self.n_items)
            found.append(np.stack([user[rows], item[rows]]))
        pairs = np.concatenate(found, axis=1)
        ones = np.ones(pairs.shape[1], np.float32)  # scipy adds up the ones of equal pairs
        return sparse.csr_matrix((ones, tuple(pairs)), shape=(self.n_users, self.n_items))

    def seen(self, *parts: str, users: np.ndarray | None = None) -> sparse.csr_matrix:
        """Return which songs each warm user has in the parts: float32 0/1 (n_users, n_items), column indices sorted.

        With `users`, the rows of all other users are empty.
        """
        return self.counts(*parts, users=users).sign()

    def pairs(self, *parts: str) -> Interactions | Stored:
        """Return the distinct pairs of a warm user and a warm song in the parts, sorted by user and song."""
        if isinstance(self.train, Stored):
            path = self.train.path.with_name(f".pairs-{'-'.join(parts)}.parquet")
            return store_pairs([getattr(self, part) for part in parts], self.n_users, self.n_items, path)
        return Interactions(*self.seen(*parts).nonzero())

    @cached_property
    def known(self) -> sparse.csr_matrix:
        """`seen` of train and validation: the songs that are never recommended at test time."""
        return self.seen("train", "validation")

    def relevant(self, part: str = "test") -> sparse.csr_matrix:
        """Return the songs of the part that the user has in no earlier part: 0/1 (n_users, n_items), warm only."""
        return (self.seen(part) > self._seen_before(part)).astype(np.float32)

    def _seen_before(self, part: str) -> sparse.csr_matrix:
        """Return `seen` of the earlier parts, for the users of this part."""
        return self.seen(*PARTS[: PARTS.index(part)], users=getattr(self, part).user)

    def account(self, part: str = "test") -> dict[str, int]:
        """Return how many rows of a part were scored, and how many were not and why.

        A row counts as `cold_user`, else as `cold_item`, else as `repeat` (the user has the song in an earlier part),
        else as `scored`; the four add up to `rows`. `relevant` counts the distinct pairs among the scored rows.
        """
        rows, warm = getattr(self, part), self.warm(part)
        cold_user = int((rows.user >= self.n_users).sum())
        repeat = int(self._seen_before(part)[warm.user, warm.item].sum()) if len(warm) else 0
        return {
            "rows": len(rows), "cold_user": cold_user, "cold_item": len(rows) - len(warm) - cold_user,
            "repeat": repeat, "scored": len(warm) - repeat, "relevant": self.relevant(part).nnz,
        }  # fmt: skip

    @classmethod
    def load(cls, folder: Path | str) -> "Split":
        """Open a prepared folder. Raises ValueError if a file has changed since it was written."""
        folder = Path(folder)
        manifest = read_json(folder / "manifest.json")
        for name, expected in manifest["files"].items():
            check_file(folder / name, expected)
        train, validation, test = (read_interactions(folder / f"{part}.parquet") for part in PARTS)
        users, items = (pd.read_parquet(folder / f"{what}.parquet", partitioning=None) for what in ("users", "items"))
        return cls(manifest["dataset"], train, validation, test, users, items, manifest)

    @classmethod
    def from_arrays(cls, train: Any, validation: Any, test: Any, name: str = "arrays") -> "Split":
        """Make a split of three arrays of (user, song) codes, each (n, 2). The codes also serve as raw ids."""
        arrays = [np.asarray(part, np.int32).reshape(-1, 2) for part in (train, validation, test)]
        n_users, n_items = np.concatenate(arrays).max(axis=0) + 1
        users, items = pd.DataFrame({"user_id": np.arange(n_users)}), pd.DataFrame({"item_id": np.arange(n_items)})
        first, second, third = (Interactions(part[:, 0], part[:, 1]) for part in arrays)
        return cls(name, first, second, third, users, items, {"dataset": name, "key": name, "split": "given"})
