"""The rows of a data set's files → listens: values are read, rows that are no listens are marked, ids become numbers.

An id of text is replaced by a hash of 64 bits while the files are read, so that long ids cost no memory later.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import ibis
from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import Kind, epoch_us, is_empty
from recsys.data.readers.dataset import Source
from recsys.data.readers.tables import FILE

EMPTY, OUTSIDE = "without a user or a song", "with a time before 1970 or after today"
OURS = ("user_id", "item_id", "timestamp", "place", "listened")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a source: our columns as they are in the files, and the kind that reads each of them."""

    source: Source
    table: Table
    kinds: Mapping[str, Kind]

    def read(self, ours: str) -> Column:
        """Return a column of ours, with null for a value that cannot be read."""
        return self.kinds[ours].parse(self.table[ours])

    @functools.cached_property
    def why(self) -> Column:
        """The reason why a row is no listen; null for a listen."""
        why = ibis.null("string")
        if "timestamp" in self.kinds and (is_outside := self.kinds["timestamp"].is_outside):
            why = is_outside(self.table.timestamp).ifelse(OUTSIDE, why)
        if {"user_id", "item_id"} <= set(self.kinds):
            why = (is_empty(self.table.user_id) | is_empty(self.table.item_id)).ifelse(EMPTY, why)
        for reason in reversed(list(self.source.left_out)):
            why = self.table[f"left out {reason}"].fill_null(False).ifelse(reason, why)
        return why

    def listens(self) -> Table:
        """Return the rows with our columns and `why`."""
        columns = {ours: self.read(ours) for ours in self.kinds}
        columns.setdefault("listened", ibis.literal(True))
        if self.source.part is not None:
            columns["part"] = ibis.literal(self.source.part, "int8")
        return self.table.select(**columns, why=self.why)

    def described(self, what: str) -> Table | None:
        """Return the rows' ids, `user_id` or `item_id`, with the columns that describe them; None if there are none."""
        names = self.source.users if what == "user" else self.source.items
        columns = {name: self.table[f"{what} {name}"] for name in names}
        return self.table.select(**{f"{what}_id": self.read(f"{what}_id")}, **columns) if columns else None


def settle(engine: Engine, source: Source) -> Rows:
    """Read the columns of a source that are needed, once, and find out what their values are."""
    table, source_name = source.table, source.name
    columns = {ours: table[column] for ours, (column, _) in source.fields.items()}
    columns |= {f"left out {reason}": column for reason, column in source.left_out.items()}
    columns |= {f"item {name}": column for name, column in source.items.items()}
    columns |= {f"user {name}": column for name, column in source.users.items()}
    columns |= {f"kept {name}": column for name, column in source.kept.items()}
    columns |= {name: table[name] for name in (FILE, source.line) if name in table.columns}
    rows = table.select(**columns)
    if not source.opened.is_parquet:
        rows = engine.store(rows)
    kinds = {
        ours: kind.settle(engine, rows[ours], f"{source_name}, column {column!r}")
        for ours, (column, kind) in source.fields.items()
    }
    if source.look:
        source.look(engine, rows.select(**{name: rows[f"kept {name}"] for name in source.kept}))
    return Rows(source, rows, kinds)


def join_listens(sources: list[Rows]) -> Table:
    """Return the listens of all sources as one table. Ids are text if they are text in one of the sources."""
    tables = [rows.listens() for rows in sources]
    for column in ("user_id", "item_id"):
        if len({str(table[column].type().copy(nullable=True)) for table in tables}) > 1:
            tables = [table.mutate(**{column: table[column].cast("string")}) for table in tables]
    first, *others = tables
    return first.union(*(table.select(*first.columns) for table in others)) if others else first


def key_of(ids: Column) -> Column:
    """Return the number that stands for each id: itself, or a hash of its text."""
    return hash_number(ids) if ids.type().is_string() else ids


def order_hash(listens: Table, seed: int) -> Column:
    """Return 64 bits that depend on the seed and on a listen's user, song and time only: the order of equal times."""
    values = [listens.user_id, listens.item_id]
    values += [epoch_us(listens.timestamp)] if "timestamp" in listens.columns else []
    return hash_number(join_values(seed, *values))


def join_values(seed: int, *values: Column) -> Column:
    """Return the seed and the values as one text."""
    text = ibis.literal(str(seed))
    for value in values:
        text = text + ":" + value.cast("string")
    return text


def hash_number(text: Column) -> Column:
    """Return the first 64 bits of a text's MD5. (DuckDB's own hash is equal for many texts of the same length.)"""
    return ("0x" + text.hexdigest("md5")[:16]).cast("uint64")


def name_keys(engine: Engine, listens: Table, what: str) -> Table:
    """Return the ids of text of the users or songs, and the number that stands for each: columns `key` and `id`.

    Raises DataError if two ids have the same number, which happens once in some million data sets.
    """
    column = listens[f"{what}_id"]
    found = engine.store(listens.filter(column.notnull()).select(key=key_of(column), id=column).distinct())
    counts = found.agg(n=found.count(), n_keys=found.key.nunique()).to_pyarrow().to_pylist()[0]
    if counts["n"] > counts["n_keys"]:
        raise DataError(f"expected ids whose 64-bit hashes differ, got two that are equal; change an id of a {what}")
    return found
