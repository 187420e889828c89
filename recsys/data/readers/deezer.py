"""Deezer's logs: `dsg17`, the raw log, and `deezer-splits`, the described system's train, validation and test files."""

from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.columns import FLAG, ID, TIME, WHOLE_NUMBER, Fields
from recsys.data.readers.files import Dataset, Source, one_row_per_id, open_source, open_table

FIELDS: Fields = {
    "user_id": ("user_id", ID),
    "item_id": ("media_id", WHOLE_NUMBER),
    "timestamp": ("ts_listen", TIME),
    "listened": ("is_listened", FLAG),
}
SONG_COLUMNS = ("album_id", "artist_id", "genre_id", "release_date", "media_duration")
USER_COLUMNS = ("user_age", "user_gender")


def read_dsg17(connection: BaseBackend, path: Path) -> Dataset:
    """Open the raw log, a CSV or Parquet file of 15 columns. Song ids are whole numbers, user ids are text."""
    source = open_source(connection, path, FIELDS, SONG_COLUMNS + USER_COLUMNS)
    items = one_row_per_id(source, "item_id", **{name: WHOLE_NUMBER.parse(source.table[name]) for name in SONG_COLUMNS})
    users = one_row_per_id(source, "user_id", **{name: WHOLE_NUMBER.parse(source.table[name]) for name in USER_COLUMNS})
    return Dataset((source,), items, users)


def read_deezer_splits(connection: BaseBackend, folder: Path) -> Dataset:
    """Open the three files and keep their split. Times and skips are read where the files have them."""
    sources = []
    for part, name in enumerate(("train_dataset.csv", "validation_dataset.csv", "test_dataset.csv")):
        table = open_table(connection, folder / name, ("user_id", "media_id"))
        fields = {ours: (column, kind) for ours, (column, kind) in FIELDS.items() if column in table.columns}
        sources.append(Source(folder / name, table, fields, part))
    return Dataset(tuple(sources))
