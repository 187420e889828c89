"""Name → listens with our column names, as an Ibis table that streams from the files, and what is known of songs and users."""

import csv
import difflib
import hashlib
import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
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
def make_timestamp(microseconds: int) -> ibis.dtype("timestamp"): ...


@ibis.udf.scalar.builtin
def epoch_us(moment: ibis.dtype("timestamp")) -> int: ...


def _number(column: Column) -> Column:
    text = column.cast("string")
    return text.re_search(r"^[+-]?\d+(\.\d*)?$").ifelse(text.try_cast("float64"), ibis.null())


def _text(column: Column) -> Column:
    return column.cast("string").nullif("")


def _whole(column: Column) -> Column:
    text = column.cast("string")
    return text.re_search(r"^[+-]?\d+$").ifelse(text.try_cast("int64"), ibis.null())


def _id(column: Column) -> Column:
    return _text(column) if column.type().is_string() else _whole(column)


def _moment(column: Column) -> Column:
    if column.type().is_temporal():
        return make_timestamp(epoch_us(column))
    seconds = _number(column)
    inside = (seconds >= 0) & (seconds < YEAR_2100)
    parsed = make_timestamp(inside.ifelse((seconds * 1_000_000).round().cast("int64"), ibis.null()))
    written = column.cast("string")
    return parsed if column.type().is_numeric() else seconds.isnull().ifelse(written.try_cast("timestamp"), parsed)


def _flag(column: Column) -> Column:
    return column.cast("string").lower().cases(("1", True), ("true", True), ("0", False), ("false", False), else_=None)


KINDS: dict[str, tuple[Callable[[Column], Column], str]] = {
    "text": (_text, "an id"),
    "whole": (_whole, "a whole number of at most 64 bits"),
    "id": (_id, "an id (text or a whole number)"),
    "moment": (_moment, "a time in unix seconds, between 1970 and 2100, or as YYYY-MM-DD HH:MM:SS"),
    "flag": (_flag, "0 or 1"),
    "over 30 s": (lambda column: _number(column) > 30, "a number of seconds"),
    "from 30 s": (lambda column: _number(column) >= 30, "a number of seconds"),
    "from 4 stars": (lambda column: _number(column) >= 4, "a rating"),
    "played": (lambda column: _number(column) > 0, "a number of plays"),
}


@dataclass(frozen=True, eq=False)
class Source:
    """One file of listens: its rows as they are, and for each column of ours its own column and kind (a name in KINDS)."""

    path: Path
    table: Table
    fields: dict[str, tuple[str, str]]
    part: int | None = None  # 0, 1, 2 where the file is train, validation or test

    def listens(self) -> Table:
        """Return our columns; what cannot be read is null, see `blame`."""
        ours = {name: KINDS[kind][0](self.table[column]) for name, (column, kind) in self.fields.items()}
        if "listened" not in ours:
            ours["listened"] = ibis.literal(True)
        return self.table.select(**ours, **({} if self.part is None else {"part": ibis.literal(self.part, "int8")}))

    def blame(self) -> None:
        """Raise DataError for the first value, in the order of the file, that cannot be read; return if all can."""
        found = {}
        for name, (column, kind) in self.fields.items():
            raw = self.table.select(value=self.table[column], place=ibis.row_number())
            bad = raw.filter(KINDS[kind][0](raw.value).isnull()).order_by("place").limit(1).to_pyarrow().to_pylist()
            if bad:
                found[bad[0]["place"], name] = bad[0]["value"]
        if found:
            (place, name), value = min(found.items(), key=lambda each: each[0])
            column, kind = self.fields[name]
            where = f"row {place + 1}" if self.path.suffix == ".parquet" else f"line {place + 2}"
            hint = "; it looks like milliseconds" if kind == "moment" and str(value).isdigit() and len(str(value)) >= 12 else ""
            arrived = "nothing" if value in (None, "") else repr(value)
            raise DataError(f"{self.path.name}, {where}, column {column!r}: expected {KINDS[kind][1]}, got {arrived}{hint}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a reader returns: where the listens are, and tables of songs (`item_id`, `name`, …) and users (`user_id`, …)."""

    name: str
    sources: tuple[Source, ...]
    items: Table | None = None
    users: Table | None = None

    @property
    def interactions(self) -> Table:
        """Listens with the columns `user_id, item_id, listened`, and `timestamp` (UTC) and `part` (0, 1, 2) where known."""
        first, *others = (source.listens() for source in self.sources)
        return first.union(*others) if others else first

    @property
    def default_split(self) -> str:
        columns = self.interactions.columns
        return "given" if "part" in columns else "by-time" if "timestamp" in columns else "random"


def read(name: str, path: Path | str | None = None, *, connection: BaseBackend, made: Path, **columns: str) -> Dataset:
    """Open a data set by its name, a key of READERS; nothing is read yet but headers.

    `path` is the file or folder; `sample` and `movielens` need none, they are made in the folder `made`. `columns` are
    for `csv`. Raises DataError for an unknown name, a missing file or column, or a file of another kind.
    """
    if name not in READERS:
        near = difflib.get_close_matches(name, READERS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"DATASET: expected one of {', '.join(READERS)}, got {name!r}{hint}")
    if name in ("sample", "movielens"):
        return READERS[name](connection, made)
    if not path:
        raise DataError(f"DATA_PATH: expected the file or folder of the data set {name!r}, got nothing")
    return READERS[name](connection, Path(path), **(columns if name == "csv" else {}))


def _file(path: Path) -> Path:
    if path.is_dir():
        raise DataError(f"{path}: expected a file, got a folder")
    if not path.exists():
        raise DataError(f"{path}: expected a file, there is none")
    if not path.stat().st_size:
        raise DataError(f"{path}: expected rows, got an empty file")
    return path


def _open(connection: BaseBackend, path: Path, wanted: tuple[str, ...], delimiter: str = ",", quote: str = '"') -> Table:
    if _file(path).suffix == ".parquet":
        try:
            names = pq.read_schema(path).names
        except pa.ArrowException as error:
            raise DataError(f"{path.name}: expected a whole Parquet file, got one that cannot be read") from error
    else:
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                names = next(csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE))
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name}: expected text in UTF-8, got other bytes at {error.start}") from error
    for column in wanted:
        if names.count(column) != 1:
            hint = ""
            if len(names) == 1 and not path.suffix == ".parquet":
                hint = f" (columns must be separated by {'tabs' if delimiter == chr(9) else repr(delimiter)})"
            how = "one column" if column in names else "a column"
            raise DataError(f"{path.name}: expected {how} {column!r}, got {', '.join(map(repr, names))}{hint}")
    if path.suffix == ".parquet":
        return connection.read_parquet(path)
    return connection.read_csv(
        path, columns=dict.fromkeys(names, "VARCHAR"), header=True, delim=delimiter, quote=quote, escape=quote,
        auto_detect=False, strict_mode=True,
    )  # fmt: skip


