"""Which listens go to train, which to validation and which to test: the ways to split."""

import ibis
from ibis.expr.types import Scalar, Table

from recsys.data.errors import DataError
from recsys.data.readers.dataset import add_columns

TRAIN, VALIDATION, TEST = 0, 1, 2  # values of the column `part`
# way to split → the column that it needs; "auto" takes the first whose column is there
COLUMN_NEEDED = {"given": "part", "by-time": "timestamp", "random": "user_id", "by-user-last": "timestamp"}


def choose_split(split: str, listens: Table) -> str:
    """Return the way to split, with "auto" resolved. Raises DataError if the listens lack the column that it needs."""
    if split == "auto":
        return next(name for name, column in COLUMN_NEEDED.items() if column in listens.columns)
    if COLUMN_NEEDED[split] not in listens.columns:
        raise DataError(
            f"SPLIT: expected a split that these data allow, got {split!r}, which needs the column "
            f"{COLUMN_NEEDED[split]!r}; SPLIT=auto chooses one that works"
        )
    return split


def assign_parts(listens: Table, split: str, validation_fraction: float, test_fraction: float) -> Table:
    """Return the listens with the column `part`: 0 for train, 1 for validation, 2 for test; a given one is kept.

    Their column `order`, a hash of each row, decides where times are equal, and which rows are drawn at random.
    """
    if split == "by-time":
        return _by_time(listens, validation_fraction, test_fraction)
    if split == "by-user-last":
        return _by_user_last(listens, validation_fraction, test_fraction)
    if split == "random":
        return _at_random(listens, validation_fraction, test_fraction)
    return listens


def _by_time(listens: Table, validation_fraction: float, test_fraction: float) -> Table:
    """Cut at two moments for all users. All listens of one moment are in one part."""
    moments = listens.group_by("timestamp").agg(n=listens.count())
    moments = moments.mutate(n_until=moments.n.sum().over(order_by="timestamp", rows=(None, 0)))
    n_listens, late = count_rows(listens), ibis.literal(0, "int8")
    for later_fraction in (validation_fraction + test_fraction, test_fraction):
        cut = moments.filter(moments.n_until > n_listens * (1 - later_fraction)).timestamp.min().to_pyarrow().as_py()
        late += (listens.timestamp >= cut).cast("int8")
    return listens.mutate(part=late.cast("int8"))


def _by_user_last(listens: Table, validation_fraction: float, test_fraction: float) -> Table:
    """Put the last listens of each user into test, and those before them into validation, if the user has 3 or more."""
    latest_first = ibis.window(group_by="user_id", order_by=[ibis.desc("timestamp"), ibis.desc("order")])
    ranked = listens.mutate(rank=ibis.row_number().over(latest_first), n=listens.count().over(group_by="user_id"))
    n_test, n_validation = (
        ibis.greatest(1, (ranked.n * fraction + 0.5).floor()) for fraction in (test_fraction, validation_fraction)
    )
    part = (ranked["rank"] < n_test + n_validation).ifelse(VALIDATION, TRAIN)
    part = (ranked["rank"] < n_test).ifelse(TEST, part)
    return ranked.mutate(part=(ranked.n >= 3).ifelse(part, TRAIN).cast("int8")).drop("rank", "n")


def _at_random(listens: Table, validation_fraction: float, test_fraction: float) -> Table:
    """Draw validation and test by a hash, but leave a row of each user and song in train."""
    for column in ("user_id", "item_id"):
        highest = listens.group_by(column).agg(listens.order.max().name(f"highest_of_{column}"))
        listens = add_columns(listens, highest, column)
    may_move = (listens.order < listens.highest_of_user_id) & (listens.order < listens.highest_of_item_id)
    to_test = listens.order < hash_bound(test_fraction)
    to_either = listens.order < hash_bound(test_fraction + validation_fraction)
    part = (may_move & to_either).ifelse(to_test.ifelse(TEST, VALIDATION), TRAIN).cast("int8")
    return listens.mutate(part=part).drop("highest_of_user_id", "highest_of_item_id")


def hash_bound(fraction: float) -> Scalar:
    """Return the number below which this fraction of the hashes of 64 bits lies."""
    return ibis.literal(int(fraction * 2**32) << 32, "uint64")


def count_rows(table: Table) -> int:
    """Run the query and return how many rows it has."""
    return table.count().to_pyarrow().as_py()
