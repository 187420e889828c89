"""Last.fm."""

from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.base import Dataset, Fields
from recsys.data.readers.files import describe, open_source

PLAYS: Fields = {"user_id": ("userID", "whole"), "item_id": ("artistID", "whole"), "listened": ("weight", "over 0")}
def read_lastfm(connection: BaseBackend, folder: Path) -> Dataset:
    """HetRec 2011: a row a user and artist with the number of plays and no time; the artist is the song.

    The names are UTF-8 (latin-1 holds for tags.dat alone), with quotation marks that quote nothing.
    """
    plays = open_source(connection, folder / "user_artists.dat", PLAYS, delim="\t", quote="")
    artists = open_source(connection, folder / "artists.dat", {"item_id": ("id", "whole")}, ["name"], delim="\t", quote="")
    items = describe(artists, "item_id", name=artists.table["name"])
    return Dataset("lastfm", (plays,), items, more_files=(artists.path,))
