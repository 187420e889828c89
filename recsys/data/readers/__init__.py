"""The readers: one for each data format, found by the data set's name.

To add a format:

1. Write a new file in this folder, with `music30.py` as a model. Its reader gets a DuckDB connection and the path of
   the data, and returns a `Dataset`. `columns.py` has the kinds of column, `files.py` opens the files.
2. Add one line to READERS.
"""

import difflib
from collections.abc import Callable
from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.custom_table import read_csv
from recsys.data.readers.deezer import read_deezer_splits, read_dsg17
from recsys.data.readers.files import DataError, Dataset
from recsys.data.readers.lastfm import read_lastfm
from recsys.data.readers.lightgcn import read_lightgcn
from recsys.data.readers.movielens import read_movielens
from recsys.data.readers.music30 import read_30music
from recsys.data.readers.sample import read_sample

READERS: dict[str, Callable[..., Dataset]] = {
    "sample": read_sample,
    "dsg17": read_dsg17,
    "deezer-splits": read_deezer_splits,
    "30music": read_30music,
    "lastfm": read_lastfm,
    "movielens": read_movielens,
    "lightgcn": read_lightgcn,
    "csv": read_csv,
}
GENERATED = ("sample", "movielens")  # need no path: their readers write the files that they open


def open_dataset(
    name: str, path: Path | str | None = None, *, connection: BaseBackend, raw_folder: Path, **columns: str
) -> Dataset:
    """Open a data set by its name, a key of READERS. Only headers are read yet.

    `path` is its file or folder. `sample` and `movielens` need none: their files are written to `raw_folder`. `columns`
    are those of `read_csv`. Raises DataError for an unknown name, a missing file or column, or another format.
    """
    if name not in READERS:
        close = "".join(f"; did you mean {each!r}?" for each in difflib.get_close_matches(name, READERS, 1))
        raise DataError(f"DATASET: expected one of {', '.join(READERS)}, got {name!r}{close}")
    if name in GENERATED:
        return READERS[name](connection, raw_folder)
    if not path:
        raise DataError(f"DATA_PATH: expected the file or folder of the data set {name!r}, got nothing")
    return READERS[name](connection, Path(path), **(columns if name == "csv" else {}))
