"""Recency weighting equals a slow reference, and is chosen where the last songs tell what comes next."""

import numpy as np
import pandas as pd
import pytest

from recsys.data.interactions import Interactions
from recsys.data.split import Split
from recsys.training.recency import recency_weights, with_recency
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
