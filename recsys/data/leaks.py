"""Take events out of a part that an earlier part has too: a model that was trained on them knows the answer."""

from ibis.expr.types import Table

from recsys.data.engine import Engine
from recsys.data.oddities import has_only_days
from recsys.data.partition import count_rows
from recsys.data.steps import Account


def drop_leaks(engine: Engine, listens: Table, account: Account) -> Table:
    """Return the listens without those whose user, song and time an earlier part has, and count them as a step.

    Without times user and song are an event if no part has a pair twice. With repeats, or with dates alone, no event
    can be told from another, and none is dropped.
    """
    keys = [column for column in ("user_id", "item_id", "timestamp") if column in listens.columns]
    if "timestamp" in keys:
        is_unknown = has_only_days(listens)
    else:
        is_unknown = count_rows(listens) > count_rows(listens.select(*keys, "part").distinct())
    if is_unknown:
        return listens
    earliest = listens.group_by(keys).agg(part=listens.part.min())
    kept = engine.store(listens.semi_join(earliest, [*keys, "part"]))
    n_leaks = account.n_left - count_rows(kept)
    account.add("leaks", in_an_earlier_part_too=n_leaks)
    engine.warn("Listens that an earlier part has too. ON_LEAK=drop took them out of the later part", n_leaks)
    return kept
