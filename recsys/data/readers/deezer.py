"""Deezer's logs: `dsg17`, the raw log, and `deezer-splits`, the described system's train, validation and test files."""

import dataclasses
from pathlib import Path

from recsys.data.engine import Engine
from recsys.data.readers.columns import FLAG, ID, WHOLE_NUMBER, Fields
from recsys.data.readers.dataset import Dataset, Source, open_sources
from recsys.data.readers.dialect import Form
from recsys.data.readers.files import find_files, find_one
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import but_not, has_columns, has_files
from recsys.data.readers.tables import open_tables
from recsys.data.readers.times import TIME

FIELDS: Fields = {
    "user_id": ("user_id", ID),
    "item_id": ("media_id", WHOLE_NUMBER),
    "timestamp": ("ts_listen", TIME),
    "listened": ("is_listened", FLAG),
}
SONG_COLUMNS = ("album_id", "artist_id", "genre_id", "release_date", "media_duration")
USER_COLUMNS = ("user_age", "user_gender")
PARTS = ("train_dataset.csv", "validation_dataset.csv", "test_dataset.csv")

is_deezer_splits = has_files(*PARTS)
is_dsg17 = but_not(is_deezer_splits, has_columns(*(column for column, _ in FIELDS.values()), *SONG_COLUMNS))


def read_dsg17(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the raw log, CSV or Parquet of 15 columns. Song ids are whole numbers, user ids are text."""
    files = find_files(engine, path, ("*.csv", "*.parquet"))
    form = Form(options.separator, encoding=options.encoding)
    sources = []
    for source in open_sources(engine, files, FIELDS, SONG_COLUMNS + USER_COLUMNS, form):
        items, users = (
            {name: WHOLE_NUMBER.parse(source.table[name]) for name in names} for names in (SONG_COLUMNS, USER_COLUMNS)
        )
        sources.append(dataclasses.replace(source, items=items, users=users))
    return Dataset(tuple(sources))


def read_deezer_splits(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the three files and keep their split. Times and skips are read where the files have them."""
    form = Form(options.separator, encoding=options.encoding)
    sources = []
    for part, name in enumerate(PARTS):
        file = find_one(engine, path, name)
        (opened,) = open_tables(engine, [file], ("user_id", "media_id"), ("ts_listen", "is_listened"), form)
        present = opened.table.columns
        fields = {ours: (column, kind) for ours, (column, kind) in FIELDS.items() if column in present}
        sources.append(Source(opened, fields, part))
    return Dataset(tuple(sources))
