"""Any table of listens, its columns named by parameter."""

from pathlib import Path

from ibis import BaseBackend

from recsys.data.readers.base import DataError, Dataset
from recsys.data.readers.files import describe, open_source, open_table


def read_csv(connection: BaseBackend, path: Path, user_column: str = "", item_column: str = "", time_column: str = "",
         listened_column: str = "", seconds_column: str = "") -> Dataset:  # fmt: skip
    """Any CSV or Parquet file; ids of a CSV stay the text they are; it may have the columns `name, artist, album`.

    An unnamed column is `user_id`, `item_id`, `timestamp` or `listened`, the last two if they are there. Without
    `listened`, a row counts if it says more than 30 in `seconds_column`, or always.
    """
    if listened_column and seconds_column:
        arrived = f"both, {listened_column!r} and {seconds_column!r}"
        raise DataError(f"expected LISTENED_COLUMN or SECONDS_COLUMN, got {arrived}")
    there = open_table(connection, path, ()).columns
    fields = {"user_id": (user_column or "user_id", "id"), "item_id": (item_column or "item_id", "id")}
    for ours, column, kind in (("timestamp", time_column, "moment"), ("listened", listened_column, "flag")):
        if column or ours in there:
            fields[ours] = column or ours, kind
    if seconds_column:
        fields["listened"] = seconds_column, "over 30"
    source = open_source(connection, path, fields)
    names = {name: source.table[name].cast("string") for name in ("name", "artist", "album") if name in there}
    return Dataset("csv", (source,), describe(source, "item_id", **names) if names else None)
