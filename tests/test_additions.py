"""The next-song part and the trend equal slow references, and are chosen where they help."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse
from test_recency import moods
from test_resume import placed
from test_training import groups

from recsys.data.interactions import Interactions
from recsys.data.split import Split
from recsys.training import additions, next_song
from recsys.training.next_song import LAGS, NextSongLoop
from recsys.training.recency import directions
from recsys.training.recipes import RECIPES
from recsys.training.spectral import spectral_vectors
from recsys.training.trainer import load, train
from recsys.training.trend import song_trend, with_trend

RNG = np.random.default_rng(0)
QUICK = RECIPES["best"].override(dim=8, batch_size=50, epochs=10, grid=((0.2, 1.0),))


def rows_of(n=120, n_users=9, n_items=13):
    places = RNG.permutation(n).astype(np.int32)
    users = np.sort(RNG.integers(0, n_users, n)).astype(np.int32)
    return Interactions(users, RNG.integers(0, n_items, n).astype(np.int32), None, np.sort(places))


def started_loop(rows, temperature=0.3, gamma=1.2):
    loop = NextSongLoop(groups(300), dataclasses.replace(RECIPES["best"], next_dim=4))
    loop.start(rows, temperature, gamma, epochs=1)
    return loop


def slow_listener(table, weights, history):
    played = [table[song] / np.linalg.norm(table[song]) for song in history[::-1][:LAGS]]
    return sum((weight * vector for weight, vector in zip(weights, played, strict=False)), np.zeros(table.shape[1]))


def slow_loss(tables, rows, compared, temperature, gamma):
    """Return the mean loss of all listens to a song that is new to the user, by loops, in float64."""
    table, songs, weights = (each.astype(float) for each in tables)
    songs, losses = songs / np.linalg.norm(songs, axis=1, keepdims=True), []
    for user in set(rows.user.tolist()):
        own = rows.item[rows.user == user].tolist()
        for place in range(1, len(own)):
            if own[place] not in own[:place]:
                listener = slow_listener(table, weights[0], own[:place])
                logits = songs @ listener / np.linalg.norm(listener) / temperature
                others = [song for song in compared if song not in own]
                losses.append(gamma * np.log(np.exp(logits[others]).sum()) - logits[own[place]] if others else 0)
    return np.mean(losses)


@pytest.mark.parametrize("n_drawn", [None, 200, 20])
def test_the_gradient_is_that_of_a_slow_reference(monkeypatch, n_drawn):
    if n_drawn:
        monkeypatch.setattr(next_song, "LOGITS", 0)
        monkeypatch.setattr(next_song, "LEAST_SONGS", n_drawn)
    rows = rows_of(n_items=300)
    loop = started_loop(rows)
    none = np.zeros(0, np.int32)
    compared, gradients = loop._draw_songs(1, 0, none, none)[0].tolist(), []
    assert len({*compared}) == n_drawn or compared == [*range(loop.model.n_items)] == [*range(300)]
    loop.optimizer.apply = lambda tables, found, rate, count: gradients.extend(each.numpy() for each in found)
    loop._step = loop._on_replicas
    tf.config.run_functions_eagerly(True)
    loop.lag_weights.assign(RNG.random((1, LAGS)).astype(np.float32))
    tables = [each.numpy() for each in loop.tables]
    facts = loop.train_epoch()
    tf.config.run_functions_eagerly(False)
    assert facts["loss"] == pytest.approx(slow_loss(tables, rows, compared, 0.3, 1.2), rel=1e-5)
    assert len(gradients) == 3
    for number, gradient in enumerate(gradients):
        for place in map(tuple, np.argwhere(np.abs(gradient) > 1e-4)[:: max(1, gradient.size // 40)][:12]):
            moved = []
            for step in (1e-4, -1e-4):
                changed = [each.astype(float) for each in tables]
                changed[number][place] += step
                moved.append(slow_loss(changed, rows, compared, 0.3, 1.2))
            assert gradient[place] == pytest.approx((moved[0] - moved[1]) / 2e-4, rel=2e-3, abs=1e-5)


def test_a_listener_may_have_all_songs_that_were_drawn(monkeypatch):
    monkeypatch.setattr(next_song, "LOGITS", 0)
    monkeypatch.setattr(next_song, "LEAST_SONGS", 1)
    songs = np.arange(299, dtype=np.int32)  # all but one
    loop = started_loop(Interactions(np.zeros_like(songs), songs, None, songs))
    before = loop.model.get_weights()[1]
    assert loop.train_epoch()["loss"] == 0 and (loop.model.get_weights()[1] == before).all()


def test_a_large_catalogue_is_sampled_in_larger_batches():
    loop = started_loop(rows_of())
    assert loop.n_drawn == loop.model.n_items and loop._batch_size() == RECIPES["best"].batch_size
    for n_rows, n_items, n_drawn, size in ((250_000, 10_000, 10_000, 512), (800_000, 41_000, 6250, 2000),
                                           (5_000_000, 150_000, 4096, 4096), (100, 41_000, 41_000, 409)):  # fmt: skip
        loop.model.n_items, loop.n_rows, loop.epochs = n_items, n_rows, 2
        loop.n_drawn = loop._songs_in_a_step()
        assert (loop.n_drawn, loop._batch_size()) == (n_drawn, size)


def test_listeners_are_sums_of_the_last_songs():
    rows = rows_of()
    loop = started_loop(rows)
    users, songs = loop.vectors(10)
    table = loop.model.get_weights()[0]
    for user in range(10):
        own = rows.item[rows.user == user].tolist()
        assert users[user] == pytest.approx(slow_listener(table, 0.5 ** np.arange(LAGS), own), abs=1e-5)
    assert (songs == loop.model.get_weights()[1]).all()


def test_the_trend_equals_a_slow_reference_and_is_added_to_the_cosine():
    rows = rows_of()
    late, total = np.zeros(13), np.zeros(13)
    for user in set(rows.user.tolist()):
        own = rows.item[rows.user == user]
        for place, song in enumerate(own):
            total[song] += 1
            late[song] += (len(own) - place - 0.5) / len(own) < 0.25
    expected = np.log((late * total.sum() / late.sum() + 5) / (total + 5))
    trend = song_trend(rows, 13)
    timed = dataclasses.replace(rows, timestamp=RNG.permutation(len(rows)).astype("datetime64[s]"))
    after = timed.item[timed.timestamp > timed.timestamp.max() - len(rows) // 4 + 1]
    ratio = (np.bincount(after, minlength=13) * len(rows) / len(after) + 5) / (total + 5)
    assert song_trend(timed, 13, "of all") == pytest.approx(np.log(ratio), rel=1e-5, abs=1e-6)
    assert trend == pytest.approx(expected, rel=1e-5)
    users, songs = RNG.normal(size=(9, 4)).astype("f"), RNG.normal(size=(13, 4)).astype("f")
    cosines = directions(users) @ directions(songs).T
    longer = with_trend(users, songs, trend, 0.3)
    lengths = [np.linalg.norm(each, axis=1) for each in longer]
    assert all(np.ptp(each) < 1e-5 for each in lengths)  # so cosines rank like products
    assert longer[0] @ longer[1].T == pytest.approx(cosines + 0.3 * expected, abs=1e-5)


def test_the_share_is_that_of_the_cosine():
    tables, other = ([RNG.normal(size=(n, dim)).astype("f") for n in (9, 13)] for dim in (4, 6))
    users, songs = additions.with_part(tables, other, 0.3)
    one, two = (directions(each[0]) @ directions(each[1]).T for each in (tables, other))
    assert users @ songs.T == pytest.approx(0.7 * one + 0.3 * two, abs=1e-6)
    assert np.linalg.norm(songs, axis=1) == pytest.approx(np.ones(13), rel=1e-6)


@pytest.mark.parametrize("last_counts", [True, False])
def test_the_next_song_part_is_chosen_if_the_last_songs_tell_what_comes_next(tmp_path, last_counts):
    split = moods(last_counts)
    recipe = dataclasses.replace(QUICK, recency=(), trends=(), next_dim=8, next_epochs=6, spectral_dim=0)
    trained = train(split, recipe, folder=tmp_path, verbose=False)
    history, weights = trained.history, trained.model.get_weights()
    assert bool(history["next_song"]) == last_counts
    assert {*history["part_seconds"]} == {"next_song"} and history["part_seconds"]["next_song"] > 0
    ndcg = [trial["ndcg@20"] for trial in history["next_song_trials"]]
    assert len(ndcg) == 5 and (max(ndcg) > 1.05 * ndcg[0]) == last_counts
    assert [table.shape[1] for table in weights] == [16 if last_counts else 8] * 2
    assert history["n_parameters"] == sum(table.size for table in weights)
    assert all((own == kept).all() for own, kept in zip(weights, load(tmp_path).get_weights(), strict=True))


def newer_songs():
    """Return a split of users who play nine old songs, and then nine new ones."""
    rng, parts = np.random.default_rng(0), ([], [], [])
    for user in range(200):
        songs = [*rng.permutation(60)[:9], *(60 + rng.permutation(20)[:9])]
        for part, place in zip(parts, (slice(0, 12), slice(12, 15), slice(15, 18)), strict=True):
            part.extend((user, song) for song in songs[place])
    return placed(Split.from_arrays(*parts))


@pytest.mark.parametrize(("split", "moves_on"), [(newer_songs(), True), (moods(False), False)])
def test_the_trend_is_chosen_if_users_move_on_to_newer_songs(split, moves_on):
    recipe = dataclasses.replace(QUICK, recency=(), next_dim=0)
    history = train(split, recipe, verbose=False).history
    assert bool(history["trend"]) == moves_on and len(history["trend_trials"]) > len(recipe.trends)


def test_the_spectral_part_is_the_singular_value_decomposition():
    rows = rows_of()
    seen = np.zeros((10, 13))
    seen[rows.user, rows.item] = 1
    of_users, of_songs = (np.maximum(seen.sum(axis=axis), 1) for axis in (1, 0))
    left, values, right = np.linalg.svd(seen / np.sqrt(np.outer(of_users, of_songs)))
    expected = (left[:, :5] * values[:5]) @ right[:5] * np.sqrt(of_songs)  # (users, songs)
    users, songs = spectral_vectors(sparse.csr_matrix(seen.astype(np.float32)), 5)
    assert np.linalg.norm(songs, axis=1) == pytest.approx(np.ones(13), abs=1e-5)
    products, lengths = users @ songs.T, np.linalg.norm(left[:, :5] * values[:5], axis=1, keepdims=True)
    for user in range(9):  # the last has no rows
        assert np.corrcoef(products[user], expected[user])[0, 1] == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(users, axis=1) == pytest.approx((lengths > 1e-9).ravel() * 1.0, abs=1e-5)


def test_no_part_is_tried_that_makes_the_vectors_too_long(monkeypatch):
    monkeypatch.setattr(additions, "MAX_DIM", 8 + 8 + 2)
    recipe = dataclasses.replace(QUICK, recency=(), trends=(), next_dim=8, next_epochs=6, spectral_dim=8)
    history = train(moods(True), recipe, verbose=False).history
    assert history["next_song"] and not history["spectral_trials"]
