"""`lastfm`: the HetRec 2011 data set, a row for each user and artist with a number of plays, without times."""

from pathlib import Path

from recsys.data.engine import Engine
from recsys.data.readers.columns import WHOLE_NUMBER, Fields, more_than
from recsys.data.readers.dataset import Dataset, Source, open_sources
from recsys.data.readers.dialect import Form
from recsys.data.readers.files import find_one
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import has_files
from recsys.data.readers.tables import open_tables

PLAYS: Fields = {
    "user_id": ("userID", WHOLE_NUMBER),
    "item_id": ("artistID", WHOLE_NUMBER),
    "listened": ("weight", more_than(0, "a number of plays")),
}
is_lastfm = has_files("user_artists.dat", "artists.dat")


def read_lastfm(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open `user_artists.dat` and the names in `artists.dat`. An artist stands for a song."""
    form = Form("\t", quote="", encoding=options.encoding)  # a quotation mark is part of a name
    plays, artists = (find_one(engine, path, name) for name in ("user_artists.dat", "artists.dat"))
    sources = open_sources(engine, [plays], PLAYS, form=form)
    (opened,) = open_tables(engine, [artists], ("id", "name"), form=form)
    names = Source(opened, {"item_id": ("id", WHOLE_NUMBER)}, items={"name": opened.table["name"]})
    return Dataset(sources, names)
