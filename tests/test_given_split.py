"""Validation of a given split is taken as test was; lists keep their places where these tell the order of listens."""

import json
import random

import numpy as np
import pytest

from recsys.data.errors import DataError
from recsys.data.interactions import Interactions
from recsys.data.prepare import prepare
from recsys.data.split import Split

N_USERS, N_SONGS = 150, 60


def write_lists(folder, kind, seed=0):
    """Write lists in which users move on to newer songs; test is the latest fifth ("last") or any fifth ("any")."""
    draw, lines = random.Random(seed), {"train": [], "test": []}
    for user in range(N_USERS):
        first = draw.randrange(N_SONGS // 2)
        songs = draw.sample(range(first, first + N_SONGS // 2), 20)
        songs.sort(key=lambda song: song + 10 * draw.random())
        test = songs[16:] if kind == "last" else draw.sample(songs, 4)
        train = [song for song in songs if song not in test]
        if kind == "sorted":
            train, test = sorted(train), sorted(test)
        for part, items in (("train", train), ("test", test)):
            lines[part].append(" ".join(map(str, (user, *items))))
    for part, text in lines.items():
        (folder / f"{part}.txt").write_text("\n".join(text) + "\n")
    return {user: [int(song) for song in line.split()[1:]] for user, line in enumerate(lines["train"])}


def prepared(folder, **parameters):
    made = prepare("lightgcn", folder, root=folder, **parameters)
    return Split.load(made.folder), " ".join(made.manifest["decisions"])


def raw(split, rows):
    users, items = split.users["user_id"].to_numpy(), split.items["item_id"].to_numpy()
    found = {}
    for user, item in zip(users[rows.user], items[rows.item], strict=True):
        found.setdefault(int(user), []).append(int(item))
    return found


def test_where_test_is_the_latest_validation_is_too_and_places_are_the_order(tmp_path):
    lists = write_lists(tmp_path, "last")
    split, decisions = prepared(tmp_path)
    assert "Test looks like the latest listens of each user (correlation" in decisions
    assert raw(split, split.in_order("train", "validation")) == lists and split.test.place is None
    validation, latest = raw(split, split.validation), {user: songs[13:] for user, songs in lists.items()}
    assert all(set(songs) <= set(latest[user]) for user, songs in validation.items())  # 16 · 4 / 20 = 3.2 songs
    in_train = {song for songs in lists.values() for song in songs[:13]}
    kept = {song for songs in latest.values() for song in songs} - in_train
    assert kept and len(split.validation) == 3 * N_USERS - len(kept)  # a listen of each of them stays in train
    assert split.n_items == len(in_train | kept)


def test_where_test_is_any_listens_validation_is_too_and_there_is_no_order(tmp_path):
    lists = write_lists(tmp_path, "any")
    split, decisions = prepared(tmp_path)
    assert "Test looks like any listens of each user (correlation" in decisions and "are not used" in decisions
    validation = raw(split, split.validation)
    places = [lists[user].index(song) / 15 for user, songs in validation.items() for song in songs]
    assert np.mean(places) == pytest.approx(0.5, abs=0.05) and not split.has_order
    with pytest.raises(ValueError, match="train: expected rows with times or places, got none"):
        split.in_order("train")


def test_sorted_lists_have_no_order_and_the_parameter_decides_otherwise(tmp_path):
    lists = write_lists(tmp_path, "sorted")
    split, decisions = prepared(tmp_path)
    assert "sorted by song id (100.0% of their steps go up)" in decisions and split.train.place is None
    with pytest.raises(DataError, match="VALIDATION: expected 'random', as these data have no timestamp, got 'by-user"):
        prepared(tmp_path, validation="by-user-last")
    lists = write_lists(tmp_path, "any")
    split, decisions = prepared(tmp_path, validation="by-user-last")
    assert "Validation is the latest listens of each user in train, as VALIDATION says." in decisions
    assert raw(split, split.in_order("train", "validation")) == lists
    with pytest.raises(DataError, match="VALIDATION: expected '', as the split by-time has a validation part"):
        prepare("sample", root=tmp_path, validation="random")


def write_deezer(folder, cut):
    """Write the three files with times: test is after one moment, the latest of each user, or any; validation empty."""
    draw, header = random.Random(0), "user_id,media_id,ts_listen\n"
    rows = {name: [] for name in ("train", "test")}
    for user in range(40):
        start = 1_500_000_000 + (0 if cut == "by-time" else 1_000_000 * user)
        times = sorted(start + draw.randrange(500_000) for _ in range(20))
        for place, time in enumerate(times):
            is_late = {"by-time": time > 1_500_400_000, "by-user-last": place >= 16, "random": draw.random() < 0.2}[cut]
            rows["test" if is_late else "train"].append(f"u{user},{100 + draw.randrange(30)},{time}\n")
    for name in ("train", "validation", "test"):
        (folder / f"{name}_dataset.csv").write_text(header + "".join(rows.get(name, [])))


@pytest.mark.parametrize("cut", ["by-time", "by-user-last", "random"])
def test_with_times_the_kind_of_test_is_found(tmp_path, cut):
    write_deezer(tmp_path, cut)
    made = prepare("deezer-splits", tmp_path, root=tmp_path)
    words = {"by-time": "the listens after one", "by-user-last": "the latest listens of", "random": "any listens"}
    text = json.dumps(made.manifest["decisions"])
    assert f"Test looks like {words[cut]}" in text and "Validation looks like test. In validation a user has " in text
    split = Split.load(made.folder)
    train, validation = split.train, split.validation
    assert len(validation) / (len(train) + len(validation)) == pytest.approx(len(split.test) / 800, abs=0.04)
    if cut == "by-time":
        assert np.quantile(train.timestamp.astype(int), 0.99) <= validation.timestamp.astype(int).min()
    if cut == "by-user-last":
        for user in range(split.n_users):
            assert train.timestamp[train.user == user].max() <= validation.timestamp[validation.user == user].min()


def test_a_validation_that_does_not_look_like_test_is_a_warning(tmp_path):
    write_deezer(tmp_path, "by-user-last")
    (tmp_path / "validation_dataset.csv").write_text("user_id,media_id,ts_listen\nu1,101,1400000000\n")
    manifest = prepare("deezer-splits", tmp_path, root=tmp_path).manifest
    assert manifest["likeness"]["validation"]["later"] == 0 and manifest["likeness"]["test"]["later"] == 1
    (warning,) = (each for each in manifest["warnings"] if "does not look like test" in each["sentence"])
    assert warning["count"] == 1 and "In validation a user has 1.0 listens" in warning["sentence"]


def test_rows_in_order_are_by_user_and_time_whatever_the_parts():
    users, items = np.array([1, 0, 1]), np.array([0, 1, 2])
    parts = [Interactions(users, items, None, np.array(places)) for places in ((3, 5, 1), (2, 4, 0))]
    frames = Split.from_arrays([[1, 0], [0, 1], [1, 2]], [[0, 0]], [[0, 0]])
    split = Split("x", parts[0], parts[1], parts[0], frames.users, frames.items)
    rows = split.in_order("train", "validation")
    assert rows.user.tolist() == [0, 0, 1, 1, 1, 1] and rows.place.tolist() == [4, 5, 0, 1, 2, 3]
