"""Times in every form that files have, by one rule: from 1970 to a day from now, all of a column in one form.

A number has one form only: the ranges of unix seconds, milliseconds, microseconds and nanoseconds (from March 1973), of
dates such as 20200913 and of a spreadsheet's days do not overlap. Numbers outside all of them, such as 0, are no times.
"""

import datetime
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import ibis
from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import (
    Kind,
    epoch_us,
    has_decimal_commas,
    make_timestamp,
    number,
    whole_number,
    with_points,
)
from recsys.data.readers.time_formats import assignments, formats_of
from recsys.data.words import listing

DAY = 86_400_000_000  # in microseconds
SPREADSHEET_1970 = 25_569  # a spreadsheet counts days from the end of 1899
ISO = r"^(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)?\s*(Z|z|UTC|[+-]\d\d(:?\d\d)?)?$"
EXPECTED = "a time between 1970 and now: unix time, or YYYY-MM-DD HH:MM:SS with or without an offset from UTC"


class Form(NamedTuple):
    """A form of times: what it is called, which values have it, and the microseconds since 1970 of such a value."""

    name: str
    fits: Callable[[Column], Column]
    microseconds: Callable[[Column], Column]


@ibis.udf.scalar.builtin
def try_strptime(text: str, form: str) -> ibis.dtype("timestamp"):  # type: ignore[valid-type]
    """DuckDB's function: the time that a text in this format means, null if it has another."""


def _between(low: float, high: float) -> Callable[[Column], Column]:
    return lambda column: (number(column) >= low) & (number(column) < high)


def _times(factor: float) -> Callable[[Column], Column]:
    """Return a function that multiplies numbers, exactly if they are whole."""

    def multiply(column: Column) -> Column:
        whole, decimal = whole_number(column), number(column)
        if factor < 1:  # without the remainder, the division of large numbers is exact once the cast rounds it
            n = round(1 / factor)
            exact = ((whole - whole % n) / n).cast("int64")
        else:
            exact = whole * int(factor)
        return whole.notnull().ifelse(exact, (decimal * factor).cast("int64"))

    return multiply


def _digits(count: int, pattern: str) -> tuple[Callable[[Column], Column], Callable[[Column], Column]]:
    def parse(column: Column) -> Column:
        text = column.cast("string").strip()
        return text.re_search(rf"^\d{{{count}}}(\.0*)?$").ifelse(try_strptime(text[:count], pattern), ibis.null())

    return lambda column: parse(column).notnull(), lambda column: epoch_us(parse(column))


def _iso(column: Column) -> Column:
    """Return the microseconds of ISO 8601; without an offset, times are UTC."""
    text = column.strip()
    local = (text.re_extract(ISO, 1) + text.re_extract(ISO, 2).replace(",", ".")).try_cast("timestamp")
    offset = text.re_extract(ISO, 5)
    hours, minutes = offset.re_extract(r"^[+-](\d\d)", 1), offset.re_extract(r"(\d\d)$", 1)
    ahead = hours.try_cast("int64").fill_null(0) * 60
    ahead += (offset.length() > 3).ifelse(minutes.try_cast("int64").fill_null(0), 0)
    ahead = offset.startswith("-").ifelse(-ahead, ahead)
    moment = epoch_us(local) - ahead * 60_000_000
    return text.re_search(ISO).ifelse(moment, ibis.null())


FORMS = (  # the first that fits a value is its form
    Form("dates and times in one number, such as 20200913143000", *_digits(14, "%Y%m%d%H%M%S")),
    Form("dates as whole numbers, such as 20200913", *_digits(8, "%Y%m%d")),
    Form("unix seconds", _between(1e8, 1e11), _times(1e6)),
    Form("unix milliseconds", _between(1e11, 1e14), _times(1e3)),
    Form("unix microseconds", _between(1e14, 1e17), _times(1)),
    Form("unix nanoseconds", _between(1e17, 1e20), _times(1e-3)),
    Form(
        "a spreadsheet's days, such as 44087.51", _between(SPREADSHEET_1970, 80_000),
        lambda column: ((number(column) - SPREADSHEET_1970) * DAY).cast("int64"),
    ),
    Form("written dates and times", lambda column: _iso(column).notnull(), _iso),
)  # fmt: skip
RARE = (0, 1, 6)  # forms that a column of other numbers could have by chance


