"""What a reader returns: listens in our columns, a table that streams from the files, and what is known of songs and users."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ibis
from ibis.expr.types import Column, Table

YEAR_2100 = 4_102_444_800  # in unix seconds
class DataError(ValueError):
    """Input that cannot be used; the message names the place, what was expected and what arrived."""


@ibis.udf.scalar.builtin
def make_timestamp(microseconds: int) -> ibis.dtype("timestamp"):  # type: ignore[valid-type]
    """The moment so many microseconds after 1970 began, in the engine."""


@ibis.udf.scalar.builtin
def epoch_us(moment: ibis.dtype("timestamp")) -> int:  # type: ignore
    """Microseconds since 1970 began, in the engine."""


def _when(pattern: str, kind: str, column: Column) -> Column:
    """Cast text of the pattern, and make null of other text; DuckDB alone takes 1.0 and 1e3 for whole numbers."""
    if column.type().is_integer():
        return column.try_cast(kind)
    text = column.cast("string")
    return text.re_search(pattern).ifelse(text.try_cast(kind), ibis.null())


whole = partial(_when, r"^[+-]?\d+$", "int64")
_number = partial(_when, r"^[+-]?\d+(\.\d*)?$", "float64")
_written = partial(_when, r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?$", "timestamp")
def _id(column: Column) -> Column:
    return column.nullif("") if column.type().is_string() else whole(column)


def _moment(column: Column) -> Column:
    if column.type().is_temporal():
        return make_timestamp(epoch_us(column))
    seconds = _number(column)
    known = (seconds >= 0) & (seconds < YEAR_2100)
    unix = make_timestamp(known.ifelse((seconds * 1_000_000).cast("int64"), ibis.null()))
    return unix if column.type().is_numeric() else seconds.isnull().ifelse(_written(column), unix)


def _flag(column: Column) -> Column:
    text = column.cast("string").lower()
    return text.isin(["1", "true", "0", "false"]).ifelse(text.isin(["1", "true"]), ibis.null())


KINDS: dict[str, tuple[Callable[[Column], Column], str]] = {
    "id": (_id, "an id, text or a whole number"),
    "whole": (whole, "a whole number of at most 64 bits"),
    "moment": (_moment, "a time between 1970 and 2100, in unix seconds or as YYYY-MM-DD HH:MM:SS in UTC"),
    "flag": (_flag, "0 or 1"),
    "over 30": (lambda column: _number(column) > 30, "a number of seconds"),
    "from 30": (lambda column: _number(column) >= 30, "a number of seconds"),
    "from 4": (lambda column: _number(column) >= 4, "a rating"),
    "over 0": (lambda column: _number(column) > 0, "a number of plays"),
}


Fields = dict[str, tuple[str, str]]  # our column → the file's column, and its kind: a key of KINDS
@dataclass(frozen=True, eq=False)
class Source:
    """One file of listens: its rows as they are, and what they mean; `part` is 0, 1, 2 for train, validation, test."""

    path: Path
    table: Table
    fields: Fields
    part: int | None = None

    def listens(self) -> Table:
        """Return our columns; a value that cannot be read is null, and `blame` finds it."""
        part = {} if self.part is None else {"part": ibis.literal(self.part, "int8")}
        ours = {name: KINDS[kind][0](self.table[column]) for name, (column, kind) in self.fields.items()}
        return self.table.select(**{"listened": ibis.literal(True), **part, **ours})

    def blame(self) -> None:
        """Raise DataError for the first value, in the order of the file, that cannot be read, if there is one."""
        unit, first = ("row", 1) if self.path.suffix == ".parquet" else ("line", 2)
        line = self.table["line"] if "line" in self.table.columns else ibis.row_number() + first
        bad = []
        for column, kind in self.fields.values():
            values = self.table.select(line=line, value=self.table[column])
            values = values.filter(KINDS[kind][0](values["value"]).isnull()).order_by("line").limit(1)
            bad += [(row["line"], column, kind, row["value"]) for row in values.to_pyarrow().to_pylist()]
        if bad:
            line, column, kind, value = min(bad, key=lambda each: each[:2])
            arrived = "nothing" if value in (None, "") else repr(value)
            hint = "; is it in milliseconds?" if kind == "moment" and re.fullmatch(r"\d{12,}", str(value)) else ""
            place = f"{self.path.name}, {unit} {line}, column {column!r}"
            raise DataError(f"{place}: expected {KINDS[kind][1]}, got {arrived}{hint}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a reader returns: files of listens, and what is known of songs (by `item_id`) and users (by `user_id`)."""

    name: str
    sources: tuple[Source, ...]
    items: Table | None = None
    users: Table | None = None
    more_files: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read: what the key of the prepared folder is made from."""
        return (*(source.path for source in self.sources), *self.more_files)

    @property
    def interactions(self) -> Table:
        """Listens: `user_id, item_id, listened`, and `timestamp` (UTC) and `part` (0, 1, 2) where they are known."""
        first, *others = (source.listens() for source in self.sources)
        return first.union(*others) if others else first
