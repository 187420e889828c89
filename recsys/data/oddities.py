"""What looks odd in a log and may be real: counted, and shown as a warning."""

import ibis
from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.partition import count_rows
from recsys.data.readers.columns import epoch_us
from recsys.data.split import UNKNOWN_ORDER

DAY, MINUTE = 86_400_000_000, 60_000_000  # in microseconds
ENOUGH = 2_000_000  # listens, of whole users, that are looked at
COPY = 0.25  # share of listens that are followed by the same listen at one distance; a shifted copy has about a half
HEAVY = 0.05  # share of all listens from which one user is heavy, if it is also over three equal shares
LATE, LONGER = 0.1, 3  # share of the listens that count as the end of a log, and how often longer a gap there is
AROUND = r"^[\s\p{Z}\p{Cf}]+|[\s\p{Z}\p{Cf}]+$"  # what cannot be seen at the ends of an id


@ibis.udf.scalar.builtin
def nfc_normalize(text: str) -> str:  # type: ignore[empty-body]
    """DuckDB's function: the text with each letter and its accents as one character, where there is one."""


def warn_of_alike_ids(engine: Engine, names: Table, what: str) -> None:
    """Warn if ids differ from another only by spaces around them or in how their accents are encoded."""
    plain, word = names.select(plain=_plain(names.id).hexdigest("md5")), {"user": "user", "item": "song"}[what]
    engine.warn(
        f"{word.capitalize()} ids that differ from another one only by spaces around them or by the encoding of their "
        f"accents. Each counts as a {word} of its own", _count_alike(plain),
    )  # fmt: skip


def warn_of_alike_songs(engine: Engine, songs: Table) -> None:
    """Warn if songs have artist and title in common with another song, where the columns `artist` and `name` exist."""
    if {"artist", "name"} <= set(songs.columns):
        both = songs.select(artist=_plain(songs.artist).lower(), title=_plain(songs["name"]).lower())
        both = both.filter((both.artist != "") & (both.title != ""))
        sentence = "Songs that have the same artist and title as another. Each id counts as a song of its own"
        engine.warn(sentence, _count_alike(both))


def _plain(text: Column) -> Column:
    """Return text in one form: composed accents, and nothing invisible around it."""
    return nfc_normalize(nfc_normalize(text).re_replace(AROUND, ""))


def _count_alike(rows: Table) -> int:
    """Return how many rows are equal to another one."""
    groups = rows.group_by(rows.columns).agg(n=ibis._.count())
    return groups.filter(groups.n > 1).n.sum().to_pyarrow().as_py() or 0


def warn_of_heavy_users(engine: Engine, listens: Table) -> None:
    """Warn if single users have a large part of all listens: training and the songs' popularity then follow them."""
    sizes = listens.group_by("user_id").agg(n=ibis._.count())
    total, n_users = count_rows(listens), count_rows(sizes)
    heavy = sizes.filter(sizes.n > max(HEAVY, 3 / max(n_users, 1)) * total)
    found = heavy.agg(users=heavy.count(), n=heavy.n.sum(), most=heavy.n.max()).to_pyarrow().to_pylist()[0]
    if found["users"]:
        who = "one user" if found["users"] == 1 else f"{found['users']} users"
        most = f"{100 * found['most'] / total:.0f} % of all listens"
        engine.warn(f"Listens by {who} of {n_users:,}. The most active has {most}", found["n"])


def warn_of_late_gap(engine: Engine, listens: Table) -> None:
    """Warn if the last tenth of the listens follows or contains a silence of everybody that is unusual for this log.

    It must be over three times as long as any silence before, and over half of the time that the last tenth takes. The
    log is its own scale: a log of one person has silences of days, one of thousands of people has none of an hour.
    """
    moments = listens.select(minute=epoch_us(listens.timestamp) // MINUTE).group_by("minute").agg(n=ibis._.count())
    moments = moments.mutate(
        gap=moments.minute - moments.minute.lag().over(order_by="minute"),
        is_late=moments.n.sum().over(order_by="minute", rows=(None, 0)) > (1 - LATE) * count_rows(listens),
    )  # fmt: skip
    moments = engine.store(moments)
    ends = moments.group_by("is_late").agg(gap=moments.gap.max().fill_null(0), last=moments.minute.max())
    ends = ends.order_by("is_late").to_pyarrow().to_pylist()
    gap, longest = ends[-1]["gap"], ends[0]["gap"]
    if longest and gap > max(LONGER * longest, (ends[-1]["last"] - ends[0]["last"]) / 2):
        start = moments.filter(moments.is_late & (moments.gap == gap)).minute.max()
        n = moments.filter(moments.minute >= start).n.sum().to_pyarrow().as_py()
        engine.warn(
            f"Listens after a gap of {_duration(gap)} near the end of the log, in which nobody listened. No gap "
            f"before is longer than {_duration(longest)}", n,
        )  # fmt: skip


def _duration(minutes: int) -> str:
    return f"{minutes / 1440:.0f} days" if minutes >= 2880 else f"{minutes / 60:.3g} hours"


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
            f"Listens at the same time as another one of the user ({100 * share:.0f} % of neighbouring listens). Their "
            "order is not known, so no model uses it", n_equal,
        )  # fmt: skip
    return round(share, 4)


def some_users(listens: Table, most: int = ENOUGH) -> Table:
    """Return the listens, or about `most` of some users if there are more."""
    every = -(-count_rows(listens) // most)
    return listens if every == 1 else listens.filter(listens.user_id.hash() % every == 0)
