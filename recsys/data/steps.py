"""From all rows to the positives that are kept: step by step, with an account of every row that is dropped."""

from typing import Any

import ibis
from ibis.expr.types import Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.listens import EMPTY, OUTSIDE, hash_number, join_values
from recsys.data.oddities import has_only_days, warn_of_shifted_copy
from recsys.data.partition import count_rows, hash_bound
from recsys.data.readers.columns import epoch_us
from recsys.data.reading import Read

STEPS = {EMPTY: "empty ids", OUTSIDE: "times"}  # rows that are no listens for another reason: "other rows"
RARE = {"user_id": "of_rare_users", "item_id": "of_rare_songs"}


@ibis.udf.agg.builtin
def min_by(value: ibis.dtype("uint64"), key: ibis.dtype("timestamp")) -> ibis.dtype("uint64"):  # type: ignore
    """DuckDB's and Spark's function: the value of the row with the lowest key.

    Unlike Ibis' `argmin`, and the lowest `struct`, it needs a fixed number of bytes for each group, so that DuckDB can
    write the groups to disk.
    """


class Account:
    """The steps so far: rows in, rows dropped by reason, rows out."""

    def __init__(self, n_rows: int):
        self.steps: list[dict[str, Any]] = [{"step": "read", "rows_in": n_rows, "dropped": {}, "rows_out": n_rows}]

    @property
    def n_left(self) -> int:
        """The rows that are left after the last step."""
        return self.steps[-1]["rows_out"]

    def add(self, step: str, **dropped: int) -> None:
        """Add a step. Raises DataError if no row is left."""
        reasons = {reason.replace("_", " "): n for reason, n in dropped.items()}
        n_out = self.n_left - sum(dropped.values())
        self.steps.append({"step": step, "rows_in": self.n_left, "dropped": reasons, "rows_out": n_out})
        if not n_out:
            n_read = self.steps[0]["rows_in"]
            raise DataError(
                f"expected rows that count as listened, got none: the step {step!r} dropped the last of {n_read:,} "
                f"rows ({reasons})"
            )


def select_positives(engine: Engine, read: Read, parameters: dict[str, Any]) -> tuple[Table, Account]:
    """Return the positives to keep, and the account of each step."""
    account = Account(read.n_rows)
    for step in ("other rows", *STEPS.values()):
        if dropped := {why: n for why, n in read.left_out.items() if STEPS.get(why, "other rows") == step}:
            account.add(step, **dropped)
    listens = read.listens
    if parameters["positives"] == "listened":
        listens = listens.filter(listens.listened)
    account.add("positives", skipped=account.n_left - count_rows(listens))
    listens = listens.drop("listened")
    if "timestamp" in listens.columns:
        listens = _drop_repeated_events(engine, listens, account, parameters["repeated_events"])
    if parameters["user_fraction"] < 1:
        users = read.names.get("user", listens.select(key="user_id", id="user_id").distinct())
        hashes = hash_number(join_values(parameters["seed"], users.id))
        drawn = users.filter(hashes < hash_bound(parameters["user_fraction"]))
        listens = engine.store(listens.semi_join(drawn, listens.user_id == drawn.key))
    account.add("users", of_users_not_drawn=account.n_left - count_rows(listens))
    if parameters["repeats"] == "first":
        listens = engine.store(_first_listens(listens))
    account.add("repeats", later_listens_of_a_pair=account.n_left - count_rows(listens))
    listens, dropped = _drop_rare(engine, listens, parameters["min_user_listens"], parameters["min_item_listens"])
    account.add("minimal counts", **dropped)
    return listens, account


def _drop_repeated_events(engine: Engine, listens: Table, account: Account, repeated_events: str) -> Table:
    """Return the listens without those that have user, song and second in common with another, if that is wanted."""
    if has_only_days(listens):
        engine.decide("No time has a time of day, so repeated listens of a day are kept: their seconds are not known.")
        return listens
    if repeated_events == "drop":
        listens = engine.store(_one_of_each_event(listens))
        if n_repeated := account.n_left - count_rows(listens):
            account.add("repeated events", same_user_song_and_second=n_repeated)
    warn_of_shifted_copy(engine, listens)
    return listens


def _one_of_each_event(listens: Table) -> Table:
    """Return the first of the rows that have user, song, second and part in common."""
    keys = [column for column in ("part", "user_id", "item_id") if column in listens.columns]
    rows = listens.mutate(second=epoch_us(listens.timestamp) // 1_000_000)
    first = rows.group_by([*keys, "second"]).agg(order=_order_of_first(rows), timestamp=rows.timestamp.min())
    return first.drop("second")


def _first_listens(listens: Table) -> Table:
    """Return one row for each user and song: the earliest, in the earliest part."""
    pair = ["user_id", "item_id"]
    if "part" in listens.columns:
        earliest = listens.group_by(pair).agg(part=listens.part.min())
        listens = listens.semi_join(earliest, [*pair, "part"])
    lowest = {name: listens[name].min() for name in ("part", "timestamp", "place") if name in listens.columns}
    return listens.group_by(pair).agg(order=_order_of_first(listens), **lowest)


def _order_of_first(listens: Table) -> ibis.Scalar:
    """Return `order` of the earliest row of a group with one user and song; rows of one time have the same one."""
    return min_by(listens.order, listens.timestamp) if "timestamp" in listens.columns else listens.order.min()


def _drop_rare(engine: Engine, listens: Table, min_user: int, min_item: int) -> tuple[Table, dict[str, int]]:
    """Drop users and songs with too few listens until none is left, and return how many listens went with them.

    Only counts are stored on the way, as the listens may be many.
    """
    least = {column: n for column, n in (("user_id", min_user), ("item_id", min_item)) if n > 1}
    dropped, frequent, is_over = dict.fromkeys(RARE.values(), 0), dict[str, Table](), not least
    while not is_over:
        is_over = True
        for column, n in least.items():
            rows = _of_frequent(frequent, listens)
            sizes = engine.store(rows.group_by(column).agg(n=rows.count()))
            n_rare = sizes.filter(sizes.n < n).n.sum().to_pyarrow().as_py() or 0
            frequent[column], is_over = sizes.filter(sizes.n >= n), is_over and not n_rare
            dropped[RARE[column]] += n_rare
    return engine.store(_of_frequent(frequent, listens)) if least else listens, dropped


def _of_frequent(frequent: dict[str, Table], listens: Table) -> Table:
    """Return the listens of the users and songs in `frequent`, which has them by column."""
    for column, ids in frequent.items():
        listens = listens.semi_join(ids, column)
    return listens
