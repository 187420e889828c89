"""The metrics of the library `implicit`, for its own model, equal ours where the definitions agree."""

import numpy as np
import pytest
from implicit.als import AlternatingLeastSquares
from implicit.evaluation import ranking_metrics_at_k
from test_evaluate import random_split

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
    unknown_user = np.zeros((1, 8), np.float32)
    scorer = scorers.Product(np.concatenate([model.user_factors, unknown_user]), model.item_factors.T)
    return split, model, users, rank(scorer, users, split.known, relevant, K).ranks


def test_map_and_ndcg_equal_ours_if_only_new_songs_are_relevant(als):
    split, model, _, ranks = als
    theirs = ranking_metrics_at_k(model, split.known, split.relevant(), K=K, show_progress=False)
    assert theirs["map"] == pytest.approx(metrics.average_precision(ranks, K).mean())
    assert theirs["ndcg"] == pytest.approx(metrics.ndcg(ranks, K).mean())


def test_its_precision_is_our_hits_over_all_users_divided_by_a_capped_number_of_relevant_songs(als):
    split, model, _, ranks = als
    theirs = ranking_metrics_at_k(model, split.known, split.relevant(), K=K, show_progress=False)["precision"]
    assert theirs == pytest.approx(metrics.hits(ranks, K).sum() / np.minimum(ranks.n_relevant, K).sum())
    assert theirs > metrics.precision(ranks, K).mean() + 0.1
    assert theirs < metrics.recall(ranks, K).mean() - 0.01


def test_it_counts_repeats_in_test_as_songs_that_are_never_found(als):
    split, model, users, ranks = als
    repeats = split.seen("test").multiply(split.known).tocoo()
    assert repeats.nnz
    everyone = np.union1d(users, repeats.row)  # users who have only repeats count too, without a hit
    owner = np.concatenate([users[ranks.owner], repeats.row])
    order = np.argsort(owner, kind="stable")
    greater, tied = (np.concatenate([values, np.full(repeats.nnz, value)])[order]
                     for values, value in ((ranks.greater, K), (ranks.tied, 1)))  # fmt: skip
    missed = Ranks(np.searchsorted(everyone, owner[order]), greater, tied, len(everyone))
    theirs = ranking_metrics_at_k(model, split.known, split.seen("test"), K=K, show_progress=False)
    assert theirs["map"] == pytest.approx(metrics.average_precision(missed, K).mean())
    assert theirs["ndcg"] == pytest.approx(metrics.ndcg(missed, K).mean())
    assert theirs["ndcg"] < metrics.ndcg(ranks, K).mean()
    assert theirs["precision"] == pytest.approx(metrics.hits(missed, K).sum() / np.minimum(missed.n_relevant, K).sum())
