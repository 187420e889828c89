"""`sample`: an invented log in the format of `dsg17`, with invented names of songs, artists and albums."""

import dataclasses
import hashlib
from pathlib import Path

from recsys.data import synthetic
from recsys.data.engine import Engine
from recsys.data.readers.columns import WHOLE_NUMBER
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.deezer import read_dsg17
from recsys.data.readers.files import find_files, write_once
from recsys.data.readers.options import Options
from recsys.data.readers.tables import open_tables


def read_sample(engine: Engine, path: Path | None, options: Options) -> Dataset:
    """Write the log into the folder of generated files, unless this version of `synthetic` did so, and open it."""
    version = hashlib.sha256(Path(synthetic.__file__).read_bytes()).hexdigest()[:8]
    size = synthetic.SAMPLE
    log = write_once(engine.raw / f"sample-{version}.parquet", lambda file: synthetic.write(file, **size))
    songs = synthetic.songs(size["n_items"], size["seed"]).rename(columns={"media_id": "item_id", "title": "name"})
    names = write_once(engine.raw / f"sample-{version}-songs.parquet", lambda file: songs.to_parquet(file, index=False))
    (opened,) = open_tables(engine, find_files(engine, names))
    items = {name: opened.table[name] for name in songs.columns if name != "item_id"}
    raw = read_dsg17(engine, log, options)
    return dataclasses.replace(raw, songs=Source(opened, {"item_id": ("item_id", WHOLE_NUMBER)}, items=items))