def _described(table: Table, ours: str, column: str, kind: str, **fields: str) -> Table:
    """Return one row an id with the smallest value of each field, so that the choice does not depend on the engine."""
    read = table.select(KINDS[kind][0](table[column]).name(ours), **{new: table[old] for new, old in fields.items()})
    return read.group_by(ours).agg(**{new: read[new].min() for new in fields})


def _dsg17(connection: BaseBackend, path: Path, name: str = "dsg17") -> Dataset:
    """The raw logs: one file of 15 columns; song ids are whole numbers, user ids text."""
    fields = {"user_id": ("user_id", "text"), "item_id": ("media_id", "whole"),
              "timestamp": ("ts_listen", "moment"), "listened": ("is_listened", "flag")}  # fmt: skip
    about_items = ("album_id", "artist_id", "genre_id", "release_date", "media_duration")
    about_users = ("user_age", "user_gender")
    table = _open(connection, path, (*(column for column, _ in fields.values()), *about_items, *about_users))
    whole = table.mutate(**{column: _whole(table[column]) for column in about_items + about_users})
    items = _described(whole, "item_id", "media_id", "whole", **dict(zip(about_items, about_items, strict=True)))
    users = _described(whole, "user_id", "user_id", "text", **dict(zip(about_users, about_users, strict=True)))
    return Dataset(name, (Source(path, table, fields),), items, users)


def _sample(connection: BaseBackend, made: Path) -> Dataset:
    """An invented log in the shape of `dsg17`, made once for each version of its code, with invented names."""
    version = hashlib.sha256(Path(synthetic.__file__).read_bytes()).hexdigest()[:8]
    log, names = made / f"sample-{version}.parquet", made / f"sample-{version}-songs.parquet"
    if not log.exists():
        songs = synthetic.songs(synthetic.SAMPLE["n_items"], synthetic.SAMPLE["seed"])
        with write_atomically(names) as temporary:
            songs.rename(columns={"media_id": "item_id", "title": "name"}).to_parquet(temporary, index=False)
        synthetic.write(log, **synthetic.SAMPLE)
        os.utime(log, (0, 0))  # the same file whenever it is made: its age must not enter keys
    dataset = _dsg17(connection, log, "sample")
    items = beside(connection.read_parquet(names), dataset.items, "item_id")
    return Dataset("sample", dataset.sources, items, dataset.users)


def beside(left: Table, right: Table, key: str) -> Table:
    """Return the rows of `left` with the columns of `right` that have the same `key`, null where there are none."""
    return left.left_join(right, key).drop(f"{key}_right")


def _30music(connection: BaseBackend, path: Path) -> Dataset:
    """`sessions.parquet`: a row a listen, `playtime` in seconds."""
    fields = {"user_id": ("user_id", "whole"), "item_id": ("song_id", "whole"),
              "timestamp": ("ts", "moment"), "listened": ("playtime", "from 30 s")}  # fmt: skip
    return Dataset("30music", (Source(path, _open(connection, path, ("user_id", "song_id", "ts", "playtime")), fields),))


def _lightgcn(connection: BaseBackend, folder: Path) -> Dataset:
    """The benchmarks' text files `train.txt` and `test.txt`: a line `user item item …` a user."""
    fields = {"user_id": ("user", "whole"), "item_id": ("item", "whole")}
    return Dataset("lightgcn", tuple(
        Source(_file(folder / name), _lines(connection, folder / name), fields, part) for name, part in (("train.txt", 0), ("test.txt", 2))
    ))  # fmt: skip


def _lines(connection: BaseBackend, path: Path) -> Table:
    lines = connection.read_csv(
        path, columns={"line": "VARCHAR"}, header=False, delim="\x01", quote="", escape="", auto_detect=False
    )
    words = lines.select(words=lines.line.strip().re_replace(r"\s+", " ").split(" "))
    return words.select(user=words.words[0], item=words.words[1:].unnest())


READERS: dict[str, Callable[..., Dataset]] = {"sample": _sample, "dsg17": _dsg17, "30music": _30music, "lightgcn": _lightgcn}
