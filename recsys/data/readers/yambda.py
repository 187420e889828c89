"""`yambda`: Yandex's Yambda, flat Parquet files with a row for each listen, whose times count from the log's start."""

from pathlib import Path

import ibis
from ibis.expr.types import Column

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import WHOLE_NUMBER, Fields, Kind, at_least, make_timestamp, whole_number
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.files import File, find_files
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import has_columns
from recsys.data.readers.tables import open_tables

LAST = 10**8  # seconds: no log of this data set is longer than three years
FILES = ("listens.parquet", "multi_event.parquet")  # the second holds the first, and likes and dislikes


def _is_outside(column: Column) -> Column:
    seconds = whole_number(column)
    return ((seconds < 0) | (seconds >= LAST)).fill_null(False)


def _since_start(column: Column) -> Column:
    """Return the moments if the log had started with the year 1970."""
    return make_timestamp(_is_outside(column).ifelse(ibis.null(), whole_number(column)) * 1_000_000)


FIELDS: Fields = {
    "user_id": ("uid", WHOLE_NUMBER),
    "item_id": ("item_id", WHOLE_NUMBER),
    "timestamp": ("timestamp", Kind(_since_start, "seconds from the start of the log, below 10^8", _is_outside)),
    "listened": ("played_ratio_pct", at_least(50, "the percentage of the track that was played")),
}
NAMES = tuple(column for column, _ in FIELDS.values())

is_yambda = has_columns(*NAMES)


def read_yambda(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open `listens.parquet` or, if there is none, `multi_event.parquet`. Half of the track or more counts as listened.

    The order of the listens and the time between them are real; the dates, which begin with 1970, are not.
    """
    engine.decide(
        "The times count from the start of the log, which is shown as 1970-01-01: the order of the listens and the "
        "time between them are known, the dates are not."
    )
    (opened,) = open_tables(engine, [_find(engine, path)], NAMES, ("event_type",))
    left_out = {}
    if "event_type" in opened.table.columns:
        left_out["likes and dislikes"] = opened.table.event_type.cast("string") != "listen"
    return Dataset((Source(opened, FIELDS, left_out=left_out),))


def _find(engine: Engine, path: Path) -> File:
    files = find_files(engine, path, FILES)
    first = [file for file in files if file.inside.name.lower() == FILES[0]] or files
    if len(first) > 1:
        names = ", ".join(file.name for file in first)
        raise DataError(f"DATA_PATH: expected one file {first[0].inside.name} in {path.name}, got {names}; name one")
    return first[0]
