"""How readers open files: a table of text or Parquet, its header checked."""

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from ibis import BaseBackend
from ibis.expr.types import Column, Table

from recsys.data.readers.base import KINDS, DataError, Fields, Source
from recsys.runs import write_atomically


def existing_file(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'nothing there'}")
    if not path.stat().st_size:
        raise DataError(f"{path.name}: expected rows, got an empty file")
    return path


def open_table(connection: BaseBackend, path: Path, wanted: Iterable[str], delim: str = ",", quote: str = '"') -> Table:
    """Open a Parquet file, or text (all values as text) whose header we check ourselves because DuckDB does not."""
    parquet = existing_file(path).suffix == ".parquet"
    try:
        names = pq.read_schema(path).names if parquet else _header(path, delim, quote)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "a whole Parquet file" if parquet else "text in UTF-8"
        raise DataError(f"{path.name}: expected {kind}, got one that cannot be read as such") from error
    arrived = f"got {', '.join(map(repr, names))}"
    if len({name.lower() for name in names}) < len(names):
        raise DataError(f"{path.name}: expected columns of different names, whatever their case, {arrived}")
    for column in wanted:
        if column not in names:
            hint = f"; columns must be parted by {delim!r}" if len(names) == 1 and not parquet else ""
            raise DataError(f"{path.name}: expected a column {column!r}, {arrived}{hint}")
    if parquet:
        return connection.read_parquet(path)
    form = {"header": True, "delim": delim, "quote": quote, "escape": quote, "auto_detect": False, "strict_mode": True}
    return connection.read_csv(path, columns=dict.fromkeys(names, "VARCHAR"), **form)


def _header(path: Path, delim: str, quote: str) -> list[str]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file, delimiter=delim, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE), [])
    return [name.replace("\0", "") or f"column {number}" for number, name in enumerate(names, 1)]


def describe(source: Source, ours: str, **fields: Column) -> Table:
    """Return one row an id with the smallest value of each field: no choice is left to the engine."""
    column, kind = source.fields[ours]
    known = source.table.select(KINDS[kind][0](source.table[column]).name(ours), **fields)
    return known.group_by(ours).agg(**{name: known[name].min() for name in fields})


def beside(left: Table, right: Table, key: str) -> Table:
    """Return the rows of `left` with the columns of `right` that have the same `key`, null where there are none."""
    return left.left_join(right, key).drop(f"{key}_right")


def make_once(path: Path, write: Callable[[Path], None]) -> Path:
    """Make a file that is the same whenever it is made, once; its age must not enter keys."""
    if not path.exists():
        with write_atomically(path) as temporary:
            write(temporary)
            os.utime(temporary, (0, 0))
    return path


def open_source(connection: BaseBackend, path: Path, fields: Fields, more: Iterable[str] = (), **form: str) -> Source:
    return Source(path, open_table(connection, path, [*(column for column, _ in fields.values()), *more], **form), fields)
