"""`csv`: any table with a row for each listen, whose columns the user names: CSV, TSV, Parquet, JSON or JSON lines."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import FLAG, ID, Fields, Kind, at_least, join_names, number
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.dialect import Form, same_name
from recsys.data.readers.durations import MILLISECONDS, SECONDS
from recsys.data.readers.files import find_files
from recsys.data.readers.options import Options
from recsys.data.readers.tables import Opened, open_tables
from recsys.data.readers.times import time_in
from recsys.data.words import listing

PATTERNS = ("*.csv", "*.tsv", "*.txt", "*.parquet", "*.json", "*.jsonl", "*.ndjson")
HINT = "if it has another name, set USER_COLUMN, ITEM_COLUMN, TIME_COLUMN, LISTENED_COLUMN or SECONDS_COLUMN"
OURS = ("timestamp", "listened", "name", "artist", "album")  # columns that are read if they are there
ARTIST = ("artist", "artists", "artist_name", "artistname", "artname")
COLUMNS = tuple(
    f"{each}_column" for each in ("time", "listened", "seconds", "milliseconds", "name", "artist")
)  # the parameters that name one column each, but for those of the user and the song
RATING = ("rating", "ratings", "stars", "score", "overall")


def read_csv(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the files. Ids of text files stay text, as they are written.

    A column that the options do not name is looked for as `user_id`, `item_id`, `timestamp` or `listened`; the last two
    may be missing. With a column of seconds or milliseconds, rows of more than 30 seconds count as listened; with
    `positive_from`, rows with at least this rating; with neither, all rows do. The columns `name`, `artist` and `album`
    describe the songs, if they are there.
    """
    options, user, item = _unite_names(options)
    _check(options, user, item)
    named = [user, *item, *(getattr(options, each) for each in COLUMNS)]
    wanted = list(dict.fromkeys(filter(None, named)))
    form = Form(options.separator, names=tuple(options.columns.split()), encoding=options.encoding)
    optional = [name for name in (*OURS, *ARTIST, *RATING) if name not in map(same_name, wanted)]
    tables = open_tables(engine, find_files(engine, path, PATTERNS), wanted, optional, form, hint=HINT)
    sources = tuple(_source(opened, user, item, options) for opened in tables)
    if len({tuple(sorted(source.fields)) for source in sources}) > 1:
        names = "; ".join(f"{source.name}: {', '.join(sorted(source.fields))}" for source in sources)
        raise DataError(f"expected the same columns in all files, got {names}")
    return Dataset(sources)


def _unite_names(options: Options) -> tuple[Options, str, list[str]]:
    """Return the options, the user's column and those of the song, with one name for each column.

    Two parameters may name a column in two ways, such as `Artist` and `artist`; it has the name that is found first.
    """
    user = options.user_column or "user_id"
    item = [each.strip() for each in (options.item_column or "item_id").split(",") if each.strip()]
    first: dict[str, str] = {}
    for name in (user, *item, *(getattr(options, each) for each in COLUMNS)):
        first.setdefault(same_name(name), name)
    named: dict[str, Any] = {each: first[same_name(getattr(options, each))] for each in COLUMNS}
    return dataclasses.replace(options, **named), user, [first[same_name(each)] for each in item]


def _check(options: Options, user: str, item: list[str]) -> None:
    ways = {name: getattr(options, name) for name in ("listened_column", "seconds_column", "milliseconds_column")}
    given = {name.upper(): value for name, value in ways.items() if value}
    if options.positive_from and not options.listened_column:
        given["POSITIVE_FROM"] = options.positive_from
    if len(given) > 1:
        arrived = f"{'both' if len(given) == 2 else 'all of them'}, {listing(map(repr, given.values()))}"
        raise DataError(f"expected {listing(given, 'or')}, got {arrived}; leave all but one of them empty")
    if [user] == item:
        raise DataError(f"USER_COLUMN and ITEM_COLUMN: expected two columns, got {user!r} for both")
    if not item or len(set(item)) < len(item):
        raise DataError(f"ITEM_COLUMN: expected a column, or several different ones, got {options.item_column!r}")


def _source(opened: Opened, user: str, item: list[str], options: Options) -> Source:
    song = ",".join(item)
    if len(item) > 1:
        opened = opened.with_columns(**{song: join_names(opened.table, *item)})
    table = opened.table
    present = {same_name(name): name for name in reversed(table.columns)}
    fields: Fields = {"user_id": (user, ID), "item_id": (song, ID)}
    if time := options.time_column or present.get("timestamp", ""):
        fields["timestamp"] = time, time_in(options.time_format)
    ratings = [present[name] for name in RATING if name in present and present[name] not in (user, *item)]
    if listened := _listened(opened, options, present.get("listened", ""), ratings):
        fields["listened"] = listened
    artists = [name for name in item if same_name(name) in ARTIST]
    artists += [present[name] for name in ARTIST if name in present and present[name] != user]
    artist = options.artist_column or next(iter(artists), "")
    titles = [name for name in item if name != artist] if len(item) > 1 else []
    name = options.name_column or present.get("name", "") or (titles[0] if len(titles) == 1 else "")
    items = {"name": name, "artist": artist, "album": present.get("album", "")}
    kept: dict[str, Column] = {}
    if len(item) == 1 and artist and artist != song:
        kept |= {"song": table[song].cast("string"), "artist": table[artist].cast("string")}
    if "listened" not in fields and ratings:
        kept["rating"] = number(table[ratings[0]])

    def look(engine: Engine, rows: Table) -> None:
        if "artist" in rows.columns:
            by_song = rows.group_by("song").agg(n=rows.artist.nunique())
            engine.warn(
                f"Values of the column {song!r} that occur with several artists. If they are titles, different songs "
                f"are taken for one; set ITEM_COLUMN={json.dumps(f'{artist},{song}', ensure_ascii=False)}",
                _count(by_song.filter(by_song.n > 1)),
            )  # fmt: skip
        if "rating" in rows.columns:
            engine.warn(
                f"Rows with less than 4 in the column {ratings[0]!r}, all of which count as listened. If it holds "
                "ratings, set POSITIVE_FROM=4", _count(rows.filter(rows.rating < 4)),
            )  # fmt: skip

    texts = {ours: table[column].cast("string") for ours, column in items.items() if column}
    used = frozenset([*item, *filter(None, items.values()), *(column for column, _ in fields.values())])
    return Source(opened, fields, items=texts, kept=kept, look=look if kept else None, used=used)


def _listened(opened: Opened, options: Options, listened: str, ratings: list[str]) -> tuple[str, Kind] | None:
    """Return the column that says whether a row counts as listened, and its kind; None if all rows do."""
    if options.positive_from:
        if not options.listened_column and len(ratings) != 1:
            columns = map(repr, opened.table.columns[:-1])
            arrived = listing(map(repr, ratings)) if ratings else ", ".join(columns)
            raise DataError(f"POSITIVE_FROM: expected one column of ratings, got {arrived}; set LISTENED_COLUMN to it")
        return options.listened_column or ratings[0], at_least(options.positive_from, "a rating")
    if options.seconds_column:
        return options.seconds_column, SECONDS
    if options.milliseconds_column:
        return options.milliseconds_column, MILLISECONDS
    listened = options.listened_column or listened
    return (listened, FLAG) if listened else None


def _count(table: Table) -> int:
    return table.count().to_pyarrow().as_py()
