"""Validation of a given split: taken out of train in the way in which test was taken out of all listens.

Choices on validation hold for test only if the two look alike. So each user gives the same share of their listens to
validation as to test, and of the same kind: the latest, those after one moment, or any.
"""

import ibis
import numpy as np
import pandas as pd
from ibis.expr.types import Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.oddities import some_users
from recsys.data.partition import TEST, TRAIN, VALIDATION, count_rows
from recsys.data.readers.dataset import add_columns

NEARLY_ALL = 0.9  # share of test listens that are later than the train listens before them
LEAST_LISTENS, N_SHUFFLES = 20, 20
LOOKED_AT = 500_000  # listens, of whole users
ASCENDING = 0.99  # share of steps upwards from which a list counts as sorted by id
WORDS = {
    "random": "any listens of each user", "by-user-last": "the latest listens of each user",
    "by-time": "the listens after one moment",
}  # fmt: skip


def drop_places_of_sorted_lists(engine: Engine, listens: Table) -> Table:
    """Return the listens without `place` if the lists are sorted by song id: their places then tell nothing of time."""
    if "place" not in listens.columns:
        return listens
    before = listens.item_id.lag().over(group_by=["part", "user_id"], order_by="place")
    steps = listens.select(is_up=before < listens.item_id).is_up.mean().to_pyarrow().as_py() or 0.0
    if steps < ASCENDING:
        return listens
    engine.decide(f"The lists are sorted by song id ({steps:.1%} of their steps go up), so they have no order in time.")
    return listens.drop("place")


def carve_validation(engine: Engine, listens: Table, how: str = "") -> Table:
    """Return the listens of a given split, with part of train moved to validation, which is empty before.

    `how` is one of `WORDS`; "" looks at test and chooses. Every user and song of train keeps a listen in train, so that
    as many listens of test can be scored as before. Raises DataError if the order that `how` needs is not known.
    """
    order = next((name for name in ("timestamp", "place") if name in listens.columns), "")
    needed = {"by-time": "timestamp", "by-user-last": order or "timestamp"}.get(how, "user_id")
    if needed not in listens.columns:
        raise DataError(f"VALIDATION: expected 'random', as these data have no {needed}, got {how!r}")
    if how:
        engine.decide(f"Validation is {WORDS[how]} in train, as VALIDATION says.")
    else:
        how, figures = _how_test_was_taken(listens, order)
        engine.decide(f"Test looks like {WORDS[how]}{figures}. Validation is taken out of train in the same way.")
        if how == "random" and order == "place":
            engine.decide("The places in the lists are not used, since test is not later than train.")
            listens, order = listens.drop("place"), ""
    counts = listens.group_by("user_id").agg(
        n_train=(listens.part == TRAIN).sum(), n_test=(listens.part == TEST).sum()
    )  # fmt: skip
    counts = counts.mutate(share=counts.n_test / (counts.n_train + counts.n_test))
    train = add_columns(listens.filter(listens.part == TRAIN), counts, "user_id")
    if how == "by-time":
        moved = train.timestamp >= _moment(train, listens)
    else:
        latest_first = ["order"] if how == "random" else [ibis.desc(order), ibis.desc("order")]
        rank = ibis.row_number().over(group_by="user_id", order_by=latest_first)
        moved = rank < (train.n_train * train.share + 0.5).floor()
    kind = listens.part.type()
    rows = engine.store(train.mutate(part=moved.ifelse(VALIDATION, TRAIN).cast(kind)))
    for column in ("user_id", "item_id"):
        earliest = ibis.struct({name: rows[name] for name in (order, "order") if name}).min()
        kept = rows.group_by(column).agg(n_left=(rows.part == TRAIN).sum(), earliest=earliest.order)
        rows = add_columns(rows, kept, column)
        stays = (rows.n_left == 0) & (rows.order == rows.earliest)
        rows = engine.store(rows.mutate(part=stays.ifelse(TRAIN, rows.part).cast(kind)).drop("n_left", "earliest"))
    return listens.filter(listens.part != TRAIN).union(rows.select(*listens.columns))


def _moment(train: Table, listens: Table) -> ibis.Scalar:
    """Return the moment from which train has the share of listens that test has of all."""
    n_train, n = count_rows(train), count_rows(listens)
    place = int(n_train * (n_train / n))
    later = train.select("timestamp").order_by("timestamp").limit(1, offset=min(place, n_train - 1))
    return ibis.literal(later.to_pyarrow()["timestamp"][0].as_py())


