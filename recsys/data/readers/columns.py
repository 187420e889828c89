"""How a column of a file is read: a Kind turns it into our values, and into null where a value cannot be read."""

from collections.abc import Callable
from typing import NamedTuple

import ibis
from ibis.expr.types import Column

YEAR_2100 = 4_102_444_800  # in unix seconds


class Kind(NamedTuple):
    """A kind of column. `parse` reads it, with null for what it cannot read; `expected` describes it in errors."""

    parse: Callable[[Column], Column]
    expected: str


Fields = dict[str, tuple[str, Kind]]  # our column → the file's column and its kind


@ibis.udf.scalar.builtin
def make_timestamp(microseconds: int) -> ibis.dtype("timestamp"):  # type: ignore[valid-type]
    """DuckDB's function: the moment that many microseconds after the start of 1970."""


@ibis.udf.scalar.builtin
def epoch_us(moment: ibis.dtype("timestamp")) -> int:  # type: ignore
    """DuckDB's function: the microseconds from the start of 1970 to the moment."""


def _cast(column: Column, type_: str, pattern: str) -> Column:
    """Cast the values whose text matches `pattern`. Without it, DuckDB would take 1.0 and 1e3 for whole numbers."""
    if column.type().is_integer():
        return column.try_cast(type_)
    text = column.cast("string")
    return text.re_search(pattern).ifelse(text.try_cast(type_), ibis.null())


def _whole_number(column: Column) -> Column:
    return _cast(column, "int64", r"^[+-]?\d+$")


def _number(column: Column) -> Column:
    return _cast(column, "float64", r"^[+-]?\d+(\.\d*)?$")


def _id(column: Column) -> Column:
    return column.nullif("") if column.type().is_string() else _whole_number(column)


def _time(column: Column) -> Column:
    if column.type().is_temporal():
        return make_timestamp(epoch_us(column))
    seconds = _number(column)
    in_range = (seconds >= 0) & (seconds < YEAR_2100)
    from_seconds = make_timestamp(in_range.ifelse((seconds * 1_000_000).cast("int64"), ibis.null()))
    if column.type().is_numeric():
        return from_seconds
    written = _cast(column, "timestamp", r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?$")
    return seconds.isnull().ifelse(written, from_seconds)


def _flag(column: Column) -> Column:
    text = column.cast("string").lower()
    return text.isin(["1", "true", "0", "false"]).ifelse(text.isin(["1", "true"]), ibis.null())


ID = Kind(_id, "an id (text or a whole number)")
WHOLE_NUMBER = Kind(_whole_number, "a whole number of at most 64 bits")
TIME = Kind(_time, "a time between 1970 and 2100, in unix seconds or as YYYY-MM-DD HH:MM:SS in UTC")
FLAG = Kind(_flag, "0 or 1")


def more_than(least: float, expected: str) -> Kind:
    """Return a kind of number that is read as true if it is above `least`."""
    return Kind(lambda column: _number(column) > least, expected)


def at_least(least: float, expected: str) -> Kind:
    """Return a kind of number that is read as true from `least` upwards."""
    return Kind(lambda column: _number(column) >= least, expected)
