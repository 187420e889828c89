"""`sample`: an invented log in the format of `dsg17`, with invented names of songs, artists and albums."""

import hashlib
from pathlib import Path

from ibis import BaseBackend

from recsys.data import synthetic
from recsys.data.readers.deezer import read_dsg17
from recsys.data.readers.files import Dataset, add_columns, write_once


def read_sample(connection: BaseBackend, folder: Path) -> Dataset:
    """Write the log into the folder, unless this version of `synthetic` wrote it before, and open it."""
    version = hashlib.sha256(Path(synthetic.__file__).read_bytes()).hexdigest()[:8]
    size = synthetic.SAMPLE
    log = write_once(folder / f"sample-{version}.parquet", lambda file: synthetic.write(file, **size))
    songs = synthetic.songs(size["n_items"], size["seed"]).rename(columns={"media_id": "item_id", "title": "name"})
    names = write_once(folder / f"sample-{version}-songs.parquet", lambda file: songs.to_parquet(file, index=False))
    raw = read_dsg17(connection, log)
    items = add_columns(connection.read_parquet(names), raw.items, "item_id")
    return Dataset(raw.sources, items, raw.users, more_files=(names,))