@dataclass(frozen=True)
class Time(Kind):
    """A column of times whose form is found by a look at the whole column. `format` is that of a user, for strptime."""

    format: str = ""

    def settle(self, engine: Engine, column: Column, place: str) -> Kind:
        """Return the kind for the column's form. Raises DataError if it has several, or is no column of times."""
        type_ = column.type()
        if type_.is_time() or not (type_.is_temporal() or type_.is_numeric() or type_.is_string()):
            what = "times of day without a date" if type_.is_time() else f"values of the type {type_}"
            raise DataError(f"{place}: expected times, got {what}")
        if type_.is_temporal():
            return in_range(Form("", Column.notnull, lambda values: epoch_us(values.cast("timestamp"))))
        if self.format:
            self._check_format(column, place)
            engine.decide(f"Times are read as TIME_FORMAT says, {self.format!r}.")
            form = Form("", Column.notnull, lambda values: epoch_us(_by_format(values, self.format)))
            return in_range(form, f"a time between 1970 and now in the form {self.format!r}, as TIME_FORMAT says")
        if has_decimal_commas(column):
            return with_points(in_range(self._find_form(engine, column.replace(",", "."), place)))
        return in_range(self._find_form(engine, column, place))

    def _check_format(self, column: Column, place: str) -> None:
        """Raise DataError, with a format that reads the values, if the user's reads none of them."""
        values = column.name("value").as_table()
        counts = values.agg(n=values.value.count(), n_read=_by_format(values.value, self.format).count())
        try:
            found = counts.to_pyarrow().to_pylist()[0]
        except duckdb.InvalidInputException as error:
            expected = "a format as for strptime, such as '%d.%m.%Y %H:%M:%S'"
            raise DataError(f"TIME_FORMAT: expected {expected}, got {self.format!r}") from error
        if found["n"] and not found["n_read"]:
            expected = f"times in the form {self.format!r}, as TIME_FORMAT says"
            raise _other_form(column, place, expected, "leave TIME_FORMAT empty, or set it to the form of the times")

    def _find_form(self, engine: Engine, column: Column, place: str) -> Form:
        forms = FORMS if column.type().is_string() else FORMS[:-1]
        values = column.name("value").as_table()
        which: Any = ibis.literal(-1)
        for position in reversed(range(len(forms))):
            which = forms[position].fits(values.value).fill_null(False).ifelse(position, which)
        table = values.select(form=which, is_number=number(values.value).notnull())
        counts = table.group_by("form", "is_number").agg(n=table.count()).to_pyarrow().to_pylist()
        if not counts:  # a header without rows
            return forms[0]
        found: Counter[int] = Counter()
        for row in counts:
            if row["form"] >= 0:
                found[row["form"]] += row["n"]
        strange = sum(row["n"] for row in counts if row["form"] < 0 and row["is_number"])  # numbers that are no times
        if len(found) > 1:
            several = listing(f"{n:,} of {forms[each].name}" for each, n in sorted(found.items()))
            raise DataError(f"{place}: expected times in one form, got {several}; convert them, or leave one sort out")
        if not found or any(each in RARE and strange > n // 10 for each, n in found.items()):
            raise _other_form(column, place, EXPECTED, "set TIME_FORMAT to their form, as for strptime")
        form = forms[next(iter(found))]
        engine.decide(f"Times are read as {form.name}, in UTC.")
        return form


def _by_format(values: Column, format_: str) -> Column:
    return try_strptime(values.cast("string").strip(), format_)


def _other_form(column: Column, place: str, expected: str, otherwise: str) -> DataError:
    """Return the error for a column in another form. It names the formats that read its values, if some are known."""
    values = column.name("value").as_table()
    first = values.filter(values.value.notnull()).limit(1).to_pyarrow()["value"].to_pylist()
    formats = _formats_of_column(values, formats_of([str(each) for each in first]))
    remedy = f"{assignments(formats)} reads such times" if formats else otherwise
    only = {"TIME_FORMAT": formats[0]} if len(formats) == 1 else {}
    return DataError(f"{place}: expected {expected}, got {repr(first[0]) if first else 'nothing'}; {remedy}", only)


def _formats_of_column(values: Table, formats: list[str]) -> list[str]:
    """Return those of the formats that read most values, one of those that read all of them alike."""
    if not formats:
        return []
    read = {each: _by_format(values.value, each) for each in formats}
    counts = values.agg(**{each: moments.count() for each, moments in read.items()}).to_pyarrow().to_pylist()[0]
    most = [each for each in formats if counts[each] == max(counts.values()) > 0]
    if len(most) < 2:
        return most
    differ = {each: (read[each] != read[most[0]]).sum() for each in most[1:]}
    differences = values.agg(**differ).to_pyarrow().to_pylist()[0]
    return [most[0], *(each for each in most[1:] if differences[each])]


def in_range(form: Form, expected: str = EXPECTED) -> Kind:
    """Return a kind of times that must lie between 1970 and a day from now. Numbers that are no times lie outside."""
    end = int((datetime.datetime.now(datetime.UTC).timestamp() + 86_400) * 1e6)

    def moment(column: Column) -> Column:
        return form.fits(column).fill_null(False).ifelse(form.microseconds(column), ibis.null())

    def is_outside(column: Column) -> Column:
        outside = (moment(column) <= 0) | (moment(column) >= end)
        if not column.type().is_temporal():
            outside |= moment(column).isnull() & number(column).notnull()
        return outside.fill_null(False)

    def parse(column: Column) -> Column:
        return make_timestamp(is_outside(column).ifelse(ibis.null(), moment(column)))

    return Kind(parse, expected, is_outside)


TIME = Time(parse=lambda column: column, expected=EXPECTED)


def time_in(format_: str) -> Time:
    """Return the kind of times in the user's TIME_FORMAT or, if that is empty, in the form that is found."""
    return Time(TIME.parse, EXPECTED, format=format_)
