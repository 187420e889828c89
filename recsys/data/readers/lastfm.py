"""`lastfm`: the HetRec 2011 data set, a row for each user and artist with a number of plays, without times."""

from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.columns import WHOLE_NUMBER, Fields, more_than
from recsys.data.readers.files import Dataset, one_row_per_id, open_source

PLAYS: Fields = {
    "user_id": ("userID", WHOLE_NUMBER),
    "item_id": ("artistID", WHOLE_NUMBER),
    "listened": ("weight", more_than(0, "a number of plays")),
}
ARTISTS: Fields = {"item_id": ("id", WHOLE_NUMBER)}
FORM = {"separator": "\t", "quote": ""}  # a quotation mark is part of a name


def read_lastfm(connection: BaseBackend, folder: Path) -> Dataset:
    """Open `user_artists.dat` and the names in `artists.dat`, both in UTF-8. An artist stands for a song."""
    plays = open_source(connection, folder / "user_artists.dat", PLAYS, **FORM)
    artists = open_source(connection, folder / "artists.dat", ARTISTS, ["name"], **FORM)
    items = one_row_per_id(artists, "item_id", name=artists.table["name"])
    return Dataset((plays,), items, more_files=(artists.path,))
