"""`30music`: a row for each listen. (The name of a module cannot begin with a digit.)"""

from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.columns import TIME, WHOLE_NUMBER, Fields, at_least
from recsys.data.readers.files import Dataset, open_source

FIELDS: Fields = {
    "user_id": ("user_id", WHOLE_NUMBER),
    "item_id": ("song_id", WHOLE_NUMBER),
    "timestamp": ("ts", TIME),
    "listened": ("playtime", at_least(30, "a number of seconds")),
}


def read_30music(connection: BaseBackend, path: Path) -> Dataset:
    """Open `sessions.parquet`. A row counts as listened if `playtime` is 30 seconds or more."""
    return Dataset((open_source(connection, path, FIELDS),))
