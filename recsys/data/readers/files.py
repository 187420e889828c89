"""Files of listens: how a reader opens one (Source), and what it returns (Dataset)."""

import csv
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import BaseBackend
from ibis.expr.types import Column, Table

from recsys.data.readers.columns import TIME, Fields
from recsys.runs import write_atomically


class DataError(ValueError):
    """Input that cannot be used. The message says where, what was expected, what arrived and, if known, what to do."""


@dataclass(frozen=True, eq=False)
class Source:
    """One file of listens: its rows as they are, and what they mean.

    `fields` names the file's columns for `user_id` and `item_id`, and for `timestamp` and `listened` if the file has
    them. Without `listened`, every row counts as listened. `part` is 0, 1 or 2 if the whole file belongs to train,
    validation or test. `line_column` is the table's column with line numbers, if it has one of its own.
    """

    path: Path
    table: Table
    fields: Fields
    part: int | None = None
    line_column: str = ""

    def listens(self) -> Table:
        """Return the rows with our columns. A value that cannot be read is null; `check_values` reports it."""
        part = {} if self.part is None else {"part": ibis.literal(self.part, "int8")}
        columns = {ours: kind.parse(self.table[column]) for ours, (column, kind) in self.fields.items()}
        return self.table.select(**{"listened": ibis.literal(True), **part, **columns})

    def check_values(self) -> None:
        """Raise DataError for the first value of the file that cannot be read, if there is one."""
        unit, first = ("row", 1) if self.path.suffix == ".parquet" else ("line", 2)  # line 1 is the header
        number = self.table[self.line_column] if self.line_column else ibis.row_number() + first
        unreadable = []
        for column, kind in self.fields.values():
            values = self.table.select(number=number, value=self.table[column])
            values = values.filter(kind.parse(values["value"]).isnull()).order_by("number").limit(1)
            unreadable += [(row["number"], column, kind, row["value"]) for row in values.to_pyarrow().to_pylist()]
        if unreadable:
            where, column, kind, value = min(unreadable, key=lambda each: each[:2])
            arrived = "nothing" if value in (None, "") else repr(value)
            if kind is TIME and re.fullmatch(r"\d{12,}", str(value)):
                arrived += "; if these are milliseconds, divide them by 1000"
            place = f"{self.path.name}, {unit} {where}, column {column!r}"
            raise DataError(f"{place}: expected {kind.expected}, got {arrived}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Files of listens, and tables that describe songs (one row per `item_id`) and users (one row per `user_id`)."""

    sources: tuple[Source, ...]
    items: Table | None = None
    users: Table | None = None
    more_files: tuple[Path, ...] = ()  # read as well, for the descriptions

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read. The key of the prepared folder depends on them."""
        return (*(source.path for source in self.sources), *self.more_files)

    @property
    def listens(self) -> Table:
        """The rows of all sources: `user_id, item_id, listened`, and `timestamp` (UTC) and `part` where known."""
        first, *others = (source.listens() for source in self.sources)
        return first.union(*others) if others else first


def check_file(path: Path) -> Path:
    """Return the path. Raises DataError if it is no file, or an empty one."""
    if not path.is_file():
        raise DataError(f"DATA_PATH: expected a file at {path}, got {'a folder' if path.is_dir() else 'nothing there'}")
    if not path.stat().st_size:
        raise DataError(f"{path.name}: expected rows, got an empty file")
    return path


def open_table(
    connection: BaseBackend, path: Path, columns: Iterable[str] = (), *, separator: str = ",", quote: str = '"',
    hint: str = "",
) -> Table:  # fmt: skip
    """Open a Parquet file, or a text file with a header, whose values stay text. No rows are read yet.

    Raises DataError if the file is of another format or lacks one of `columns`; the message then ends with `hint`.
    """
    is_parquet = check_file(path).suffix == ".parquet"
    names = _names_in_parquet(path) if is_parquet else _names_in_header(path, separator, quote)
    arrived = f"got {', '.join(map(repr, names))}"
    if len({name.lower() for name in names}) < len(names):
        raise DataError(f"{path.name}: expected column names that differ by more than upper and lower case, {arrived}")
    for column in columns:
        if column not in names:
            if len(names) == 1 and not is_parquet:
                hint = f"the separator must be {separator!r}"
            message = f"{path.name}: expected a column {column!r}, {arrived}"
            raise DataError(f"{message}; {hint}" if hint else message)
    if is_parquet:
        return connection.read_parquet(path)
    return connection.read_csv(
        path, columns=dict.fromkeys(names, "VARCHAR"), header=True, delim=separator, quote=quote, escape=quote,
        auto_detect=False, strict_mode=True,
    )  # fmt: skip


def _names_in_parquet(path: Path) -> list[str]:
    try:
        return pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name}: expected a complete Parquet file, got one that cannot be read") from error


def _names_in_header(path: Path, separator: str, quote: str) -> list[str]:
    """Return the names in the first line, without what DuckDB refuses: an empty name, and NUL in a name."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE)
            names = next(lines, [])
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: expected text in UTF-8, got bytes that are not; save it as UTF-8") from error
    return [name.replace("\0", "") or f"column {number}" for number, name in enumerate(names, 1)]


def open_source(connection: BaseBackend, path: Path, fields: Fields, more: Iterable[str] = (), **form: str) -> Source:
    """Open a file of listens that has the columns of `fields` and `more`. `form` is as in `open_table`."""
    columns = [*(column for column, _ in fields.values()), *more]
    return Source(path, open_table(connection, path, columns, **form), fields)


def one_row_per_id(source: Source, ours: str, **columns: Column) -> Table:
    """Return the distinct ids of our column, each with its smallest value of `columns`, whatever the order of rows."""
    column, kind = source.fields[ours]
    rows = source.table.select(kind.parse(source.table[column]).name(ours), **columns)
    return rows.group_by(ours).agg(**{name: rows[name].min() for name in columns})


def add_columns(table: Table, other: Table, key: str) -> Table:
    """Return all rows of `table` with the columns of `other` that has the same `key`, null where there is none."""
    return table.left_join(other, key).drop(f"{key}_right")


def write_once(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a generated file unless it exists. Its date is fixed: the key of a prepared folder depends on dates."""
    if not path.exists():
        with write_atomically(path) as temporary:
            write(temporary)
            os.utime(temporary, (0, 0))
    return path
