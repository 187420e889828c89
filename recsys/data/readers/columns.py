"""How a column of a file is read: a Kind turns it into our values, and into null where a value cannot be read."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import ibis
from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError

# Spaces, control and format characters, fillers, and marks without a letter: an id of these alone shows nothing.
INVISIBLE = r"^[\s\p{Z}\p{Cc}\p{Cf}\x{034F}\x{115F}\x{1160}\x{2800}\x{3164}\x{FE00}-\x{FE0F}\x{FFA0}]*$"


@dataclass(frozen=True)
class Kind:
    """A kind of column. `parse` reads it, with null for what it cannot read; `expected` describes it in errors.

    `is_outside` marks values that can be read but are impossible, such as times in the future.
    """

    parse: Callable[[Column], Column]
    expected: str
    is_outside: Callable[[Column], Column] | None = None

    def settle(self, engine: Engine, column: Column, place: str) -> "Kind":
        """Return the kind after a look at the whole column. Kinds that decide by the column have their own."""
        return self


Fields = dict[str, tuple[str, Kind]]  # our column → the file's column and its kind


@ibis.udf.scalar.builtin
def make_timestamp(microseconds: int) -> ibis.dtype("timestamp"):  # type: ignore[valid-type]
    """DuckDB's function: the moment that many microseconds after the start of 1970."""


@ibis.udf.scalar.builtin
def epoch_us(moment: ibis.dtype("timestamp")) -> int:  # type: ignore
    """DuckDB's function: the microseconds from the start of 1970 to the moment."""


def cast_if(column: Column, type_: str, pattern: str) -> Column:
    """Cast the values whose text matches `pattern`. Without it, DuckDB would take 1.0 and 1e3 for whole numbers."""
    if column.type().is_integer():
        return column.try_cast(type_)
    text = column.cast("string").strip()
    return text.re_search(pattern).ifelse(text.try_cast(type_), ibis.null())


def whole_number(column: Column) -> Column:
    """Return whole numbers of 64 bits, null for anything else."""
    return cast_if(column, "int64", r"^[+-]?\d+$")


def number(column: Column) -> Column:
    """Return decimal numbers, null for anything else."""
    return cast_if(column, "float64", r"^[+-]?(\d+\.?\d*|\.\d+)$")


def is_empty(column: Column) -> Column:
    """Return whether a value is missing, or text in which nothing can be seen."""
    if not column.type().is_string():
        return column.isnull()
    begins_with_ascii = (column >= "!") & (column < "\x7f")  # nearly all ids do; the pattern takes long
    return column.isnull() | begins_with_ascii.ifelse(False, column.re_search(INVISIBLE))


def join_names(table: Table, *columns: str) -> Column:
    """Return one text of several columns, such as "artist – track"; null if one of them is empty.

    Different values lead to different texts: a dash within a value is written twice.
    """
    parts = [table[name].cast("string") for name in columns]
    complete = functools.reduce(lambda a, b: a & b, (~is_empty(part) for part in parts))
    joined = functools.reduce(lambda a, b: a + " – " + b, (part.replace("–", "––") for part in parts))
    return complete.ifelse(joined, ibis.null())


def _id(column: Column) -> Column:
    return is_empty(column).ifelse(ibis.null(), column) if column.type().is_string() else whole_number(column)


def _flag(column: Column) -> Column:
    if column.type().is_integer():
        return column.isin([0, 1]).ifelse(column == 1, ibis.null())
    text = column.cast("string").strip().lower()
    yes, no = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
    return text.isin([*yes, *no]).ifelse(text.isin(yes), ibis.null())


ID = Kind(_id, "an id (text or a whole number)")
WHOLE_NUMBER = Kind(whole_number, "a whole number of at most 64 bits")
FLAG = Kind(_flag, "0 or 1 (1.0, true and yes are read too)")
DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
THOUSANDS = r"^[+-]?[1-9]\d{0,2},\d{3}$"  # as 1,250 is: its comma may mark thousands, or be a decimal comma


def has_decimal_commas(column: Column) -> bool:
    """Return whether the commas of a whole column are decimal commas: no number has a point, some no thousands."""
    return _commas(column) == (True, False)


def _commas(column: Column) -> tuple[bool, bool]:
    """Return whether numbers have decimal commas for sure, and whether they have commas that could be either."""
    if not column.type().is_string():
        return False, False
    texts = column.strip().name("text").as_table()
    marked = texts.filter(texts.text.contains(",") | texts.text.contains("."))
    with_comma, could_be_thousands = marked.text.re_search(DECIMAL_COMMA), marked.text.re_search(THOUSANDS)
    counts = marked.agg(n=with_comma.sum(), unclear=could_be_thousands.sum(), points=marked.text.contains(".").sum())
    n, unclear, points = (value or 0 for value in counts.to_pyarrow().to_pylist()[0].values())
    return not points and n > unclear, not points and 0 < n == unclear


def with_points(kind: Kind) -> Kind:
    """Return the kind that reads values as this one does once each comma is a point."""
    is_outside = kind.is_outside

    def on_points(read: Callable[[Column], Column]) -> Callable[[Column], Column]:
        return lambda column: read(column.replace(",", "."))

    return Kind(on_points(kind.parse), kind.expected, on_points(is_outside) if is_outside else None)


@dataclass(frozen=True)
class Number(Kind):
    """A column of decimal numbers, with points or, if the whole column shows it, with decimal commas."""

    def settle(self, engine: Engine, column: Column, place: str) -> Kind:
        """Return the kind for the column's decimal mark. Raises DataError if its commas could also mark thousands."""
        is_sure, is_unclear = _commas(column)
        if is_sure:
            engine.decide("Numbers with a comma are read as decimal numbers: 25,5 is 25.5.")
            return with_points(self)
        if is_unclear:
            commas = column.name("value").as_table()
            commas = commas.filter(commas.value.strip().re_search(DECIMAL_COMMA)).limit(1)
            arrived = commas.to_pyarrow()["value"].to_pylist()[0]
            raise DataError(
                f"{place}: expected {self.expected} with a decimal point, got {arrived!r}, whose comma may mark "
                "thousands; in the file, write a point before decimals and nothing between thousands"
            )
        return self


def more_than(least: float, expected: str) -> Kind:
    """Return a kind of number that is read as true if it is above `least`."""
    return Number(lambda column: number(column) > least, expected)


def at_least(least: float, expected: str) -> Kind:
    """Return a kind of number that is read as true from `least` upwards."""
    return Number(lambda column: number(column) >= least, expected)
