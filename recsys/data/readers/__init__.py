"""A data set's name → its listens: one reader for each kind of file."""

import difflib
from collections.abc import Callable
from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.base import DataError, Dataset
from recsys.data.readers.deezer import read_deezer_splits, read_dsg17, read_sample
from recsys.data.readers.lastfm import read_lastfm
from recsys.data.readers.lightgcn import read_lightgcn
from recsys.data.readers.movielens import read_movielens
from recsys.data.readers.music30 import read_30music
from recsys.data.readers.table import read_csv

READERS: dict[str, Callable[..., Dataset]] = {
    "sample": read_sample, "dsg17": read_dsg17, "deezer-splits": read_deezer_splits, "30music": read_30music, "lastfm": read_lastfm,
    "movielens": read_movielens, "lightgcn": read_lightgcn, "csv": read_csv,
}  # fmt: skip


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
