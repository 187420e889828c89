"""The columns of a table that no parameter uses, and those that would use them. For `make inspect` alone.

Nothing is read by this: a parameter is named only where every value that can be seen is a time of day with its date, or
a number. What a number means is left to the user.
"""

import re
import shlex
from collections.abc import Collection, Mapping

from recsys.data.readers.dialect import same_name
from recsys.data.readers.glances import Glance
from recsys.data.readers.time_formats import formats_of, has_clock
from recsys.data.readers.times import ISO

LISTENED = ("SECONDS_COLUMN", "MILLISECONDS_COLUMN", "LISTENED_COLUMN", "POSITIVE_FROM")


def unused_columns(table: Glance, used: Collection[str], given: Collection[str]) -> Mapping[str, str]:
    """Return the columns that are not among `used`, each with what would use it, "" if the values do not show it.

    `given` are the names of the parameters that are set.
    """
    known = {same_name(name) for name in used}
    left = [number for number, name in enumerate(table.columns) if name and same_name(name) not in known]
    seen = {table.columns[number]: _values(table, number) for number in left}
    return {name: _use(name, values, given) for name, values in seen.items()}


def _values(table: Glance, number: int) -> list[str]:
    return [row[number].strip() for row in table.rows if len(row) == len(table.columns) and row[number].strip()]


def _use(name: str, values: list[str], given: Collection[str]) -> str:
    column = shlex.quote(name)
    if not values:
        return ""
    if "TIME_COLUMN" not in given and (formats := _time_formats(values)):
        format_ = f" TIME_FORMAT={shlex.quote(formats[0])}" if len(formats) == 1 and formats[0] else ""
        return f"written times; if they say when a row was listened to, set TIME_COLUMN={column}{format_}"
    if not {*LISTENED} & {*given} and all(re.fullmatch(r"\d+([.,]\d+)?", each) for each in values):
        set_to = " or ".join(f"{each}={column}" for each in LISTENED[:2])
        return f"numbers; if they say how long a listen was, set {set_to}, so that skips do not count"
    return ""


def _time_formats(values: list[str]) -> list[str]:
    """Return the values of TIME_FORMAT that read the values, "" for none; nothing if they are no written times."""
    if all(re.search(ISO, each) and ":" in each for each in values):
        return [""]
    return [each for each in formats_of(values) if has_clock(each)]
