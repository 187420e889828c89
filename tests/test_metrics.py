"""Metrics equal the mean over all orders of tied songs, the library ranx, and values calculated by hand."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import ranx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recsys.evaluation import metrics
from recsys.evaluation.metrics import Ranks
from recsys.evaluation.ranking import rank
from recsys.runs import project_root


def slow(name, order, relevant, k):
    """Return the textbook metric of one order of songs."""
    found = [song in relevant for song in order[:k]]
    ideal = min(k, len(relevant))
    if name == "precision":
        return sum(found) / k
    if name == "recall":
        return sum(found) / len(relevant)
    if name == "hit":
        return float(any(found))
    if name == "mrr":
        return next((1 / (i + 1) for i, f in enumerate(found) if f), 0.0)
    if name == "map":
        return sum(sum(found[: i + 1]) / (i + 1) for i, f in enumerate(found) if f) / ideal
    return sum(f / math.log2(i + 2) for i, f in enumerate(found)) / sum(1 / math.log2(i + 2) for i in range(ideal))


def ranks_of(scores, relevant):
    """Return the ranks for scores (users, songs) and one set of relevant songs per user."""
    owner = np.repeat(np.arange(len(relevant)), [len(r) for r in relevant])
    songs = np.concatenate([sorted(r) for r in relevant]).astype(int)
    own = scores[owner, songs][:, None]
    return Ranks(owner, (scores[owner] > own).sum(axis=1), (scores[owner] == own).sum(axis=1), len(relevant))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.integers(0, 2), min_size=2, max_size=6),
    st.integers(1, 7),
    st.data(),
    st.sampled_from(sorted(metrics.BY_USER)),
)
def test_tied_songs_get_the_mean_over_all_their_orders(scores, k, data, name):
    relevant = data.draw(st.sets(st.integers(0, len(scores) - 1), min_size=1))
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    expected = np.mean([slow(name, order, relevant, k) for order in orders])
    ranks = ranks_of(np.array([scores]), [relevant])
    assert metrics.BY_USER[name](ranks, k)[0] == pytest.approx(expected, abs=1e-12)


def test_a_constant_model_gets_what_a_random_order_gets():
    n, k, relevant = 50, 10, {3, 17, 40}
    constant = ranks_of(np.zeros((1, n)), [relevant])
    rng = np.random.default_rng(0)
    orders = [rng.permutation(n) for _ in range(20_000)]
    for name, metric in metrics.BY_USER.items():
        values = [slow(name, order, relevant, k) for order in orders]
        assert metric(constant, k)[0] == pytest.approx(np.mean(values), abs=4 * np.std(values) / math.sqrt(len(values)))


def test_metrics_equal_those_of_ranx():
    rng = np.random.default_rng(0)
    n_users, n_items = 1_500, 25
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=float), (n_users, 1)), axis=1)
    truth = rng.random((n_users, n_items)) < 0.15
    truth[np.arange(n_users), rng.integers(0, n_items, n_users)] = True
    relevant = [set(np.flatnonzero(row)) for row in truth]
    ranks = ranks_of(scores, relevant)
    qrels = ranx.Qrels({f"{u:05}": {str(i): 1 for i in r} for u, r in enumerate(relevant)})
    run = ranx.Run({f"{u:05}": {str(i): s for i, s in enumerate(row)} for u, row in enumerate(scores)})
    names = {name: name for name in metrics.BY_USER} | {"hit": "hit_rate"}
    for k in (1, 5, 20):
        for ours, theirs in names.items():
            expected = np.array(list(ranx.evaluate(qrels, run, f"{theirs}@{k}", return_mean=False)))
            if ours == "map":  # ranx divides by the number of relevant songs
                expected = expected * ranks.n_relevant / np.minimum(ranks.n_relevant, k)
            np.testing.assert_allclose(metrics.BY_USER[ours](ranks, k), expected, atol=1e-9, err_msg=f"{ours}@{k}")


def test_ndcg_of_long_ties_uses_their_mean_discount():
    rng = np.random.default_rng(1)
    scores, truth = rng.integers(0, 4, (300, 30)), rng.random((300, 30)) < 0.2
    truth[:, 0] = True
    ranks = ranks_of(scores, [set(np.flatnonzero(row)) for row in truth])
    for k in (1, 7, 30):
        discounts = [1 / math.log2(place + 2) * (place < k) for place in range(30)]
        for user, (own, relevant) in enumerate(zip(scores, truth, strict=True)):
            gain, place = 0.0, 0
            for score in sorted(set(own), reverse=True):
                tied = relevant[own == score]
                gain += sum(tied) * np.mean(discounts[place : place + len(tied)])
                place += len(tied)
            assert metrics.ndcg(ranks, k)[user] == pytest.approx(gain / sum(discounts[: sum(relevant)]))


def test_three_users_and_five_songs_by_hand():
    """The example of docs/evaluation.md; the page must show these numbers."""
    scores = np.array([[0.2, 0.9, 0.6, 0.8, 0.1], [0.9, 0.8, 0.7, 0.2, 0.1], [0.5, 0.5, 0.5, 0.5, 0.5]])
    seen = sparse.csr_matrix(([1], ([1], [0])), (3, 5))
    relevant = sparse.csr_matrix(([1, 1, 1, 1], ([0, 0, 1, 2], [1, 2, 2, 3])), (3, 5))
    ranked = rank(SimpleNamespace(scores=lambda users: scores[users]), np.arange(3), seen, relevant, 3)
    ranks = ranked.ranks
    # A finds two songs in places 1 and 3, B one in place 2, C one that is in each of five places with equal probability
    second = 1 / math.log2(3)
    expected = {
        "precision": [2 / 3, 1 / 3, 3 / 5 / 3],
        "recall": [1, 1, 3 / 5],
        "map": [(1 + 2 / 3) / 2, 1 / 2, (1 + 1 / 2 + 1 / 3) / 5],
        "ndcg": [(1 + 1 / 2) / (1 + second), second, (1 + second + 1 / 2) / 5],
        "mrr": [1, 1 / 2, (1 + 1 / 2 + 1 / 3) / 5],
        "hit": [1, 1, 3 / 5],
    }
    found = np.array([metrics.BY_USER[name](ranks, 3) for name in expected])
    np.testing.assert_allclose(found, list(expected.values()))
    page = (project_root() / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert "| listener | " + " | ".join(f"{name}@3" for name in expected) + " |" in page
    for name, row in zip("ABC", found.T, strict=True):
        assert f"| {name} | " + " | ".join(f"{value:.4f}" for value in row) + " |" in page
    assert "| mean | " + " | ".join(f"{value:.4f}" for value in found.mean(axis=1)) + " |" in page


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from(sorted(metrics.BY_USER)))
def test_bounds_perfect_rankings_monotonicity_and_invariance(seed, k, name):
    rng = np.random.default_rng(seed)
    n_users, n_items = 8, 30
    metric = metrics.BY_USER[name]
    scores = rng.integers(0, 20, (n_users, n_items)).astype(float)
    relevant = [set(rng.choice(n_items, rng.integers(1, 6), replace=False)) for _ in range(n_users)]
    values = metric(ranks_of(scores, relevant), k)
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()

    perfect = np.array([[float(i in r) for i in range(n_items)] for r in relevant])
    sizes = np.array([len(r) for r in relevant])
    best = {"precision": np.minimum(k, sizes) / k, "recall": np.minimum(k, sizes) / sizes}.get(name, np.ones(n_users))
    np.testing.assert_allclose(metric(ranks_of(perfect, relevant), k), best)

    raised = scores.copy()
    for user, songs in enumerate(relevant):
        raised[user, min(songs)] += 3
    assert (metric(ranks_of(raised, relevant), k) >= values - 1e-12).all()

    users, songs = rng.permutation(n_users), rng.permutation(n_items)
    renamed = [{int(np.flatnonzero(songs == i)[0]) for i in relevant[u]} for u in users]
    np.testing.assert_allclose(metric(ranks_of(scores[users][:, songs], renamed), k), values[users])


def test_recall_and_hits_never_fall_with_k():
    rng = np.random.default_rng(3)
    ranks = ranks_of(rng.integers(0, 9, (50, 40)), [set(rng.choice(40, 4, replace=False)) for _ in range(50)])
    for metric in (metrics.recall, metrics.hit, metrics.mrr):
        values = np.array([metric(ranks, k) for k in range(1, 41)])
        assert (np.diff(values, axis=0) >= -1e-12).all()


def test_metrics_of_lists_by_hand():
    lists = np.array([[0, 1], [0, 2], [0, -1], [-1, -1]])
    popularity = np.array([8.0, 4.0, 2.0, 2.0])
    assert metrics.coverage(lists, 4) == 3 / 4
    assert metrics.gini(lists, 4) == pytest.approx((-3 * 0 - 1 * 1 + 1 * 1 + 3 * 3) / (4 * 5))
    assert metrics.gini(np.array([[0, 1, 2, 3]]), 4) == 0
    assert math.isnan(metrics.gini(np.array([[-1]]), 4))
    np.testing.assert_allclose(metrics.novelty(lists, popularity), [1.5, 2, 1, np.nan])
    assert metrics.in_tail(popularity).tolist() == [False, False, True, False]  # 2 of 16 listens; 4 would exceed 20 %
    np.testing.assert_allclose(metrics.tail_share(lists, popularity), [0, 0.5, 0, np.nan])
