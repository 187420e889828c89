"""30Music."""

from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.base import Dataset, Fields
from recsys.data.readers.files import open_source

SESSIONS: Fields = {"user_id": ("user_id", "whole"), "item_id": ("song_id", "whole"),
                    "timestamp": ("ts", "moment"), "listened": ("playtime", "from 30")}  # fmt: skip


def read_30music(connection: BaseBackend, path: Path) -> Dataset:
    """`sessions.parquet`: a row a listen; `playtime` of 30 seconds or more is listened."""
    return Dataset("30music", (open_source(connection, path, SESSIONS),))
