"""Baselines equal slow references: of the order of listens, of EASE among nearest songs, of a dense ALS."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from test_evaluate import random_split

from recsys.data.interactions import Interactions
from recsys.data.split import Split
from recsys.models import baselines
from recsys.models.baselines import factorisation, item_item, scorers, sequential

BOTH = ("train", "validation")
N_USERS, N_ITEMS = 12, 9


def timed_split(seed=0, n=160, longest=30_000):
    """A split by time with repeated listens, equal times, pauses of over an hour, and a cold song in test."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, N_USERS, n), rng.integers(0, N_ITEMS, n)
    user[:N_USERS], item[:N_ITEMS] = range(N_USERS), range(N_ITEMS)
    time = np.sort(600 * rng.integers(0, longest // 600, n)).astype("datetime64[s]")
    item[-1] = N_ITEMS
    cuts = (slice(0, 110), slice(110, 135), slice(135, n))
    parts = [Interactions(user[some], item[some], time[some]) for some in cuts]
    users, items = pd.DataFrame({"user_id": range(N_USERS)}), pd.DataFrame({"item_id": range(N_ITEMS + 1)})
    return Split("timed", *parts, users=users, items=items)


def histories(split, parts=BOTH):
    """Return each user's songs and times, first listens first; of equal times the earlier row is the earlier listen."""
    rows = split.warm(*parts)
    listens = sorted(zip(rows.user, rows.timestamp, range(len(rows)), rows.item, strict=True))
    return [[(int(i), t) for u, t, _, i in listens if u == user] for user in range(split.n_users)]


def slow_weights(split, half_life):
    weights = np.zeros((split.n_users, split.n_items))
    for user, listens in enumerate(histories(split)):
        for later, (item, _) in enumerate(reversed(listens)):
            weights[user, item] += 0.5 ** (later / half_life)
    return weights


def slow_counts(split, steps, parts=BOTH):
    counts = np.zeros((split.n_items, split.n_items))
    for listens in histories(split, parts):
        for place, (item, time) in enumerate(listens):
            for d, (later, then) in enumerate(listens[place + 1 : place + 1 + steps], 1):
                if then - time <= np.timedelta64(3600, "s"):
                    counts[item, later] += 1 / d
    return counts


def slow_chain(split, steps, symmetric):
    counts = slow_counts(split, steps)
    rows, columns = counts.sum(axis=1) + sequential.DAMPING, counts.sum(axis=0) + sequential.DAMPING
    scaled = counts / np.sqrt(rows)[:, None] / np.sqrt(columns)
    return scaled + scaled.T if symmetric else scaled


def slow_cosine(seen, shrinkage=0.0):
    lengths = np.sqrt((seen**2).sum(axis=0) + shrinkage)
    cosine = seen.T @ seen / lengths[:, None] / lengths
    np.fill_diagonal(cosine, 0)
    return cosine


def scores(product, split):
    return product.scores(np.arange(split.n_users))[:, : split.n_items]


@pytest.mark.parametrize("steps, symmetric", [(1, False), (5, False), (5, True)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_markov_chain_equals_a_slow_reference(seed, steps, symmetric):
    split = timed_split(seed)
    fitted = sequential.fit_markov(split, BOTH, 0, half_life=1.5, steps=steps, symmetric=symmetric)
    expected = slow_weights(split, 1.5) @ slow_chain(split, steps, symmetric)
    np.testing.assert_allclose(scores(fitted, split), expected, rtol=1e-4, atol=1e-6)
    assert expected.any()


def test_of_too_many_pairs_the_rarest_are_left_out(monkeypatch):
    split = timed_split(0)
    rows = split.in_order("train")
    all_pairs = sequential.transitions(rows, split.n_items, 5, symmetric=False)
    most = all_pairs.nnz // 2
    monkeypatch.setattr(sequential, "DAMPING", 0.0)
    monkeypatch.setattr(sequential, "MOST_PAIRS", most)
    kept = sequential.transitions(rows, split.n_items, 5, symmetric=False)
    assert 0 < kept.nnz <= most
    counts = slow_counts(split, 5, parts=("train",))
    rarest_kept = counts[kept.nonzero()].min()
    assert (counts > rarest_kept).sum() < kept.nnz == (counts >= rarest_kept).sum()


def test_songs_of_a_very_large_catalogue_have_fewer_neighbours(monkeypatch):
    seen = random_split(2, n_users=200).seen("train")
    assert np.diff(item_item.similarity(seen, 25).indptr).max() > 21
    monkeypatch.setattr(item_item, "SHARED_PAIRS", 10)
    assert 0 < np.diff(item_item.similarity(seen, 25).indptr).max() <= item_item.LEAST_NEAREST + 1


def test_long_histories_are_shortened_if_there_are_very_many_pairs(monkeypatch):
    lengths = np.array([2000] * 50 + [10] * 500 + [0])
    rows, columns = np.repeat(np.arange(551), lengths), np.concatenate([np.arange(n) for n in lengths])
    seen = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(551, 2000))
    assert item_item._shortened(seen) is seen
    monkeypatch.setattr(item_item, "COUNTED_PAIRS", 50 * 500**2 + 500 * 10**2)
    kept = np.diff(item_item._shortened(seen).indptr)
    assert (kept[50:] == lengths[50:]).all()  # short ones are whole
    assert abs(kept[:50].mean() - 500) < 15 and (kept[:50] < 700).all()
    assert seen.nnz == lengths.sum()  # the histories themselves are as they were
    among_short = item_item._shortened(seen)[:50, :10].toarray().mean(axis=0)
    assert (among_short < 0.6).all()  # any song may go, not the last ones


def test_transitions_do_not_cross_users_nor_the_hour():
    times = np.array([0, 10, 3610, 0, 5], "datetime64[s]")
    rows = Interactions(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 2, 0]), times)
    found = sequential.transitions(rows, 3, steps=2, symmetric=False).toarray() > 0
    assert found.tolist() == [[False, True, False], [False, False, True], [True, False, False]]


def test_places_in_a_list_serve_as_times_within_an_hour():
    timed, n = timed_split(4, longest=3000), 0
    placed = timed
    for name in ("train", "validation", "test"):
        part = getattr(timed, name)
        part, n = dataclasses.replace(part, timestamp=None, place=np.arange(n, n + len(part))), n + len(part)
        placed = dataclasses.replace(placed, **{name: part})
    kinds = (sequential.fit_markov, {"steps": 3, "symmetric": False}), (sequential.fit_markov_knn, {"weight": 3.0})
    for fit, settings in kinds:
        one, two = (scores(fit(split, BOTH, 0, half_life=1.5, **settings), split) for split in (timed, placed))
        assert (one == two).all() and one.any()


def test_item_knn_on_recent_songs_and_the_sum_equal_slow_references():
    split = timed_split(3)
    weights, cosine = slow_weights(split, 2.0), slow_cosine(split.known.toarray(), sequential.SHRINKAGE)
    recent = sequential.fit_itemknn_recent(split, BOTH, 0, half_life=2.0)
    np.testing.assert_allclose(scores(recent, split), weights @ cosine, rtol=1e-4, atol=1e-6)
    both = sequential.fit_markov_knn(split, BOTH, 0, half_life=2.0, weight=3.0)
    expected = weights @ (cosine + 3 * slow_chain(split, 5, True))
    np.testing.assert_allclose(scores(both, split), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["markov", "itemknn-recent", "markov-knn"])
def test_without_the_order_of_listens_a_sequential_baseline_is_left_out(name):
    with pytest.raises(scorers.DoesNotApply, match="order of the listens"):
        baselines.fit(name, random_split())
    split = dataclasses.replace(timed_split(), manifest={"equal_times": 1.0})
    with pytest.raises(scorers.DoesNotApply, match="order of the listens"):
        baselines.fit(name, split)


def test_similarities_equal_their_formulas():
    split = random_split(4)
    seen = split.known.toarray()
    rarity = np.log((1 + split.n_items) / (1 + seen.sum(axis=1)))
    damped = {"cosine": slow_cosine(seen, 10.0), "tfidf": slow_cosine(seen * rarity[:, None], 10.0)}
    for weighting, expected in damped.items():
        found = item_item.similarity(split.known, split.n_items, weighting, 10.0).toarray()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    rarity, lengths = np.log(30 / (1 + seen.sum(axis=1))), seen.sum(axis=0) / seen.sum(axis=0).mean()
    bm25 = seen * rarity[:, None] * 2.2 / (1.2 * (0.25 + 0.75 * lengths) + seen)  # songs are the documents
    found = item_item.similarity(split.known, 30, "bm25").toarray()
    np.testing.assert_allclose(found, bm25.T @ bm25 * (1 - np.eye(30)), rtol=1e-4, atol=1e-7)


def test_ease_among_all_other_songs_is_ease(monkeypatch):
    split = random_split(5, n_users=900)  # any two songs share a listener
    exact = item_item.fit_ease(split, BOTH, 0, regularisation=7.0)
    monkeypatch.setattr(item_item, "EXACT_SONGS", 1)
    for dense in (100, 1):  # listeners shared, in a dense or a sparse matrix
        monkeypatch.setattr(item_item, "DENSE_SONGS", dense)
        local = item_item.fit_ease(split, BOTH, 0, regularisation=7.0)
        np.testing.assert_allclose(scores(local, split), scores(exact, split), atol=1e-4)


def test_local_ease_equals_a_ridge_regression_on_each_songs_nearest_songs(monkeypatch):
    split = random_split(6, n_users=150)
    monkeypatch.setattr(item_item, "EXACT_SONGS", 1)
    monkeypatch.setattr(item_item, "LEAST_NEAREST", 5)
    monkeypatch.setattr(item_item, "SHARED_PAIRS", 100)
    monkeypatch.setattr(item_item, "DENSE_SONGS", 30)
    seen, weights = split.known.toarray().astype(float), np.zeros((30, 30))
    found = item_item.neighbourhoods(split, BOTH)
    for song, nearest in zip(found.songs, found.songs[found.nearest], strict=True):
        similar, near = slow_cosine(seen)[song], nearest  # of equally similar songs, any may be taken
        np.testing.assert_allclose(np.sort(similar[near]), np.sort(similar)[-5:], rtol=1e-5)
        gram = seen[:, near].T @ seen[:, near] + 3 * np.eye(5)
        weights[near, song] = np.linalg.solve(gram, seen[:, near].T @ seen[:, song])
    local = item_item.fit_ease(split, BOTH, 0, regularisation=3.0)
    np.testing.assert_allclose(scores(local, split), seen @ weights, atol=1e-4)


def test_of_a_very_large_catalogue_only_the_most_played_songs_take_part(monkeypatch):
    split = random_split(7, n_users=150)
    monkeypatch.setattr(item_item, "EXACT_SONGS", 1)
    monkeypatch.setattr(item_item, "DENSE_SONGS", 2)
    listeners = np.asarray(split.known.sum(axis=0)).ravel()
    limit = int((split.known[:, np.argsort(-listeners, kind="stable")[:10]].toarray().sum(axis=1) ** 2).sum())
    monkeypatch.setattr(item_item, "SHARED_PAIRS", limit)
    found = item_item.neighbourhoods(split, BOTH)
    assert found.songs.tolist() == np.argsort(-listeners, kind="stable")[:10].tolist()
    product = item_item.fit_ease(split, BOTH, 0, regularisation=3.0)
    assert set(np.flatnonzero(scores(product, split).any(axis=0))) <= set(found.songs)


def test_als_reaches_the_solution_of_a_dense_one():
    split, alpha, strength, factors = random_split(8, n_users=60), 4.0, 2.0, 5
    weights = 1 + (alpha - 1) * split.known.toarray().astype(float)  # of all pairs

    def regularisations(table):
        frequency = (alpha * (table > 1).sum(axis=1) + table.shape[1]) ** factorisation.EXPONENT
        return strength * 2 ** (np.round(2 * np.log2(frequency / frequency.mean())) / 2)

    fitted = factorisation.fit_als(split, BOTH, 0, strength, alpha, factors, iterations=300)
    users, songs = fitted.users[: split.n_users].astype(float), fitted.songs[:, : split.n_items].T.astype(float)
    tables = ((weights, users, songs), (weights.T, songs, users))
    for table, own, other in tables:
        for row, vector, ridge in zip(table, own, regularisations(table), strict=True):
            gram = (other * row[:, None]).T @ other + ridge * np.eye(factors)
            target = other.T @ (row * (row > 1))
            np.testing.assert_allclose(vector, np.linalg.solve(gram, target), atol=2e-3)
    assert len(set(regularisations(weights.T))) > 1


def test_each_family_has_the_same_number_of_trials():
    assert {len(grid) for _, grid in baselines.BASELINES.values()} == {1, baselines.TRIALS}
    for _, grid in baselines.BASELINES.values():
        assert len({str(each) for each in grid}) == len(grid)
