"""Which parameters would read a table with DATASET=csv, by the names of its columns. For `make inspect` alone.

Nothing is read by these guesses: they are shown to the user, who types them or others.
"""

import re
from collections.abc import Iterable

from recsys.data.readers.dialect import SEPARATORS
from recsys.data.readers.glances import Glance

UNKNOWN = "?"  # the value of a parameter that the user has to find
NAMES = {  # names of columns in lower case, letters and digits only; the first that a table has is taken
    "user": ("userid", "user", "uid", "username", "listenerid", "listener", "customerid", "accountid", "account",
             "memberid", "member", "person", "who"),
    "item": ("itemid", "item", "trackid", "songid", "mediaid", "spotifytrackuri", "trackuri", "recordingmbid",
             "recordingmsid", "isrc", "sid", "tid", "movieid", "videoid"),
    "title": ("track", "trackname", "song", "songname", "title", "tracktitle", "songtitle", "name"),
    "artist": ("artist", "artistname", "artists", "artname"),
    "time": ("timestamp", "time", "ts", "datetime", "playedat", "listenedat", "utctime", "uts", "date", "when",
             "endtime", "createdat", "unixtime"),
    "seconds": ("seconds", "secondsplayed", "playedseconds", "listenedseconds", "playtime", "playedtime"),
    "milliseconds": ("msplayed", "playedms", "milliseconds", "millisecondsplayed", "playtimems"),
    "listened": ("listened", "islistened", "completed"),
    "rating": ("rating", "stars"),
}  # fmt: skip


def guess_parameters(table: Glance) -> dict[str, str]:
    """Return the parameters that would read this table, without those that the reader finds by itself."""
    parameters = {}
    if table.separator not in ("", *SEPARATORS):
        parameters["SEPARATOR"] = table.separator
    if any("\ufffd" in line for line in table.lines):
        parameters["ENCODING"] = "latin-1"
    if table.kind == "text" and not table.has_header:
        parameters["COLUMNS"] = " ".join([UNKNOWN] * len(table.columns))
        return parameters | {"USER_COLUMN": UNKNOWN, "ITEM_COLUMN": UNKNOWN}
    found = {what: _first(table.columns, names) for what, names in NAMES.items()}
    song = found["item"]
    if not song and found["title"]:
        song = ",".join(filter(None, [found["artist"], found["title"]]))
    columns = {"user": found["user"] or UNKNOWN, "item": song or UNKNOWN, "time": found["time"]}
    columns |= {"name": found["title"], "artist": found["artist"]} if song == found["item"] else {}
    how = next((what for what in ("milliseconds", "seconds", "listened") if found[what]), "")
    if how:
        columns[how] = found[how]
    elif _are_stars(table, found["rating"]):
        parameters["POSITIVE_FROM"] = "4"
    defaults = {"user": "user_id", "item": "item_id", "time": "timestamp", "listened": "listened", "name": "name"}
    named = {what: name for what, name in columns.items() if name and name != defaults.get(what)}
    return {f"{what.upper()}_COLUMN": name for what, name in named.items() if name != "artist"} | parameters


def _first(columns: Iterable[str], names: Iterable[str]) -> str:
    present = {re.sub(r"[\W_]", "", name.casefold()): name for name in columns}
    return next((present[name] for name in names if name in present), "")


def _are_stars(table: Glance, column: str) -> bool:
    """Return whether the values that can be seen are from 0 to 5."""
    if not column:
        return False
    values = [row[table.columns.index(column)] for row in table.rows if len(row) == len(table.columns)]
    return bool(values) and all(re.fullmatch(r"[0-5]([.,]\d+)?", value) for value in values)
