"""Rows of a part of a split: in memory, or, where they are too many, in a Parquet file that is read piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from recsys.runs import write_atomically

IN_MEMORY = 2**21  # rows of a part: 16 MiB of codes; more stay in their file
PIECE = 2**19  # rows
ENGINE = {"memory_limit": "500MB", "threads": 2}  # to sort and compare; what does not fit is spilled to disk


@dataclass(frozen=True, eq=False)
class Interactions:
    """Positives in order: `user` and `item` codes, int32 (n,), and `timestamp`, datetime64 (n,) in UTC, or None."""

    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: np.ndarray | slice) -> "Interactions":
        return Interactions(self.user[rows], self.item[rows], None if self.timestamp is None else self.timestamp[rows])

    def pieces(self) -> Iterator[list[np.ndarray]]:
        """Yield the users and songs of some rows after the other."""
        for start in range(0, len(self), PIECE):
            yield [codes[start : start + PIECE] for codes in (self.user, self.item)]


@dataclass(frozen=True, eq=False)
class Stored:
    """Interactions that stay in a Parquet file: a column is read anew each time that it is asked for."""

    path: Path

    @cached_property
    def _schema(self) -> pq.FileMetaData:
        return pq.read_metadata(self.path)

    def __len__(self) -> int:
        return self._schema.num_rows

    def _groups(self, *names: str) -> Iterator[list[np.ndarray]]:
        with pq.ParquetFile(self.path) as file:
            for number in range(file.num_row_groups):  # iter_batches would read far ahead
                rows = file.read_row_group(number, names, use_threads=False)
                yield [rows[name].to_numpy() for name in names]

    def _column(self, name: str) -> np.ndarray:
        column, end = np.empty(0), 0
        for (some,) in self._groups(name):
            column = column if end else np.empty(len(self), some.dtype)  # as a whole at once: never twice in memory
            column[end : end + len(some)] = some
            end += len(some)
        return column

    @property
    def user(self) -> np.ndarray:
        """The users' codes."""
        return self._column("user")

    @property
    def item(self) -> np.ndarray:
        """The songs' codes."""
        return self._column("item")

    @property
    def timestamp(self) -> np.ndarray | None:
        """When the songs were listened to."""
        return self._column("timestamp") if "timestamp" in self._schema.schema.names else None

    def __getitem__(self, rows: np.ndarray | slice) -> Interactions:
        timestamp = self.timestamp
        return Interactions(self.user[rows], self.item[rows], None if timestamp is None else timestamp[rows])

    def pieces(self) -> Iterator[list[np.ndarray]]:
        """Yield the users and songs of some rows after the other."""
        return self._groups("user", "item")


def read(path: Path) -> Interactions | Stored:
    """Read the rows of a Parquet file; or leave them there, if they are many."""
    if pq.read_metadata(path).num_rows > IN_MEMORY:
        return Stored(path)
    columns = pq.read_table(path)
    timestamp = columns["timestamp"].to_numpy() if "timestamp" in columns.column_names else None
    return Interactions(columns["user"].to_numpy(), columns["item"].to_numpy(), timestamp)


def store_pairs(parts: Sequence[Interactions | Stored], n_users: int, n_items: int, path: Path) -> Stored:
    """Write the distinct pairs of some parts, of codes below `n_users` and `n_items`, by user and song."""
    import ibis  # here, as it takes memory and time that all others can do without

    connection = ibis.duckdb.connect(temp_directory=str(path.parent / ".spill"), **ENGINE)
    tables = [
        connection.read_parquet(str(part.path))
        if isinstance(part, Stored)
        else ibis.memtable(pd.DataFrame({"user": part.user, "item": part.item}))
        for part in parts
    ]
    rows = ibis.union(*(table.select("user", "item") for table in tables))
    pairs = rows.filter((rows.user < n_users) & (rows.item < n_items)).distinct().order_by("user", "item")
    with write_atomically(path) as temporary:
        connection.to_parquet(pairs, temporary)
    connection.disconnect()
    return Stored(path)
