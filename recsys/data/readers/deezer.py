"""Deezer's logs: as they are, split by the author, and an invented one of the same shape."""

import hashlib
from pathlib import Path

from ibis import BaseBackend

from recsys.data import synthetic
from recsys.data.readers.base import Dataset, Fields, Source, whole
from recsys.data.readers.files import beside, describe, make_once, open_source, open_table

DSG17: Fields = {"user_id": ("user_id", "id"), "item_id": ("media_id", "whole"),
                 "timestamp": ("ts_listen", "moment"), "listened": ("is_listened", "flag")}  # fmt: skip


OF_SONGS = ("album_id", "artist_id", "genre_id", "release_date", "media_duration")
OF_USERS = ("user_age", "user_gender")
def read_dsg17(connection: BaseBackend, path: Path) -> Dataset:
    """The raw logs, 15 columns in a CSV or Parquet file; song ids are whole numbers, user ids text."""
    source = open_source(connection, path, DSG17, OF_SONGS + OF_USERS)
    items = describe(source, "item_id", **{column: whole(source.table[column]) for column in OF_SONGS})
    users = describe(source, "user_id", **{column: whole(source.table[column]) for column in OF_USERS})
    return Dataset("dsg17", (source,), items, users)


def read_sample(connection: BaseBackend, made: Path) -> Dataset:
    """An invented log in the shape of `dsg17` with invented names, made once for each version of its code."""
    version = hashlib.sha256(Path(synthetic.__file__).read_bytes()).hexdigest()[:8]
    size = synthetic.SAMPLE
    log = make_once(made / f"sample-{version}.parquet", lambda file: synthetic.write(file, **size))
    songs = synthetic.songs(size["n_items"], size["seed"]).rename(columns={"media_id": "item_id", "title": "name"})
    names = make_once(made / f"sample-{version}-songs.parquet", lambda file: songs.to_parquet(file, index=False))
    raw = read_dsg17(connection, log)
    items = beside(connection.read_parquet(names), raw.items, "item_id")
    return Dataset("sample", raw.sources, items, raw.users, (names,))


def read_deezer_splits(connection: BaseBackend, folder: Path) -> Dataset:
    """The author's files, his split kept; times and skips are read where the files have them.

    His lists of users and songs follow from the three parts and are not needed.
    """
    sources = []
    for part, name in enumerate(("train_dataset.csv", "validation_dataset.csv", "test_dataset.csv")):
        table = open_table(connection, folder / name, ("user_id", "media_id"))
        fields = {ours: (column, kind) for ours, (column, kind) in DSG17.items() if column in table.columns}
        sources.append(Source(folder / name, table, fields, part))
    return Dataset("deezer-splits", tuple(sources))
