"""Evaluations of small splits have known results; the baselines equal their formulas."""

import json

import numpy as np
import pandas as pd
import pytest

from recsys.data.split import Split
from recsys.evaluation import bootstrap, evaluate, sampled
from recsys.models import baselines
from recsys.models.baselines import item_item, scorers


class Fixed:
    """A scorer with a given matrix of scores (users, songs)."""

    def __init__(self, matrix):
        self.matrix = np.asarray(matrix, np.float32)

    def scores(self, users):
        return self.matrix[users]


def random_split(seed=0, n_users=40, n_items=30):
    """A split of users who like every third song, with one cold song and one cold user in test."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(0, 3, n_users)
    rows = [
        (u, i) for u in range(n_users) for i in range(n_items) if rng.random() < (0.5 if i % 3 == taste[u] else 0.08)
    ]
    part = rng.random(len(rows))
    train = [*((u, u % n_items) for u in range(n_users)), *(r for r, p in zip(rows, part, strict=True) if p < 0.6)]
    later = [[r for r, p in zip(rows, part, strict=True) if low <= p < low + 0.2] for low in (0.6, 0.8)]
    return Split.from_arrays(train, later[0], [*later[1], (0, n_items), (n_users, 1)])


def test_three_users_by_hand_from_split_to_means():
    #          train                              validation   test: song 3 is new, song 0 a repeat
    split = Split.from_arrays(
        [(0, 0), (1, 1), (2, 2), (2, 3)], [(0, 1)], [(0, 3), (0, 0), (1, 0), (1, 2), (2, 4), (3, 0)]
    )
    assert split.account("test") == {
        "rows": 6, "cold_user": 1, "cold_item": 1, "repeat": 1, "scored": 3, "relevant": 3,
    }  # fmt: skip
    scores = [[9, 8, 7, 6], [4, 9, 3, 3], [0, 0, 0, 0]]
    result = evaluate.evaluate({"model": Fixed(scores)}, split, cutoffs=(1, 2))
    assert result.per_user["model"].index.tolist() == [0, 1]  # user 2 has no warm and new song to find
    # user 0 has seen songs 0 and 1; 2 and 3 are ranked, and the relevant song 3 is in place 2
    # user 1 has seen song 1; 0 is ranked before 2 and 3, which are tied: relevant are 0 in place 1, 2 in place 2 or 3
    assert result.per_user["model"]["recall@2"].tolist() == [1, 0.75]
    assert result.per_user["model"]["precision@2"].tolist() == [0.5, 0.75]
    assert result.per_user["model"]["mrr@2"].tolist() == [0.5, 1]
    assert result.means.loc[("model", "hit@1"), "value"] == 0.5


def test_a_better_model_is_found_better_and_equal_models_are_not_distinguished(tmp_path):
    split = random_split(n_users=200)
    fitted = {name: baselines.fit(name, split) for name in ("random", "popularity", "itemknn", "ease", "als")}
    result = evaluate.evaluate({name: each.scorer for name, each in fitted.items()}, split)
    assert result.difference("ease", "random", "ndcg@5").verdict == "better"
    assert result.difference("random", "ease", "ndcg@5").verdict == "worse"
    equal = evaluate.evaluate({"a": fitted["als"].scorer, "b": fitted["als"].scorer}, split)
    assert set(equal.differences.verdict) == {"not distinguishable"}
    result.save(tmp_path, seconds={name: each.seconds for name, each in fitted.items()})
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved["users"] == result.n_users and saved["models"].keys() == fitted.keys()
    assert saved["models"]["als"]["recall@20"].keys() == {"value", "low", "high"}
    assert {"coverage@20", "gini@20", "rank_seconds", "seconds"} <= saved["models"]["als"].keys()


def test_swapping_two_models_swaps_their_figures():
    split = random_split(1)
    one, two = (baselines.fit(name, split).scorer for name in ("popularity", "ease"))
    first, second = evaluate.evaluate({"a": one, "b": two}, split), evaluate.evaluate({"a": two, "b": one}, split)
    np.testing.assert_array_equal(first.means.loc["a"], second.means.loc["b"])
    assert first.difference("a", "b", "ndcg@20").value == -second.difference("a", "b", "ndcg@20").value


def test_intervals_have_the_width_of_the_standard_error_and_follow_the_seed():
    values = np.random.default_rng(0).normal(3, 2, (2000, 1))
    means = bootstrap.resampled_sums(values, 2000, seed=1) / 2000
    low, high = bootstrap.interval(means)
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / np.sqrt(2000), rel=0.1)
    assert low < values.mean() < high
    np.testing.assert_array_equal(means, bootstrap.resampled_sums(values, 2000, seed=1) / 2000)


def family_coverage(pointwise, n_models=6, n_users=150, n_simulations=200):
    """Return how often the intervals of all differences from the first model hold the true differences at once."""
    rng, covered = np.random.default_rng(0), 0
    truth = np.array([0.3, 0.3, 0.29, 0.28, 0.3, 0.1])[:n_models]
    for _ in range(n_simulations):
        taste = rng.normal(0, 0.2, (n_users, 1))  # some users are easy for all models
        values = truth + taste + rng.gamma(2.0, 0.1, (n_users, n_models)) - 0.2  # skewed, as metrics are
        samples = bootstrap.resampled_sums(values, 500, seed=int(rng.integers(1e9))) / n_users
        point, gaps = values.mean(axis=0), samples[:, [0]] - samples[:, 1:]
        ends = bootstrap.simultaneous_intervals(point[0] - point[1:], gaps)
        low, high = bootstrap.interval(gaps) if pointwise else ends
        covered += ((low <= truth[0] - truth[1:]) & (truth[0] - truth[1:] <= high)).all()
    return covered / n_simulations


def test_simultaneous_intervals_cover_all_differences_at_once_and_pointwise_ones_do_not():
    assert 0.93 <= family_coverage(pointwise=False) <= 0.985
    assert family_coverage(pointwise=True) < 0.9


def test_a_single_interval_has_the_usual_width_and_equal_models_have_none():
    rng = np.random.default_rng(0)
    samples = rng.normal(1.0, 0.5, (4000, 1))
    low, high = bootstrap.simultaneous_intervals(np.ones(1), samples)
    assert (low[0], high[0]) == pytest.approx((1 - 1.96 * 0.5, 1 + 1.96 * 0.5), abs=0.04)
    samples = np.concatenate([samples - 1, np.zeros((4000, 1))], axis=1)
    low, high = bootstrap.simultaneous_intervals(np.zeros(2), samples)
    assert low[1] == high[1] == 0 and low[0] == pytest.approx(-1.96 * 0.5, abs=0.04)


def test_a_difference_is_paired_over_the_users():
    values = np.random.default_rng(0).random(200)  # users differ a lot, the models by the same for each user
    both = {"a": pd.DataFrame({"ndcg@20": values}), "b": pd.DataFrame({"ndcg@20": values - 0.01})}
    gap = bootstrap.compare(both, seed=0)[1].iloc[0]
    assert [gap["low"], gap["value"], gap["high"]] == pytest.approx([0.01] * 3) and gap["verdict"] == "better"


def test_the_leader_is_named_by_validation_and_by_test_only_if_validation_is_not_known():
    split = random_split(1)
    scorers_by_name = {name: baselines.fit(name, split).scorer for name in ("popularity", "ease", "random")}
    without = evaluate.evaluate(scorers_by_name, split, (20,))
    assert without.leader == without.ordered()[0] == "ease"
    known = evaluate.evaluate(scorers_by_name, split, (20,), 0, {"popularity": 0.3, "ease": 0.2, "random": 0.1})
    assert known.leader == "popularity" and known.compared() == ["ease", "random"]
    some = evaluate.evaluate(scorers_by_name, split, (20,), 0, {"popularity": 0.3, "ease": 0.2})
    assert some.leader == "ease"


def test_a_constant_model_gets_1_where_ties_are_hits_and_chance_where_they_are_shared():
    split = random_split()
    candidates = sampled.draw_candidates(split.test.item, 20, split.n_items_all, seed=3)
    constant = sampled.sampled_accuracy(Fixed(np.zeros((41, 31))), split.test, candidates)
    assert constant["as_author"]["value"] == 1
    assert constant["tie_fair"]["value"] == pytest.approx(1 / 21, abs=1e-6)
    assert constant["loss"] == pytest.approx(np.log(21), abs=1e-6)


def test_candidate_scores_equal_those_of_the_matrix_and_unknown_songs_get_none():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(50, 20)).astype(np.float32)
    users, candidates = rng.integers(0, 50, 300), rng.integers(0, 22, (300, 5))
    scores = sampled.candidate_scores(Fixed(matrix), users, candidates)
    for user, songs, row in zip(users, candidates, scores, strict=True):
        assert row.tolist() == [matrix[user, song] if song < 20 else -np.inf for song in songs]


def test_popularity_counts_listens_before_test():
    split = Split.from_arrays([(0, 0), (0, 0), (1, 1), (1, 2)], [(1, 0), (0, 3)], [(0, 1), (0, 1), (0, 1)])
    scorer = baselines.fit("popularity", split).scorer
    assert scorer.scores(np.array([0, 1])).tolist() == [[3, 1, 1, 0]] * 2
    assert evaluate.count_listens(split).tolist() == [3, 1, 1]  # song 3 is cold


def test_item_knn_and_ease_equal_their_formulas():
    split = random_split(2)
    seen = split.known.toarray()
    norms = np.linalg.norm(seen, axis=0)
    cosine = seen.T @ seen / norms[:, None] / norms
    np.fill_diagonal(cosine, 0)
    knn = item_item.fit_itemknn(split, ("train", "validation"), 0, k=30)
    np.testing.assert_allclose(knn.scores(np.arange(40))[:, :30], seen @ cosine, rtol=1e-5)
    inverse = np.linalg.inv(seen.T @ seen + 10 * np.eye(30))
    weights = np.eye(30) - inverse / np.diag(inverse)
    ease = item_item.fit_ease(split, ("train", "validation"), 0, regularisation=10.0)
    np.testing.assert_allclose(ease.scores(np.arange(40))[:, :30], seen @ weights, atol=1e-4)
    assert not knn.scores(np.array([40])).any() and not ease.scores(np.array([40])).any()  # a cold user


def test_a_baseline_that_does_not_apply_gives_the_reason():
    split = random_split()
    with pytest.raises(scorers.DoesNotApply, match="timestamps"):
        baselines.fit("recent", split)
    fitted, left_out = baselines.fit_all(split, ["popularity", "recent", "markov"])
    assert list(fitted) == ["popularity"] and list(left_out) == ["recent", "markov"]
    with pytest.raises(ValueError, match="BASELINES: expected names among random"):
        baselines.fit("popularty", split)


def test_a_split_without_a_relevant_song_is_refused_with_its_account():
    split = Split.from_arrays([(0, 0), (0, 1)], [(0, 0)], [(0, 1)])
    with pytest.raises(ValueError, match="test: expected a user with a relevant song .*, got none; .*'repeat': 1"):
        evaluate.evaluate({"model": Fixed([[1, 2]])}, split)
