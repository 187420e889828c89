"""The evaluation that `implicit` brings, on its own model, computed again from our ranks by its definitions."""

import numpy as np
import pytest
from implicit.als import AlternatingLeastSquares
from implicit.evaluation import ranking_metrics_at_k
from test_evaluation import random_split

from recsys.evaluation import metrics
from recsys.evaluation.metrics import Ranks
from recsys.evaluation.ranking import rank
from recsys.models.baselines import scorers

K = 5


@pytest.fixture(scope="module")
def als():
    split = random_split(n_users=200)
    model = AlternatingLeastSquares(8, random_state=0, num_threads=1)
    model.fit(split.known, show_progress=False)
    relevant = split.relevant()
    users = np.flatnonzero(np.diff(relevant.indptr))
    nobody = np.zeros((1, 8), np.float32)
    scorer = scorers.Vectors(np.concatenate([model.user_factors, nobody]), model.item_factors)
    ranked = rank(scorer, users, split.known, relevant, K)
    return split, model, users, Ranks(ranked.owner, ranked.greater, ranked.tied, len(users))


def test_map_and_ndcg_are_ours_when_only_new_songs_are_to_be_found(als):
    split, model, _, ranks = als
    theirs = ranking_metrics_at_k(model, split.known, split.relevant(), K=K, show_progress=False)
    assert theirs["map"] == pytest.approx(metrics.average_precision(ranks, K).mean())
    assert theirs["ndcg"] == pytest.approx(metrics.ndcg(ranks, K).mean())


def test_its_precision_is_a_recall_pooled_over_users_with_a_capped_divisor(als):
    split, model, _, ranks = als
    theirs = ranking_metrics_at_k(model, split.known, split.relevant(), K=K, show_progress=False)["precision"]
    assert theirs == pytest.approx(metrics.hits(ranks, K).sum() / np.minimum(ranks.n_relevant, K).sum())
    assert theirs > metrics.precision(ranks, K).mean() + 0.1
    assert theirs < metrics.recall(ranks, K).mean() - 0.01


def test_repeats_in_its_test_matrix_count_as_songs_that_are_never_found(als):
    split, model, users, ranks = als
    repeats = split.seen("test").multiply(split.known).tocoo()
    assert repeats.nnz
    everyone = np.union1d(users, repeats.row)  # who has only repeats counts too, with nothing found
    owner = np.concatenate([users[ranks.owner], repeats.row])
    order = np.argsort(owner, kind="stable")
    greater, tied = (np.concatenate([known, np.full(repeats.nnz, value)])[order]
                     for known, value in ((ranks.greater, K), (ranks.tied, 1)))  # fmt: skip
    missed = Ranks(np.searchsorted(everyone, owner[order]), greater, tied, len(everyone))
    theirs = ranking_metrics_at_k(model, split.known, split.seen("test"), K=K, show_progress=False)
    assert theirs["map"] == pytest.approx(metrics.average_precision(missed, K).mean())
    assert theirs["ndcg"] == pytest.approx(metrics.ndcg(missed, K).mean())
    assert theirs["ndcg"] < metrics.ndcg(ranks, K).mean()
    assert theirs["precision"] == pytest.approx(metrics.hits(missed, K).sum() / np.minimum(missed.n_relevant, K).sum())
