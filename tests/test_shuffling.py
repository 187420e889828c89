"""Every epoch takes every row once, in an order that depends on seed and epoch alone; rows may stay in a file."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from test_resume import TINY, weights
from test_training import groups

from recsys.data import interactions
from recsys.data.interactions import Interactions, Stored
from recsys.data.prepare import prepare
from recsys.data.split import PARTS, Split
from recsys.training import shuffling
from recsys.training.shuffling import ShuffledRows
from recsys.training.trainer import train

ROWS = Interactions(np.arange(1000, dtype=np.int32), 7 * np.arange(1000, dtype=np.int32))


def stored(rows, path):
    pd.DataFrame({"user": rows.user, "item": rows.item}).to_parquet(path, row_group_size=77)
    return Stored(path)


def taken(rows, epoch, n=64, seed=0, first=0):
    """Return users and songs of an epoch from place `first` on, taken n at a time: (2, n_rows and padding)."""
    own = ShuffledRows(rows, seed)
    return np.concatenate([np.stack(own.take(epoch, place, n)) for place in range(first, len(rows), n)], axis=1)


@pytest.fixture(params=[1, 4])
def n_windows(request, monkeypatch):
    monkeypatch.setattr(shuffling, "WINDOW", len(ROWS) // request.param)
    return request.param


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(n_windows):
    first, second = (taken(ROWS, epoch) for epoch in (1, 2))
    assert first.shape == (2, 1024) and not first[:, 1000:].any()  # beyond the end, the first row
    assert (first[1] == 7 * first[0]).all() and sorted(first[0, :1000]) == list(range(1000))
    assert sorted(second[0, :1000]) == list(range(1000)) and (first != second).any()
    assert (taken(ROWS, 1, seed=1) != first).any()
    for some in np.split(first[0, :1000], 4):  # each quarter has rows from everywhere
        assert abs(some.mean() - 499.5) < 5 * 289 / 250**0.5


def test_very_many_rows_have_larger_windows_not_more(monkeypatch):
    monkeypatch.setattr(shuffling, "WINDOW", 10)
    rows = ShuffledRows(ROWS, seed=0)
    assert rows.n_windows == shuffling.MOST_WINDOWS < len(ROWS) / 10
    assert sorted(taken(ROWS, 1)[0, :1000]) == list(range(1000))


def test_the_order_does_not_depend_on_where_rows_are_or_how_they_are_read(n_windows, tmp_path, monkeypatch):
    expected, in_file = taken(ROWS, 3), stored(ROWS, tmp_path / "rows.parquet")
    for piece, n, first in ((1, 64, 0), (100, 64, 640), (2**19, 320, 320)):
        monkeypatch.setattr(interactions, "PIECE", piece)
        for rows in (ROWS, in_file):
            found = taken(rows, 3, n, first=first)[:, : 1000 - first]
            assert (found == expected[:, first:1000]).all()


def test_a_split_whose_rows_stay_in_files_is_the_same(tmp_path, monkeypatch):
    folder = prepare("sample", root=tmp_path).folder
    split = Split.load(folder)
    monkeypatch.setattr(interactions, "IN_MEMORY", 0)
    other = Split.load(folder)
    assert isinstance(other.train, Stored) and repr(other) == repr(split)
    for part in PARTS:
        one, two = getattr(split, part), getattr(other, part)
        assert (one.user == two.user).all() and (one.timestamp == two.timestamp).all()
    for part in PARTS[1:]:
        assert other.account(part) == split.account(part)
        assert (other.relevant(part) != split.relevant(part)).nnz == 0
    for parts in (("train",), ("train", "validation")):
        one, two = split.pairs(*parts), other.pairs(*parts)
        assert isinstance(two, Stored) and (one.user == two.user).all() and (one.item == two.item).all()
    some = np.array([3, 5])
    assert (split.seen("train", users=some)[some] != split.seen("train")[some]).nnz == 0
    assert split.seen("train", users=some).nnz == split.seen("train")[some].nnz


def test_rows_from_a_file_in_windows_train_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffling, "WINDOW", 500)
    split = groups(1500)
    streamed = dataclasses.replace(split, train=stored(split.train, tmp_path / "train.parquet"))
    for name, recipe in TINY.items():
        both = [weights(train(each, recipe, verbose=False, xla=False).model) for each in (split, streamed)]
        assert (both[0] == both[1]).all(), name
