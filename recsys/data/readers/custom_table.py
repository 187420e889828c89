"""`csv`: any CSV or Parquet file with a row for each listen, whose columns the user names."""

from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.columns import FLAG, ID, TIME, Fields, more_than
from recsys.data.readers.files import DataError, Dataset, one_row_per_id, open_source, open_table

HINT = "if it has another name, set USER_COLUMN, ITEM_COLUMN, TIME_COLUMN, LISTENED_COLUMN or SECONDS_COLUMN"


def read_csv(
    connection: BaseBackend, path: Path, user_column: str = "", item_column: str = "", time_column: str = "",
    listened_column: str = "", seconds_column: str = "",
) -> Dataset:  # fmt: skip
    """Open the file. Ids of a CSV file stay text, as they are written.

    A column without a name here is looked for as `user_id`, `item_id`, `timestamp` or `listened`; the last two may be
    missing. With `seconds_column`, rows of more than 30 seconds count as listened; with neither, all rows do. The
    columns `name`, `artist` and `album` describe the songs, if they are there.
    """
    if listened_column and seconds_column:
        given = f"{listened_column!r} and {seconds_column!r}"
        raise DataError(f"expected LISTENED_COLUMN or SECONDS_COLUMN, got both, {given}; leave one of them empty")
    present = open_table(connection, path).columns
    fields: Fields = {"user_id": (user_column or "user_id", ID), "item_id": (item_column or "item_id", ID)}
    if time_column or "timestamp" in present:
        fields["timestamp"] = time_column or "timestamp", TIME
    if seconds_column:
        fields["listened"] = seconds_column, more_than(30, "a number of seconds")
    elif listened_column or "listened" in present:
        fields["listened"] = listened_column or "listened", FLAG
    source = open_source(connection, path, fields, hint=HINT)
    names = {name: source.table[name].cast("string") for name in ("name", "artist", "album") if name in present}
    return Dataset((source,), one_row_per_id(source, "item_id", **names) if names else None)
