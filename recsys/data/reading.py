"""All files of a data set → its listens in one table, with a number for each id and a hash for each row."""

import re
from dataclasses import dataclass

import duckdb
from ibis.expr.types import Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.faults import check_values
from recsys.data.listens import EMPTY, OUTSIDE, Rows, join_listens, key_of, name_keys, order_hash, settle
from recsys.data.partition import count_rows
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.dialect import not_utf8

WAYS = {"empty_ids": ("error", "drop"), "times_outside": ("error", "drop")}  # to take rows that are no listens


@dataclass(frozen=True, eq=False)
class Read:
    """The listens of a data set.

    `listens` has `user_id` and `item_id` as numbers, `listened`, `order` (a hash of the row) and, where known,
    `timestamp`, `place` and `part`. `names` gives the table of the ids that the numbers stand for, where ids are text:
    its columns are `key` and `id`. `left_out` counts the rows that are no listens, by reason. `lists` has the same
    columns as `names`, for all users or songs of the data set, where a file lists them. `songs` describes songs where a
    file does so: one row for each `item_id`.
    """

    rows: list[Rows]
    listens: Table
    names: dict[str, Table]
    n_rows: int
    left_out: dict[str, int]
    lists: dict[str, Table]
    songs: Table | None


def read_all(engine: Engine, data: Dataset, seed: int, empty_ids: str, times_outside: str) -> Read:
    """Read all rows. Raises DataError for a row or value that cannot be read, unless it is to be dropped."""
    dropped = [reason for reason, how in ((EMPTY, empty_ids), (OUTSIDE, times_outside)) if how == "drop"]
    rows = [_settle(engine, source) for source in data.sources]
    raw = join_listens(rows)
    columns = {name: key_of(raw[name]) if name in ("user_id", "item_id") else raw[name] for name in raw.columns}
    try:
        stored = engine.store(raw.select(**columns, order=order_hash(raw, seed)))
    except duckdb.Error as error:
        raise _explain(data.sources[0], error) from error
    n_rows = count_rows(stored)
    if not n_rows:
        raise DataError(f"{file_names(data)}: expected listens, got a header without rows")
    engine.make_room(n_rows)
    reasons = stored.group_by("why").agg(n=stored.count()).to_pyarrow().to_pylist()
    left_out = {row["why"]: row["n"] for row in reasons if row["why"]}
    unreadable = stored.why.isin([each for each in (EMPTY, OUTSIDE) if each not in dropped]).fill_null(False)
    for column in stored.columns:
        if column not in ("why", "order"):
            unreadable |= stored[column].isnull() & stored.why.isnull()
    if count_rows(stored.filter(unreadable)):
        for each in rows:
            check_values(each, dropped)
    listens = stored.filter(stored.why.isnull()).drop("why")
    text = [what for what in ("user", "item") if raw[f"{what}_id"].type().is_string()]
    names = {what: name_keys(engine, raw, what) for what in text}
    lists = {what: _read_list(engine, source, listens, what) for what, source in data.lists.items()}
    songs = _read_songs(engine, data.songs) if data.songs else None
    return Read(rows, listens, names, n_rows, left_out, lists, songs)


def _read_list(engine: Engine, source: Source, listens: Table, what: str) -> Table:
    """Read the list of all songs or users. Raises DataError unless it has those of all listens."""
    rows = _settle(engine, source)
    check_values(rows)
    ids = rows.read(f"{what}_id")
    table = engine.store(rows.table.select(key=key_of(ids), id=ids).distinct())
    found = listens.select(key=f"{what}_id").distinct()
    if n_missing := count_rows(found.anti_join(table, "key")):
        word = {"user": "users", "item": "songs"}[what]
        raise DataError(
            f"{source.name}: expected all {word} of the parts, got {count_rows(table):,} that lack {n_missing:,} of "
            f"{count_rows(found):,}; use the list of these parts, or move it away"
        )
    return table


def _read_songs(engine: Engine, source: Source) -> Table:
    """Read what a file says of the songs. Where it says several things of one, the first in the alphabet is taken."""
    rows = _settle(engine, source)
    check_values(rows)
    columns = {name: rows.table[f"item {name}"] for name in source.items}
    table = engine.store(rows.table.select(item_id=rows.read("item_id"), **columns).distinct())
    songs = table.group_by("item_id").agg(n=table.count(), **{name: table[name].min() for name in source.items})
    n_several = count_rows(songs.filter(songs.n > 1))
    engine.warn("Songs to which the file of names gives several. The first in the alphabet is taken", n_several)
    return songs.drop("n")


def _settle(engine: Engine, source: Source) -> Rows:
    """Verify a source's files and read them. Raises DataError for a row that cannot be read."""
    for file in source.opened.files:
        file.verify(source.opened.end)
    try:
        return settle(engine, source)
    except duckdb.Error as error:
        raise _explain(source, error) from error


def file_names(data: Dataset) -> str:
    """Return the names of the files of listens, for messages."""
    return ", ".join(source.name for source in data.sources)


def _explain(source: Source, error: duckdb.Error) -> DataError:
    """Return what DuckDB says about the rows of a source, with the names that the user knows."""
    text = re.split(r"\n\s*(?:Possible|LINE \d+:)", str(error))[0].strip()
    files = [file for file in source.opened.files if str(file.opened) in str(error)]
    name = files[0].name if len(files) == 1 else source.name
    for file in source.opened.files:
        text = text.replace(str(file.opened), file.name)
    line = re.search(r"Line: (\d+)", text)
    place = f"{name}, line {line[1]}" if line else name
    if "not utf-8 encoded" in text.lower() or "invalid unicode" in text.lower():
        return DataError(not_utf8(place))
    if isinstance(error, duckdb.OutOfMemoryException):
        return DataError(f"{place}: expected rows that fit in memory, got: {text.splitlines()[0]}")
    arrived = f": {text.splitlines()[-1]}"
    if counts := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text):
        arrived = f" {counts[2]} instead of {counts[1]} values; correct this line"
    elif "unterminated quote" in text:
        arrived = " a quotation mark without another one that ends the value; correct this line"
    elif "state machine" in text:
        arrived = " line ends of several kinds; save the file with one kind"
    return DataError(f"{place}: expected rows like the header, got{arrived}")
