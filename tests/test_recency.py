"""Recency weighting equals a slow reference, and is chosen where the last songs tell what comes next."""

import numpy as np
import pandas as pd
import pytest

from recsys.data.interactions import Interactions
from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.models.recency import recency_weights
from recsys.reports.recipe_tables import choices_table
from recsys.training.recency import with_recency
from recsys.training.recipes import RECIPES
from recsys.training.trainer import train

RNG = np.random.default_rng(0)


def listens(n=200, n_users=9, n_items=13):
    times = RNG.integers(0, 50, n).astype("datetime64[s]")
    return Interactions(RNG.integers(0, n_users, n), RNG.integers(0, n_items, n), times)


def test_weights_equal_a_slow_reference():
    rows = listens()
    expected = np.zeros((10, 13))
    for user in range(10):
        own = sorted((time, i) for i, time in enumerate(rows.timestamp) if rows.user[i] == user)
        for later, (_, i) in enumerate(reversed(own)):
            expected[user, rows.item[i]] += 0.5 ** (later / 3)
    assert recency_weights(rows, 10, 13, 3.0).toarray() == pytest.approx(expected, rel=1e-5)


def test_directions_are_added_whatever_the_lengths():
    users, songs = RNG.normal(size=(10, 4)).astype("f"), RNG.normal(size=(13, 4)).astype("f")
    weights = recency_weights(listens(), 10, 13, 2.0)
    moved = with_recency(users, songs, weights, 0.5)
    assert with_recency(7 * users, 3 * songs, 5 * weights, 0.5) == pytest.approx(moved, rel=1e-4, abs=1e-6)
    for user, row in enumerate(weights.toarray()):
        towards = sum(weight * song / np.linalg.norm(song) for weight, song in zip(row, songs, strict=True))
        length = np.linalg.norm(towards) if row.any() else 1
        own = users[user] / np.linalg.norm(users[user])
        assert moved[user] == pytest.approx(own + 0.5 * towards / length, abs=1e-5)
    assert (with_recency(users, songs, weights, 0.0) == with_recency(users, songs, 0 * weights, 4.0)).all()


def moods(last_counts):
    """Return users who go from group to group of songs, and then stay in the last group or return to another."""
    n_users, parts, rng = 200, ([], [], []), np.random.default_rng(0)
    for user in range(n_users):
        groups = rng.permutation(5)[:4]
        plays = [group * 20 + song for group in groups for song in rng.permutation(20)[:6]]
        then = groups[-1] if last_counts else groups[rng.integers(0, 3)]
        new = [song for song in rng.permutation(np.arange(then * 20, then * 20 + 20)) if song not in plays][:6]
        for part, songs in zip(parts, (plays, new[:3], new[3:]), strict=True):
            part.extend((user, song, sum(map(len, parts))) for song in songs)
    rows = [np.array(part) for part in parts]
    return Split(
        "moods",
        *(Interactions(*part[:, :2].T.astype("i"), part[:, 2].astype("datetime64[s]")) for part in rows),
        users=pd.DataFrame({"user_id": range(n_users)}), items=pd.DataFrame({"item_id": range(100)}),
        manifest={"dataset": "moods", "key": "moods", "split": "by-user-last"},
    )  # fmt: skip


@pytest.mark.parametrize("last_counts", [True, False])
def test_recency_is_chosen_if_the_last_songs_tell_what_comes_next(last_counts):
    recipe = RECIPES["best"].override(
        dim=8, batch_size=50, epochs=20, grid=((0.2, 1.0),), recency=((0.5, 6.0), (4.0, 6.0))
    )
    trained = train(moods(last_counts), recipe, verbose=False)
    history = trained.history
    assert ("strength" in history["recency"]) == last_counts
    ndcg = [trial["ndcg@20"] for trial in history["recency_trials"]]
    assert max(ndcg) == ndcg[2 if last_counts else 0]
    assert "not known" not in choices_table({"best": history}).data


def albums(root, step, seed=0):
    """Prepare a log of users who play 4 albums a day, with their 5 songs in any order. An id tells album and song.

    Times are `step` apart in the order of the ids: 0 for dates alone, 1 s for an order that tells what comes next.
    """
    rng, rows = np.random.default_rng(seed), []
    for user in range(300):
        for day in pd.date_range("2024-01-01", periods=3):
            songs = (10 * np.sort(rng.choice(40, 4, replace=False))[:, None] + np.arange(5)).ravel()
            times = day + np.arange(20) * pd.Timedelta(step, "s")
            rows.append(pd.DataFrame({"user_id": user, "item_id": 1000 + songs, "timestamp": times}))
    root.mkdir()
    pd.concat(rows).sample(frac=1, random_state=seed).to_csv(root / "log.csv", index=False)
    return Split.load(prepare("csv", root / "log.csv", root=root, split="by-user-last", test_fraction=0.03).folder)


def share_of_albums_found(split):
    """Return how often a test song is of the album that a user played last, by recency weights on train."""
    rows, test = split.warm("train", "validation"), split.warm("test")
    album = pd.factorize(split.items["item_id"].astype(int) // 10)[0]
    in_album = (np.arange(album.max() + 1) == album[:, None]).astype("f")  # (songs, albums)
    weights = recency_weights(rows, split.n_users, split.n_items_all, 0.5) @ in_album
    return (weights.argmax(axis=1)[test.user] == album[test.item]).mean()


def test_where_only_days_are_known_recency_gains_nothing_from_ids(tmp_path):
    timed, dated = albums(tmp_path / "timed", step=1), albums(tmp_path / "dated", step=0)
    assert (timed.has_order, dated.has_order) == (True, False)
    assert share_of_albums_found(timed) > 0.9  # the song before is of the same album
    n, guess = len(dated.test), 4 / 19  # of the day's other 19 songs, 4 are of the same album
    assert abs(share_of_albums_found(dated) - guess) < 4 * np.sqrt(guess * (1 - guess) / n)


def test_best_tries_no_recency_where_the_order_is_not_known(tmp_path):
    recipe = RECIPES["best"].override(dim=4, batch_size=50, epochs=2, grid=((0.2, 1.0),), recency=((4.0, 6.0),))
    dated = train(albums(tmp_path / "dated", step=0), recipe, verbose=False).history
    assert (dated["recency"], dated["recency_trials"]) == ({}, [])
    assert "order of the listens is not known" in choices_table({"best": dated}).data
