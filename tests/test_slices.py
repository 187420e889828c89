"""Slices equal counts by hand, and the best possible ranking is better than a model."""

import numpy as np
import pytest
from test_evaluate import Fixed, random_split

from recsys.data.prepare import prepare
from recsys.data.samples import sample_test_users
from recsys.data.split import Split
from recsys.evaluation import slices
from recsys.evaluation.evaluate import evaluate
from recsys.models import baselines


def test_groups_of_songs_by_hand():
    assert slices.popularity_groups(np.array([1, 50, 10, 30, 8, 1])).tolist() == [
        "tail", "head", "tail", "middle", "tail", "tail",
    ]  # fmt: skip


def test_slices_add_up_to_the_total():
    split = random_split(4, n_users=120)
    result = evaluate({"popularity": baselines.fit("popularity", split).scorer}, split, cutoffs=(5, 20))
    rows = slices.by_popularity(result, k=5)
    assert rows["events"].sum() == split.relevant().nnz and rows["songs"].sum() == split.n_items
    sizes = np.diff(split.relevant().indptr)[result.per_user["popularity"].index]
    assert (rows["value"] * rows["events"]).sum() == pytest.approx(
        (result.per_user["popularity"]["recall@5"] * sizes).sum()
    )
    assert rows.set_index("slice")["value"]["head"] > rows.set_index("slice")["value"]["tail"]
    history = slices.by_history(result)
    assert history["users"].sum() == result.n_users
    mean = (history["value"] * history["users"]).sum() / result.n_users
    assert mean == pytest.approx(result.means.loc[("popularity", "recall@20"), "value"])
    assert (rows["low"] <= rows["value"]).all() and (rows["value"] <= rows["high"]).all()


def test_repeats_are_ranked_by_the_users_own_plays():
    split = Split.from_arrays([(0, 0), (0, 0), (0, 1), (1, 1), (1, 2)], [(0, 2)], [(0, 0), (0, 1), (1, 0)])
    found = slices.on_repeats(split, k=1)  # user 0 repeats song 0, played most, and song 1
    assert found["users"] == 1 and found["value"] == 0.5
    assert slices.on_repeats(Split.from_arrays([(0, 0), (0, 1)], [(0, 0)], [(0, 2)])) is None


def test_a_group_without_events_is_undefined_and_not_zero():
    split = Split.from_arrays([(0, 0)] * 9 + [(1, 1), (2, 2), (0, 1)], [(2, 0)], [(1, 0)])
    rows = slices.by_popularity(evaluate({"m": Fixed(np.zeros((3, 3)))}, split, cutoffs=(1,)), k=1)
    assert np.isnan(rows.set_index("slice")["value"]["tail"])


def test_the_best_possible_ranking_is_known_for_the_sample_split_by_time(tmp_path):
    split = Split.load(prepare("sample", root=tmp_path).folder)
    best = slices.ceiling_evaluation(split, (20,), seed=1)
    other = evaluate({name: baselines.fit(name, split).scorer for name in ("popularity", "itemknn")}, split, (20,))
    assert best.ordered() == ["ceiling"] and best.n_users == other.n_users
    for metric in ("ndcg@20", "recall@20"):
        assert best.means.loc[("ceiling", metric), "low"] > other.means["high"].xs(metric, level="metric").max()
    assert slices.ceiling_evaluation(sample_test_users(split, 50)) is None  # when test begins is not known then
    assert slices.ceiling_evaluation(random_split()) is None
    assert slices.ceiling_evaluation(Split.load(prepare("sample", root=tmp_path, split="random").folder)) is None
