"""Òscar Celma's Last.fm data of 2010, TSV without a header: `lastfm-1k` has the listens, `lastfm-360k` counts of plays.

A quotation mark is part of a name, and so is, in a few lines, a tab: such a line is left out and counted.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import ibis
from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import ID, Fields, epoch_us, is_empty, join_names, more_than
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.files import File, find_files
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import has_rows
from recsys.data.readers.tables import Opened, open_lines
from recsys.data.readers.times import Form, in_range, try_strptime

LISTENS = ("user", "time", "artist id", "artist", "track id", "track")
PLAYS = ("user", "artist id", "artist", "plays")
MOMENT = in_range(
    Form("", Column.notnull, lambda times: epoch_us(try_strptime(times.cast("string").strip(), "%Y-%m-%dT%H:%M:%SZ")))
)
LISTEN_FIELDS: Fields = {"user_id": ("user", ID), "item_id": ("song", ID), "timestamp": ("time", MOMENT)}
PLAY_FIELDS: Fields = {
    "user_id": ("user", ID), "item_id": ("song", ID), "listened": ("plays", more_than(0, "a number of plays")),
}  # fmt: skip
MOST_ODD = 0.05  # the share of lines with a wrong number of values from which the file is taken for another format
TIME_PATTERN, MBID = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?"

is_lastfm_1k = has_rows("\t", ".+", TIME_PATTERN, MBID, ".*", MBID, ".*", what="listens of lastfm-1k")
is_lastfm_360k = has_rows("\t", ".+", MBID, ".*", r" *\d+", what="numbers of plays of lastfm-360k")


def read_lastfm_1k(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the listens. A song is its MusicBrainz id or, where that is empty, its artist and title."""
    files = find_files(engine, path, ("userid-timestamp-*.tsv",))
    return Dataset(tuple(_listens(_open(engine, file, LISTENS, options)) for file in files))


def read_lastfm_360k(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the plays. An artist stands for a song: their MusicBrainz id or, where that is empty, their name."""
    files = find_files(engine, path, ("usersha1-artmbid-*.tsv",))
    return Dataset(tuple(_plays(_open(engine, file, PLAYS, options)) for file in files))


def _listens(opened: Opened) -> Source:
    table = opened.table
    opened = opened.with_columns(song=_either(table["track id"], join_names(table, "artist", "track")))
    return _source(opened, LISTEN_FIELDS, len(LISTENS), name="track", artist="artist")


def _plays(opened: Opened) -> Source:
    table = opened.table
    opened = opened.with_columns(song=_either(table["artist id"], table.artist))
    return _source(opened, PLAY_FIELDS, len(PLAYS), name="artist")


def _either(first: Column, second: Column) -> Column:
    return is_empty(first).ifelse(second, first)


def _open(engine: Engine, file: File, names: Sequence[str], options: Options) -> Opened:
    """Open a file as a table of its values, with the number of each line and how many values it has."""
    opened = open_lines(engine, file, options.encoding)
    lines = opened.table.select(line=ibis.row_number() + 1, values=opened.table.text.fill_null("").split("\t"))
    values = {name: lines["values"][number] for number, name in enumerate(names)}
    table = lines.select(line=lines.line, n_values=lines["values"].length(), **values)
    return dataclasses.replace(opened, table=table)


def _source(opened: Opened, fields: Fields, n_values: int, **names: str) -> Source:
    table = opened.table
    is_odd = table.n_values != n_values

    def look(engine: Engine, rows: Table) -> None:
        n, n_odd = (each.to_pyarrow().as_py() or 0 for each in (rows.count(), rows["odd"].sum()))
        if n_odd > n * MOST_ODD:
            raise DataError(
                f"{opened.files[0].name}: expected {n_values} values in a line, with tabs between them, got another "
                f"number in {n_odd:,} of {n:,} lines"
            )
        engine.warn(f"Lines without {n_values} values, which are left out", n_odd)

    items = {ours: table[column] for ours, column in names.items()}
    reason = f"lines without {n_values} values"
    return Source(
        opened, fields, items=items, left_out={reason: is_odd}, line="line", kept={"odd": is_odd}, look=look
    )  # fmt: skip
