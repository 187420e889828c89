"""The rows of one part of a split: in memory or, if they are many, in a Parquet file that is read piece by piece."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from recsys.files import working_folder

IN_MEMORY = 2**21  # rows of a part: 16 MiB of codes. A part with more stays in its file.
PIECE = 2**19  # rows
COLUMNS = ("user", "item", "timestamp", "place")
MEMORY, THREADS = 5 * 10**8, 2  # of DuckDB: bytes, unless there are very many rows


@dataclass(frozen=True, eq=False)
class Interactions:
    """Positives: codes `user` and `item`, int32 (n,), and what orders them, where that is known.

    This is `timestamp`, UTC datetime64 (n,), or `place`, int32 (n,): the place in a list that has the user's songs in
    the order of time. Both may be None.
    """

    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray | None = None
    place: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: np.ndarray | slice) -> "Interactions":
        return _rows(self, rows)

    @property
    def order(self) -> np.ndarray | None:
        """What orders the rows of a user, the earliest first: times or places (n,); None if neither is known."""
        return self.place if self.timestamp is None else self.timestamp

    def pieces(self) -> Iterator[list[np.ndarray]]:
        """Yield the codes of users and songs, [(m,), (m,)], of the first rows, then of the next, and so on."""
        for start in range(0, len(self), PIECE):
            yield [codes[start : start + PIECE] for codes in (self.user, self.item)]


@dataclass(frozen=True, eq=False)
class Stored:
    """Interactions that stay in a Parquet file. Each access to a column reads it again."""

    path: Path

    def __len__(self) -> int:
        return self._metadata.num_rows

    def __getitem__(self, rows: np.ndarray | slice) -> Interactions:
        return _rows(self, rows)

    @property
    def user(self) -> np.ndarray:
        """The codes of the users, int32 (n,)."""
        return self._read_column("user")

    @property
    def item(self) -> np.ndarray:
        """The codes of the songs, int32 (n,)."""
        return self._read_column("item")

    @property
    def timestamp(self) -> np.ndarray | None:
        """The times of the listens, datetime64 (n,) in UTC, or None."""
        return self._read_column("timestamp") if "timestamp" in self._metadata.schema.names else None

    @property
    def place(self) -> np.ndarray | None:
        """The places in the users' lists, int32 (n,), or None."""
        return self._read_column("place") if "place" in self._metadata.schema.names else None

    def pieces(self) -> Iterator[list[np.ndarray]]:
        """Yield the codes of users and songs, [(m,), (m,)], of the first rows, then of the next, and so on."""
        return self._row_groups("user", "item")

    @cached_property
    def _metadata(self) -> pq.FileMetaData:
        return pq.read_metadata(self.path)

    def _row_groups(self, *columns: str) -> Iterator[list[np.ndarray]]:
        with pq.ParquetFile(self.path) as file:
            for number in range(file.num_row_groups):  # iter_batches would read far ahead
                rows = file.read_row_group(number, columns, use_threads=False)
                yield [rows[column].to_numpy() for column in columns]

    def _read_column(self, name: str) -> np.ndarray:
        values, end = np.empty(0), 0
        for (group,) in self._row_groups(name):
            values = values if end else np.empty(len(self), group.dtype)  # filled in place: never twice in memory
            values[end : end + len(group)] = group
            end += len(group)
        return values


def distinct(codes: np.ndarray) -> np.ndarray:
    """Return the distinct codes, ascending; `np.unique` takes many times as long."""
    return np.flatnonzero(np.bincount(codes))


def read_interactions(path: Path) -> Interactions | Stored:
    """Read the rows of a Parquet file into memory, or leave them in the file if they are more than IN_MEMORY."""
    if pq.read_metadata(path).num_rows > IN_MEMORY:
        return Stored(path)
    columns = pq.read_table(path, partitioning=None)  # a folder called `user=5` is no column
    return Interactions(**{name: columns[name].to_numpy() for name in COLUMNS if name in columns.column_names})


def _rows(interactions: "Interactions | Stored", rows: np.ndarray | slice) -> Interactions:
    columns = ((name, getattr(interactions, name)) for name in COLUMNS)
    return Interactions(**{name: values[rows] for name, values in columns if values is not None})


def store_pairs(parts: Sequence[Interactions | Stored], n_users: int, n_items: int, path: Path) -> Stored:
    """Write the distinct pairs of the parts with codes below `n_users` and `n_items`, sorted by user and song."""
    import ibis  # imported here because it takes memory and time, and few callers need it

    from recsys.data.engine import start_engine

    with working_folder(path.parent) as scratch:
        with start_engine(scratch, memory=MEMORY, threads=THREADS) as engine:
            engine.make_room(sum(map(len, parts)))
            tables = [
                engine.read_parquet(engine.link(part.path))
                if isinstance(part, Stored)
                else ibis.memtable(pd.DataFrame({"user": part.user, "item": part.item}))
                for part in parts
            ]
            rows = ibis.union(*(table.select("user", "item") for table in tables))
            pairs = rows.filter((rows.user < n_users) & (rows.item < n_items)).distinct().order_by("user", "item")
            engine.connection.to_parquet(pairs, engine.scratch / "pairs.parquet")
        os.replace(scratch / "pairs.parquet", path)
    return Stored(path)