def _how_test_was_taken(listens: Table, order: str) -> tuple[str, str]:
    """Return the key of `WORDS` that test looks like, and the figures that say so."""
    if order == "timestamp":
        return _by_times(listens)
    if order == "place":
        return _by_places(listens)
    return "random", " as far as one can tell, since the listens have no order"


def _by_times(listens: Table) -> tuple[str, str]:
    train, test = listens.filter(listens.part == TRAIN), listens.filter(listens.part == TEST)
    own = train.group_by("user_id").agg(own=train.timestamp.max())
    known = test.inner_join(own, "user_id")
    after_own = (known.timestamp >= known.own).mean().to_pyarrow().as_py() or 0.0
    after_all = (test.timestamp >= train.timestamp.max().as_scalar()).mean().to_pyarrow().as_py()
    figures = f" ({after_own:.1%} of its listens come after the user's in train, {after_all:.1%} after all of train)"
    how = "by-time" if after_all > NEARLY_ALL else "by-user-last" if after_own > NEARLY_ALL else "random"
    return how, figures


def _by_places(listens: Table) -> tuple[str, str]:
    """Compare two figures of test with those of the latest listens of train, and of test in shuffled lists.

    Where test is the latest, songs that stand late in the lists of train have more of their listens in test, and the
    songs' numbers of listens in test vary more than by chance. Test counts as the latest if both figures are above all
    shuffled ones, and nearer to those of the latest listens of train. (The order of Amazon-CDs' lists tells much, but
    test is no more than a little later than train.)
    """
    rows = some_users(listens, LOOKED_AT).select("user_id", "item_id", "part", "place", "order")
    frame = rows.order_by("user_id", "part", "place", "order").to_pandas()
    users, items = (pd.factorize(frame[name])[0] for name in ("user_id", "item_id"))
    in_test = (frame["part"] == TEST).to_numpy()
    if np.bincount(items).max() < LEAST_LISTENS:
        return "random", f", as no song has {LEAST_LISTENS} listens to look closer"
    found, rng = _place_and_variance(users, items, in_test), np.random.default_rng(0)
    shuffled = [  # rows of a user trade their songs
        _place_and_variance(users, items[np.argsort(users + rng.random(len(users)))], in_test)
        for _ in range(N_SHUFFLES)
    ]
    n_test, n = np.bincount(users, in_test), np.bincount(users)
    own, songs = users[~in_test], items[~in_test]
    n_train = n - n_test
    is_last = np.arange(len(own)) >= (n_train.cumsum() - np.floor(n_train * n_test / n + 0.5))[own]
    latest = _place_and_variance(own, songs, is_last)
    highest = np.max(shuffled, axis=0)
    alike = all(one > max(high, (low + last) / 2) for one, high, low, last in
                zip(found, highest, np.mean(shuffled, axis=0), latest, strict=True))  # fmt: skip
    said = [f"{each[0]:.2f} and {each[1]:.2f}" for each in (found, latest, highest)]
    figures = (
        f" (correlation of a song's place in train with its share in test, and variance of the songs' listens in test, "
        f"1 by chance: {said[0]}; they would be {said[1]} for the latest listens of train, at most {said[2]} for lists "
        "in random order)"
    )
    return ("by-user-last" if alike else "random"), figures


def _place_and_variance(users: np.ndarray, items: np.ndarray, in_test: np.ndarray) -> tuple[float, float]:
    """Return the two figures of rows in the order of user, part and place, for songs with enough listens."""
    of_user, n_items = np.bincount(users), items.max() + 1
    share = np.bincount(users, in_test) / of_user  # of each user's listens, in test
    n_train = np.bincount(users, ~in_test)[users]
    first = np.r_[0, np.cumsum(of_user)[:-1]][users]
    place = (np.arange(len(users)) - first + 0.5) / np.maximum(n_train, 1)  # 0…1 in train
    n, n_test = np.bincount(items, minlength=n_items), np.bincount(items, in_test, n_items)
    enough = (n >= LEAST_LISTENS) & (n > n_test)
    mean_place = np.bincount(items, np.where(in_test, 0, place), n_items)[enough] / (n - n_test)[enough]
    correlation = np.corrcoef(mean_place, (n_test / np.maximum(n, 1))[enough])[0, 1] if enough.sum() > 1 else 0.0
    expected, variance = (np.bincount(items, each[users], n_items)[enough] for each in (share, share * (1 - share)))
    squares = ((n_test[enough] - expected) ** 2).sum()
    return float(np.nan_to_num(correlation)), float(squares / max(variance.sum(), 1e-9))
