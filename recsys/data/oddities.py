"""What looks odd in a log and may be real: counted, and shown as a warning."""

import ibis
from ibis.expr.types import Table

from recsys.data.engine import Engine
from recsys.data.partition import count_rows
from recsys.data.readers.columns import epoch_us
from recsys.data.split import UNKNOWN_ORDER

DAY = 86_400_000_000  # in microseconds
ENOUGH = 2_000_000  # listens, of whole users, that are looked at
COPY = 0.25  # share of listens that are followed by the same listen at one distance; a shifted copy has about a half
AROUND = r"^[\s\p{Z}\p{Cf}]+|[\s\p{Z}\p{Cf}]+$"  # what cannot be seen at the ends of an id


@ibis.udf.scalar.builtin
def nfc_normalize(text: str) -> str:  # type: ignore[empty-body]
    """DuckDB's function: the text with each letter and its accents as one character, where there is one."""


def warn_of_alike_ids(engine: Engine, names: Table, what: str) -> None:
    """Warn if ids differ from another only by spaces around them or in how their accents are encoded."""
    plain = nfc_normalize(nfc_normalize(names.id).re_replace(AROUND, "")).hexdigest("md5")
    groups = names.select(plain=plain).group_by("plain").agg(n=ibis._.count())
    n_alike = groups.filter(groups.n > 1).n.sum().to_pyarrow().as_py() or 0
    engine.warn(
        f"{what.capitalize()} ids that differ from another one only by spaces around them or by the encoding of their "
        f"accents. Each counts as a {what} of its own", n_alike,
    )  # fmt: skip


def has_only_days(listens: Table) -> bool:
    """Whether no listen has a time of day: the second of a listen is not known then."""
    return not count_rows(listens.filter(epoch_us(listens.timestamp) % DAY != 0).limit(1))


def warn_of_shifted_copy(engine: Engine, listens: Table) -> None:
    """Warn if many listens occur a second time at one distance, as in a log that was joined with its shifted copy."""
    rows = some_users(listens)
    rows = rows.select("user_id", "item_id", second=epoch_us(rows.timestamp) // 1_000_000)
    before = rows.second.lag().over(group_by=["user_id", "item_id"], order_by="second")
    gaps = rows.mutate(gap=rows.second - before)
    gaps = gaps.filter(gaps.gap > 0).group_by("gap").agg(n=ibis._.count()).order_by(ibis.desc("n"), "gap").limit(1)
    found = gaps.to_pyarrow().to_pylist()
    if found and found[0]["n"] > COPY * count_rows(rows):
        gap, n = found[0]["gap"], found[0]["n"]
        engine.warn(
            f"Listens that follow one of the same user to the same song after exactly {gap:,} s. The log may contain "
            "itself twice, shifted by this time", n,
        )  # fmt: skip


def share_of_equal_times(engine: Engine, listens: Table) -> float:
    """Return which share of the neighbouring listens of a user have equal times; warn if it is large."""
    rows = some_users(listens)
    n, n_users = count_rows(rows), count_rows(rows.select("user_id").distinct())
    n_equal = n - count_rows(rows.select("user_id", "timestamp").distinct())
    share = n_equal / (n - n_users) if n > n_users else 0.0
    if share > UNKNOWN_ORDER:
        engine.warn(
            f"Listens at the same time as another one of the user ({share:.0%} of neighbouring listens). Their order "
            "is not known, so no model uses it", n_equal,
        )  # fmt: skip
    return round(share, 4)


def some_users(listens: Table, most: int = ENOUGH) -> Table:
    """Return the listens, or about `most` of some users if there are more."""
    every = -(-count_rows(listens) // most)
    return listens if every == 1 else listens.filter(listens.user_id.hash() % every == 0)
