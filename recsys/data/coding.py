"""Codes for users and songs, the tables that describe them, and the parts' files."""

import ibis
from ibis.expr.types import Table

from recsys.data import partition
from recsys.data.engine import Engine
from recsys.data.listens import key_of
from recsys.data.partition import count_rows
from recsys.data.readers.dataset import add_columns
from recsys.data.reading import Read
from recsys.data.split import PARTS

NOWHERE = len(PARTS)  # `first_part` of what no part has


def number_ids(engine: Engine, listens: Table, read: Read, what: str) -> Table:
    """Return the distinct ids as `key`, the `id` itself, the `first_part` that has it, and its `code`.

    Ids of train come first, then those of later parts, then those that only a list of all songs has; each by id.
    """
    found = listens.group_by(key=f"{what}_id").agg(first_part=listens.part.min().cast("int8"))
    if what in read.names:
        found = found.inner_join(read.names[what], "key").select("key", "first_part", "id")
    else:
        found = found.mutate(id=found.key)
    if what in read.lists:
        rest = read.lists[what].anti_join(found, "key").mutate(first_part=ibis.literal(NOWHERE, "int8"))
        found = found.union(rest.select(*found.columns))
    order = [found.first_part > partition.TRAIN, found.first_part == NOWHERE, found.id]
    return engine.store(found.mutate(code=ibis.row_number().over(ibis.window(order_by=order)).cast("int32")))


def describe(engine: Engine, codes: Table, read: Read, what: str) -> Table:
    """Return a row for each code, in their order: the id, and what the file of the songs and the listens know."""
    described = codes.select("code", "key", codes.id.name(f"{what}_id"))
    if what == "item" and read.songs is not None:
        known = read.songs.mutate(key=key_of(read.songs.item_id)).drop("item_id")
        described = add_columns(described, known, "key")
        engine.warn("Songs that the file of names lacks", count_rows(codes.anti_join(known, "key")))
    tables = [table for rows in read.rows if (table := rows.described(what)) is not None]
    if tables:
        rows = _union(tables, f"{what}_id")
        rows = rows.mutate(key=key_of(rows[f"{what}_id"]))
        names = [name for name in rows.columns if name not in ("key", *described.columns)]
        one_row = engine.store(rows.group_by("key").agg(**{name: rows[name].min() for name in names}))
        described = add_columns(described, one_row, "key")
    return described.order_by("code").drop("code", "key")


def _union(tables: list[Table], id_column: str) -> Table:
    """Return the rows of tables that need not have the same columns: null where a table lacks one."""
    types = {name: type_ for table in tables for name, type_ in table.schema().items()}
    if len({table[id_column].type() for table in tables}) > 1:
        tables = [table.mutate(**{id_column: table[id_column].cast("string")}) for table in tables]

    def fill(table: Table) -> Table:
        missing = {name: ibis.null(type_) for name, type_ in types.items() if name not in table.columns}
        return table.mutate(**missing).select(*types)

    first, *others = map(fill, tables)
    return first.union(*others) if others else first


def write_parts(engine: Engine, coded: Table) -> dict[str, int]:
    """Write a scratch file for each part, in the order of time, and return their numbers of rows.

    Equal times are in the order of a hash, as an order by id would make sequences that nobody played. A place is
    written for train and validation only: test has lists of its own, whose places are not comparable.
    """
    times = ["timestamp"] if "timestamp" in coded.columns else []
    order = [*times, "order", "user", "item"] if times else ["user", "item"]
    counts: dict[str, int] = {}
    for number, part in enumerate(PARTS):
        places = {"place": coded.place.cast("int32")} if "place" in coded.columns and part != "test" else {}
        rows = coded.filter(coded.part == number).order_by(order).select("user", "item", *times, **places)
        engine.write(rows, engine.scratch / f"{part}.parquet")
        counts[part] = count_rows(rows)
    return counts
