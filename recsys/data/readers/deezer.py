"""Deezer's logs: `dsg17`, the raw log, and `deezer-splits`, the described system's train, validation and test files."""

import dataclasses
from pathlib import Path

from recsys.data.engine import Engine
from recsys.data.readers.columns import FLAG, ID, WHOLE_NUMBER, Fields, Kind
from recsys.data.readers.dataset import Dataset, Source, open_sources
from recsys.data.readers.dialect import Form, as_utf8, first_text
from recsys.data.readers.files import File, find_files, find_one, find_optional
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
LISTS = (("item", "media_ids.csv", "media_id", WHOLE_NUMBER), ("user", "added_users.csv", "user_id", ID))
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
    """Open the three files and keep their split. Times and skips are read where the files have them.

    The author's lists of all songs, `media_ids.csv`, and of all users, `added_users.csv`, are read where they are
    there: his negatives are drawn from his list of songs.
    """
    form = Form(options.separator, encoding=options.encoding)
    sources = []
    for part, name in enumerate(PARTS):
        file = find_one(engine, path, name)
        (opened,) = open_tables(engine, [file], ("user_id", "media_id"), ("ts_listen", "is_listened"), form)
        present = opened.table.columns
        fields = {ours: (column, kind) for ours, (column, kind) in FIELDS.items() if column in present}
        sources.append(Source(opened, fields, part))
    lists = {
        what: _read_list(engine, file, what, column, kind, options)
        for what, name, column, kind in LISTS
        for file in find_optional(engine, path, name)
    }
    return Dataset(tuple(sources), lists=lists)


def _read_list(engine: Engine, file: File, what: str, column: str, kind: Kind, options: Options) -> Source:
    """Open a list of ids: a file with the column of this name or, if it has one column only, that one."""
    header, *_ = [*first_text(as_utf8(engine, file, options.encoding)).splitlines(), ""]
    names = [name.strip('" ') for name in header.split(",")]
    if column not in names and len(names) == 1:
        form = Form(",", names=(column,) if names[0].isdigit() and names[0] != "0" else (), encoding=options.encoding)
        column = column if form.names else names[0]  # a list that pandas wrote may have the name 0
    else:
        form = Form(encoding=options.encoding)
    (opened,) = open_tables(engine, [file], [column], form=form)
    return Source(opened, {f"{what}_id": (column, kind)})
