"""`spotify`: the JSON files that Spotify hands out, the extended streaming history or that of one year."""

import functools
from collections.abc import Mapping
from pathlib import Path

import ibis
from ibis.expr.types import Column

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import ID, Fields, is_empty, join_names, more_than
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.files import File, find_files
from recsys.data.readers.options import Options
from recsys.data.readers.people import folders_of, name_places
from recsys.data.readers.recognition import either, has_columns
from recsys.data.readers.tables import Opened, open_tables
from recsys.data.readers.usual_times import usually

FILES = (
    "Streaming_History_Audio*.json", "endsong*.json", "StreamingHistory_music*.json", "StreamingHistory[0-9]*.json"
)  # fmt: skip
FOLDERS = ("my_spotify_data", "mydata", "spotify account data", "spotify extended streaming history")  # Spotify's own
TRACK, ARTIST, ALBUM = (f"master_metadata_{name}" for name in ("track_name", "album_artist_name", "album_album_name"))
EXTENDED = ("ts", "ms_played", TRACK, ARTIST, "spotify_track_uri")
ONE_YEAR = ("endTime", "msPlayed", "trackName", "artistName")
SPOKEN = ("episode_name", "spotify_episode_uri", "audiobook_title", "audiobook_uri")
LISTENED = more_than(30_000, "a number of milliseconds")

is_spotify = either(has_columns(*EXTENDED), has_columns(*ONE_YEAR))


def read_spotify(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the files of one person or, each with a folder or a zip, of several. More than 30 s count as listened.

    A song is the URI of a track in the extended history, and artist and track in that of one year. Podcasts, audiobooks
    and plays without a track are left out. Files without `username` are of the person whom their folder is named after.
    """
    files = find_files(engine, path, FILES)
    tables = open_tables(engine, files, optional=(*EXTENDED, *ONE_YEAR, "username", ALBUM, *SPOKEN))
    is_extended = _is_extended(tables)
    places = {file: _folder_of_person(file, path) for file in files}
    unnamed = [each for each in tables if "username" not in each.table.columns]
    people = name_places({file: places[file] for each in unnamed for file in each.files})
    _check_people([each for each in tables if each not in unnamed], people, places)
    if people:
        n = len(set(people.values()))
        engine.decide(f"Files without a username are of one person for each folder or zip: {n:,} of them.")
    if not is_extended:
        engine.decide("Songs are pairs of artist and track, as the history of one year has no ids.")
    read = _extended if is_extended else _one_year
    return Dataset(tuple(read(each, people, options) for each in tables), named_after_people=True)


def _is_extended(tables: list[Opened]) -> bool:
    """Return whether the history is the extended one. Raises DataError for both at once, and for other files."""
    found: dict[bool, str] = {}
    for each in tables:
        name, columns = each.files[0].name, each.table.columns[:-1]
        fits = [form for form, wanted in ((True, EXTENDED), (False, ONE_YEAR)) if set(wanted) <= set(columns)]
        if not fits:
            expected = f"{', '.join(EXTENDED)}, or {', '.join(ONE_YEAR)}"
            message = f"{name}: expected Spotify's {expected}, got {', '.join(map(repr, columns))}"
            raise DataError(message, inspect_helps=True)
        found[fits[0]] = name
    if len(found) > 1:
        raise DataError(
            f"expected one form of Spotify's history, got the extended one in {found[True]} and that of one year in "
            f"{found[False]}: they have the same listens under other ids; move one form to another folder, or name the "
            "files of the other as a pattern, such as DATA_PATH='FOLDER/**/Streaming_History_Audio_*.json'"
        )
    return next(iter(found))


def _folder_of_person(file: File, path: Path) -> tuple[str, ...]:
    """Return the folders of a file, up to the one that is named after a person."""
    folders = folders_of(file, path)
    while len(folders) > 2 and folders[-1].lower() in FOLDERS:
        folders = folders[:-1]
    return folders


def _check_people(named: list[Opened], people: Mapping[File, str], places: Mapping[File, tuple[str, ...]]) -> None:
    """Raise DataError if a folder has files with and without a username: one person would be two."""
    unnamed = {places[file]: file for file in people}
    for file in (file for each in named for file in each.files):
        if other := unnamed.get(places[file]):
            raise DataError(
                f"expected one export of a person in a folder, got {file.name} with a username and {other.name} "
                "without one; keep the files of one export, or give each person a folder"
            )


def _extended(opened: Opened, people: Mapping[File, str], options: Options) -> Source:
    table = opened.table
    uri, no_track = table.spotify_track_uri, is_empty(table[TRACK])
    has_spoken = (~is_empty(table[name]) for name in SPOKEN if name in table.columns)
    spoken = functools.reduce(lambda a, b: a | b, has_spoken, ibis.literal(False))
    song = is_empty(uri).ifelse(join_names(table, ARTIST, TRACK), uri)
    opened = opened.with_columns(song=song, person=_person(opened, people))
    names = {"name": TRACK, "artist": ARTIST, "album": ALBUM}
    items = {ours: table[name] for ours, name in names.items() if name in table.columns}
    left_out = {"podcasts and audiobooks": no_track & spoken, "plays without a track": no_track}
    return Source(opened, _fields("ts", "%Y-%m-%dT%H:%M:%SZ", "ms_played", options), items=items, left_out=left_out)


def _one_year(opened: Opened, people: Mapping[File, str], options: Options) -> Source:
    table = opened.table
    opened = opened.with_columns(song=join_names(table, "artistName", "trackName"), person=_person(opened, people))
    items = {"name": table.trackName, "artist": table.artistName}
    left_out = {"plays without a track": is_empty(table.trackName)}
    return Source(opened, _fields("endTime", "%Y-%m-%d %H:%M", "msPlayed", options), items=items, left_out=left_out)


def _person(opened: Opened, people: Mapping[File, str]) -> Column:
    return opened.table.username if "username" in opened.table.columns else opened.by_file(people)


def _fields(time: str, usual: str, milliseconds: str, options: Options) -> Fields:
    return {
        "user_id": ("person", ID), "item_id": ("song", ID), "timestamp": (time, usually(usual, options.time_format)),
        "listened": (milliseconds, LISTENED),
    }  # fmt: skip
