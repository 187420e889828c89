"""Lists and ranks equal those of a slow, obvious implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recsys.evaluation import ranking


class Fixed:
    """A scorer with a given matrix of scores (users, songs)."""

    def __init__(self, matrix):
        self.matrix = np.asarray(matrix, np.float32)

    def scores(self, users):
        return self.matrix[users]


def slow_top_k(row, k):
    order = sorted(range(len(row)), key=lambda column: (-row[column], column))[:k]
    return [column if row[column] > -np.inf else -1 for column in order]


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 200), st.integers(1, 12), st.booleans(),
    st.sampled_from([2, 3, ranking.CHUNK]),
)  # fmt: skip
def test_top_k_is_exact_with_ties_and_songs_that_must_not_be_listed(seed, rows, columns, k, tied, chunk):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (rows, columns)) if tied else rng.normal(size=(rows, columns))
    scores = np.where(rng.random((rows, columns)) < 0.2, -np.inf, scores).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "CHUNK", chunk)  # with 2, chunks are divided into chunks several times
        items, values = ranking.top_k(scores, k)
    for row in range(rows):
        assert items[row].tolist() == slow_top_k(scores[row], k)
        assert values[row].tolist() == sorted(scores[row], reverse=True)[:k]


@pytest.mark.parametrize("levels", [3, 50, 10**6])
def test_long_rows_give_the_same_as_sorting(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, (20, 25_000)).astype(np.float32)
    scores[0] = 7  # all tied
    scores[1, :24_998] = -np.inf  # two songs left
    items, _ = ranking.top_k(scores, 10)
    assert items.tolist() == [slow_top_k(row, 10) for row in scores]


def random_case(seed, n_users=17, n_items=60, levels=5):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (n_users, n_items)).astype(np.float32)
    kind = rng.random((n_users, n_items))
    return scores, sparse.csr_matrix(kind < 0.2, dtype=np.float32), sparse.csr_matrix(kind > 0.9, dtype=np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_ranks_count_the_greater_and_the_tied_songs(seed):
    scores, seen, relevant = random_case(seed)
    users = np.arange(len(scores))[::2]
    ranked = ranking.rank(Fixed(scores), users, seen, relevant, depth=15)
    found = {}
    for owner, greater, tied in zip(ranked.ranks.owner, ranked.ranks.greater, ranked.ranks.tied, strict=True):
        found.setdefault(owner, []).append((greater, tied))
    for row, user in enumerate(users):
        left = np.where(seen[user].toarray()[0] > 0, -np.inf, scores[user])
        assert not set(ranked.items[row]) & set(seen[user].indices)
        for (greater, tied), song in zip(found.get(row, []), relevant[user].indices, strict=True):
            assert greater == min((left > left[song]).sum(), 15)
            if greater < 15:
                assert tied == (left == left[song]).sum()


def assert_equal(one, other):
    for name in ("items", "scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("owner", "greater", "tied"):
        np.testing.assert_array_equal(getattr(one.ranks, name), getattr(other.ranks, name))


def test_batches_do_not_change_the_ranks(monkeypatch):
    scores, seen, relevant = random_case(1)
    users = np.arange(len(scores))
    whole = ranking.rank(Fixed(scores), users, seen, relevant)
    monkeypatch.setattr(ranking, "SCORES_IN_MEMORY", 60 * 4)
    monkeypatch.setattr(ranking, "SCORES_IN_CACHE", 60 * 3)
    split = ranking.rank(Fixed(scores), users, seen, relevant)
    assert_equal(whole, split)


@pytest.mark.parametrize("kind", ["writable", "read only", "of double precision"])
def test_the_scorers_own_array_is_left_unchanged(kind):
    scores, seen, relevant = random_case(1)
    kept = np.array(scores, np.float64 if kind == "of double precision" else np.float32)
    kept.setflags(write=kind != "read only")
    scorer = type("Kept", (), {"scores": lambda self, users: kept})()
    users, before = np.arange(len(kept)), kept.copy()
    first, expected = ranking.rank(scorer, users, seen, relevant), ranking.rank(Fixed(scores), users, seen, relevant)
    np.testing.assert_array_equal(kept, before)
    assert_equal(first, expected)
    if kind == "writable":
        kept[3, np.flatnonzero(seen[[3]].toarray()[0] == 0)[0]] = np.nan  # ranking fails half-way
        before = kept.copy()
        with pytest.raises(ValueError, match="users with NaN: 1$"):
            ranking.rank(scorer, users, seen, relevant)
        np.testing.assert_array_equal(kept, before)


def test_scores_with_nan_or_of_another_shape_are_refused():
    scores, seen, relevant = random_case(0)
    scores[3, 4] = np.nan
    with pytest.raises(ValueError, match="users with NaN: 1$"):
        ranking.rank(Fixed(scores), np.arange(17), seen, relevant)
    with pytest.raises(ValueError, match=r"at least 60\), got \(17, 17\)"):
        ranking.rank(Fixed(scores.T), np.arange(17), seen, relevant)
