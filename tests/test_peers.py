"""The judge of other libraries' lists agrees with the evaluation, and refuses lists that break a rule."""

import numpy as np
import pandas as pd
import pytest
from test_evaluate import random_split

from bench.peers import __main__ as peers
from recsys.evaluation.evaluate import evaluate
from recsys.models import baselines


@pytest.fixture(scope="module")
def split():
    return random_split(0, n_users=60, n_items=80)


@pytest.fixture(scope="module")
def result(split):
    return evaluate({"popularity": baselines.fit("popularity", split).scorer}, split, (20,))


@pytest.fixture(scope="module")
def lists(result):
    ranking = result.rankings["popularity"]
    return pd.DataFrame({"user": ranking.users.repeat(20), "item": ranking.items[:, :20].ravel()})


def test_lists_score_as_in_the_evaluation(split, lists):
    tie_free = type("Same", (), {"scores": lambda self, users: np.tile(-np.arange(80.0), (len(users), 1))})()
    expected = evaluate({"same": tie_free}, split, (20,))
    ranking = expected.rankings["same"]
    same = pd.DataFrame({"user": ranking.users.repeat(20), "item": ranking.items[:, :20].ravel()})
    pd.testing.assert_frame_equal(peers.judge(same, split), expected.per_user["same"][list(peers.METRICS)])
    first = lists["user"].iloc[0]
    assert (peers.judge(lists[lists["user"] != first], split).loc[first] == 0).all()


def test_a_list_that_breaks_a_rule_is_refused(split, lists):
    user = int(lists["user"].iloc[0])
    known = pd.DataFrame({"user": [user], "item": [split.known[[user]].indices[0]]})
    for wrong in (pd.concat([lists, lists[:1]]), pd.concat([lists[1:], known])):
        with pytest.raises(ValueError, match="different and new songs"):
            peers.judge(wrong, split)


def test_the_table_says_what_failed_and_links_the_code(split, lists):
    answers = {
        "implicit_knn": peers.Answer(1.5, 0.2, "K = 20", lists), "recbole_ease": peers.Answer(2, 0.1, "", None, "why"),
    }  # fmt: skip
    text = peers.table(answers, split, 0.0)
    assert "- RecBole 1.2.1: EASE: why" in text and "| – | – | 2 | 0.1 |" in text
    for script in peers.SCRIPTS:
        assert 5 < peers.count_lines(script) < 60
