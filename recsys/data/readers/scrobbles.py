"""`lastfm-scrobbles`: what the exporters of Last.fm write, a row of text for each listen."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ibis
from ibis.expr.types import Column

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import ID, Fields, join_names
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.dialect import SEPARATORS, Form, as_utf8, find_dialect, first_text, same_name
from recsys.data.readers.files import File, find_files
from recsys.data.readers.glances import Glance
from recsys.data.readers.options import Options
from recsys.data.readers.people import folders_of, name_places
from recsys.data.readers.tables import Opened, open_tables
from recsys.data.readers.times import time_in, try_strptime
from recsys.data.readers.usual_times import usually
from recsys.data.words import counted

FILES = ("*.csv", "*.tsv", "*.txt")
NAMES = {  # the names that exporters give a column; the first that a file has is taken
    "time": ("uts", "utc_time", "timestamp", "datetime", "date", "time"),
    "artist": ("artist", "artist_name", "artist name"),
    "track": ("track", "track_name", "track name", "title", "song", "name"),
    "album": ("album", "album_name", "album name"),
    "user": ("user", "username", "user_name", "user_id"),
}
LAYOUTS = (  # of files without a header; a column of users may precede each
    ("artist", "album", "track", "utc_time"),
    ("uts", "utc_time", "artist", "album", "track"),
    ("uts", "utc_time", "artist", "artist_mbid", "album", "album_mbid", "track", "track_mbid"),
)
TIME = {  # what the times of a file without a header look like
    "uts": re.compile(r"\d{9,13}"),
    "utc_time": re.compile(r"\d{1,2} [A-Za-z]{3} \d{4},? \d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*"),
}
WRITTEN = "%d %b %Y %H:%M"  # 01 Jan 2020, 12:34
USER_AFTER = "date#"  # lastfmstats.com names the column of times Date#ada
EXPORT = re.compile(r"(?:recenttracks|scrobbles)-(.+)-\d+")  # the exporter puts the user's name into the file's


class Shape(NamedTuple):
    """The columns of a file: the names to give them if it has no header, those that are read, and the separator."""

    names: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    separator: str = ""


def is_scrobbles(glances: Sequence[Glance]) -> str:
    """The rule that one of the files is like those of the exporters."""
    for each in glances:
        for shape in filter(None, map(_shape_of, (each.columns, *each.others) if each.kind == "text" else ())):
            time = dict(shape.columns)["time"]
            if shape.names or same_name(time) in TIME or _user_in(time):
                return f"a file has rows of artist, track and {'times' if _user_in(time) else time}"
    return ""


def read_scrobbles(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the files. A song is a pair of artist and track, and every row counts as listened.

    Without a column of users, a file is of the person whom it is named after.
    """
    files = [as_utf8(engine, file, options.encoding) for file in find_files(engine, path, FILES)]
    people = name_places({file: (*folders_of(file, path), _stem(file)) for file in files})
    alike: dict[Shape, list[File]] = {}
    for file in files:
        alike.setdefault(_find_shape(file, options), []).append(file)
    sources: list[Source] = []
    unnamed = 0
    for shape, group in alike.items():
        columns = dict(shape.columns)
        if shape.names:
            engine.decide(f"Files without a header have the columns {', '.join(shape.names)}.")
        unnamed += 0 if "user" in columns or _user_in(columns["time"]) else len(group)
        form = Form(shape.separator, names=shape.names)
        opened = open_tables(engine, group, list(columns.values()), form=form)
        sources += [_source(each, columns, people, options) for each in opened]
    engine.decide("Songs are pairs of artist and track.")
    if unnamed:
        n_files = counted(unnamed, "file")
        engine.decide(f"Without a column of users, each file is one person, named like the file: {n_files}.")
    return Dataset(tuple(sources), named_after_people=True)


def _stem(file: File) -> str:
    """Return the person whom a file is named after: its name without suffixes, and what the exporter adds to it."""
    stem = re.sub(r"(\.(csv|tsv|txt))?(\.(gz|zst))?$", "", file.inside.name, flags=re.IGNORECASE)
    export = EXPORT.fullmatch(stem)
    return export[1] if export else stem


def _find_shape(file: File, options: Options) -> Shape:
    """Return the columns of a file and what separates them. Raises DataError if it has none of the known shapes."""
    if file.is_parquet:
        raise DataError(f"{file.name}: expected text with a row for each scrobble, got Parquet; DATASET=csv reads it")
    text = first_text(file).lstrip()
    known = [separator for mark in SEPARATORS for separator in (f"{mark} ", mark) if separator in text]
    for separator in [options.separator] if options.separator else known:
        try:
            shape = _shape_of(find_dialect(file, (), Form(separator)).names)
        except DataError:  # two ways to read it, with and without the lines that begin with '#'
            continue
        if shape and not (shape.names and text.startswith("#")):
            return shape._replace(separator=separator)
    rows, line = "; ".join(", ".join(layout) for layout in LAYOUTS), text.partition("\n")[0].rstrip()[:120]
    raise DataError(
        f"{file.name}: expected a header with artist, track and uts or utc_time, or rows of {rows}, got the line "
        f"{line!r}; write a first line that names the columns"
    )


def _shape_of(first: tuple[str, ...]) -> Shape | None:
    """Return the shape of a file by its first row: a header, or values with times where one of the layouts has them."""
    columns = _meanings(first)
    if {"time", "artist", "track"} <= set(columns):
        return Shape((), tuple(columns.items()))
    layouts = [each for layout in LAYOUTS for each in (layout, ("user", *layout)) if len(each) == len(first)]
    fits = [
        each for each in layouts if all(TIME[name].fullmatch(first[each.index(name)]) for name in TIME if name in each)
    ]
    return Shape(fits[0], tuple(_meanings(fits[0]).items())) if len(fits) == 1 else None


def _meanings(names: tuple[str, ...]) -> dict[str, str]:
    """Return which column is the time, the artist, …."""
    present = {same_name(name): name for name in reversed(names)}  # the first of several
    found = {what: next((present[each] for each in known if each in present), "") for what, known in NAMES.items()}
    found["time"] = next(filter(_user_in, names), found["time"])
    if same_name(found["time"]) == "date":
        found["clock"] = present.get("time", "")
    return {what: name for what, name in found.items() if name}


def _user_in(name: str) -> str:
    """Return the user whom the name of a column of times has in it."""
    return name.partition("#")[2].strip() if same_name(name).startswith(USER_AFTER) else ""


def _source(opened: Opened, columns: dict[str, str], people: dict[File, str], options: Options) -> Source:
    table, time = opened.table, columns["time"]
    kind = time_in(options.time_format)
    when: Column = table[time].strip()
    if "clock" in columns:
        when = when + " " + table[columns["clock"]].strip()
    if not options.time_format and same_name(time) != "uts":
        kind = usually("%Y-%m-%d %H:%M:%S")
        written = try_strptime(when.replace(",", ""), WRITTEN)
        when = written.notnull().ifelse(written.cast("string"), when)
    if "user" in columns:
        person: Column = table[columns["user"]]
    elif user := _user_in(time):
        person = ibis.literal(user)
    else:
        person = opened.by_file(people)
    song = join_names(table, columns["artist"], columns["track"])
    opened = opened.with_columns(**{time: when, "person": person, "artist and track": song})
    fields: Fields = {
        "user_id": ("person", ID), "item_id": ("artist and track", ID),
        "timestamp": (time, kind),
    }  # fmt: skip
    names = {"name": "track", "artist": "artist", "album": "album"}
    return Source(opened, fields, items={ours: table[columns[what]] for ours, what in names.items() if what in columns})
