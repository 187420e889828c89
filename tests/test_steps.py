"""The first listens of pairs, events that occur once, and rare users and songs equal references in pandas."""

import ibis
import numpy as np
import pandas as pd
import pytest

from recsys.data import steps
from recsys.data.engine import start_engine

START = pd.Timestamp("2026-01-01")


@pytest.fixture
def engine(tmp_path):
    with start_engine(tmp_path, threads=2) as engine:
        yield engine


def some_listens(seed: int, n: int = 400, n_users: int = 12, n_items: int = 9) -> pd.DataFrame:
    """Draw listens of a given split, some of them in one second; `order` depends on user, song and time alone."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"part": rng.integers(0, 3, n).astype("int8"), "user_id": rng.integers(0, n_users, n)})
    frame["item_id"] = rng.integers(0, n_items, n)
    frame["timestamp"] = (START + pd.to_timedelta(rng.integers(0, 40, n) * 250, unit="ms")).astype("datetime64[us]")
    frame["order"] = pd.util.hash_pandas_object(frame[["user_id", "item_id", "timestamp"]], index=False)
    return frame


def as_sets(table: ibis.Table, columns: list[str]) -> set:
    return {*table.to_pandas()[columns].itertuples(index=False, name=None)}


@pytest.mark.parametrize("seed", range(3))
def test_the_first_listen_is_the_earliest_of_the_earliest_part(engine, seed):
    frame = some_listens(seed)
    columns = [*frame]
    first = frame.sort_values(["part", "timestamp"]).drop_duplicates(["user_id", "item_id"])
    found = steps._first_listens(ibis.memtable(frame))
    assert as_sets(engine.store(found), columns) == {*first.itertuples(index=False, name=None)}
    assert found.count().to_pyarrow().as_py() == len(first) < len(frame)


@pytest.mark.parametrize("seed", range(3))
def test_the_first_of_the_events_of_a_second_is_kept(engine, seed):
    frame = some_listens(seed)
    keys = ["part", "user_id", "item_id"]
    seconds = frame.assign(second=frame["timestamp"].dt.floor("s")).sort_values("timestamp")
    first = seconds.drop_duplicates([*keys, "second"])[[*frame]]
    found = engine.store(steps._one_of_each_event(ibis.memtable(frame)))
    assert as_sets(found, [*frame]) == {*first.itertuples(index=False, name=None)}
    assert found.count().to_pyarrow().as_py() == len(first) < len(frame)


@pytest.mark.parametrize(("least_user", "least_item"), [(4, 4), (1, 6), (5, 1), (1, 1), (99, 99)])
def test_rare_users_and_songs_are_dropped_until_none_is_left(engine, least_user, least_item):
    frame, rounds = some_listens(0, n=300, n_users=90, n_items=80), 0
    dropped, left = {"of_rare_users": 0, "of_rare_songs": 0}, frame
    while True:
        before, rounds = len(left), rounds + 1
        for (column, reason), least in zip(steps.RARE.items(), (least_user, least_item), strict=True):
            kept = left[left.groupby(column)[column].transform("size") >= least]
            dropped[reason] += len(left) - len(kept)
            left = kept
        if len(left) == before:
            break
    found, told = steps._drop_rare(engine, ibis.memtable(frame), least_user, least_item)
    assert told == dropped and sorted(found.to_pandas()["order"]) == sorted(left["order"])
    assert rounds > 2 or (least_user, least_item) != (4, 4)  # so that one round would not do
