"""`listenbrainz`: exports and dumps of ListenBrainz, a JSON object for each listen."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import ibis
from ibis.expr.types import Column

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import ID, Fields, is_empty
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.files import File, find_files
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import either, has_columns
from recsys.data.readers.tables import Opened, open_tables
from recsys.data.readers.times import time_in

FILES = ("*.jsonl", "*.ndjson", "*.json", "*.listens")
USER = "user.json"  # in a person's own export: it has their name
NO_LISTENS = (USER, "feedback.jsonl", "pinned_recording.jsonl")
TIMES = ("listened_at", "timestamp")  # exports have the first, dumps the second
METADATA = (
    "STRUCT(artist_name VARCHAR, track_name VARCHAR, release_name VARCHAR, recording_msid VARCHAR, "
    "mbid_mapping STRUCT(recording_mbid VARCHAR))"
)

is_listenbrainz = either(*(has_columns("track_metadata", time) for time in TIMES))


def read_listenbrainz(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open the files. A song is a recording's MBID where it is known, else its MSID. Every row counts as listened.

    The rows of a person's own export have no `user_name`: it is in the file `user.json` beside the folder of listens.
    """
    found = find_files(engine, path, FILES)
    about_users = [file for file in found if file.inside.name == USER]
    listens = [file for file in found if file.inside.name not in NO_LISTENS]
    if not listens:
        names = ", ".join(file.name for file in found)
        raise DataError(f"DATA_PATH: expected files of listens in {path.name}, got {names}; give the export's folder")
    optional, types = ("user_name", *TIMES, "recording_msid"), {"track_metadata": METADATA}
    tables = open_tables(engine, listens, ("track_metadata",), optional, types=types)
    people = {file.inside.parent: _user_name(file) for file in about_users}
    engine.decide("Songs are MusicBrainz's recordings (MBID) where they are known, else ListenBrainz's own (MSID).")
    sources = tuple(_source(each, people, options) for each in tables)
    return Dataset(sources, more_files=tuple(about_users), named_after_people=True)


def _user_name(file: File) -> str:
    """Return the name in `user.json`."""
    with file.stream() as stream:
        text = stream.read()
    try:
        return str(json.loads(text)["username"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file.name}: expected JSON with the name `username`, got {text[:60]!r}") from error


def _source(opened: Opened, people: Mapping[PurePosixPath, str], options: Options) -> Source:
    table, columns = opened.table, opened.table.columns
    track = table.track_metadata
    time = next((name for name in TIMES if name in columns), "")
    if not time:
        name, arrived = opened.files[0].name, ", ".join(map(repr, columns[:-1]))
        raise DataError(f"{name}: expected listens of ListenBrainz, with listened_at or timestamp, got {arrived}")
    msid: Column = track["recording_msid"]
    if "recording_msid" in columns:
        msid = ibis.coalesce(table.recording_msid, msid)
    mbid = track["mbid_mapping"]["recording_mbid"]
    person = table.user_name if "user_name" in columns else opened.by_file(_people(opened, people))
    opened = opened.with_columns(song=is_empty(mbid).ifelse(msid, mbid), user_name=person)
    fields: Fields = {
        "user_id": ("user_name", ID), "item_id": ("song", ID), "timestamp": (time, time_in(options.time_format)),
    }  # fmt: skip
    names = {"name": "track_name", "artist": "artist_name", "album": "release_name"}
    return Source(opened, fields, items={ours: track[theirs] for ours, theirs in names.items()})


def _people(opened: Opened, people: Mapping[PurePosixPath, str]) -> dict[File, str]:
    """Return whose listens each file has, by the nearest `user.json`."""
    found = {file: next((people[each] for each in file.inside.parents if each in people), "") for file in opened.files}
    if unknown := [file.name for file, name in found.items() if not name]:
        raise DataError(
            f"{unknown[0]}: expected user_name in each listen, or {USER} beside the folder of listens, got neither; "
            "give the whole export, as a folder or a zip"
        )
    return found
