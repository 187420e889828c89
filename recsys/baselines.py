"""Baselines that are hard to beat, behind the same `scores(users)` as the models, each with the same few trials."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from recsys.evaluation import validation_ndcg
from recsys.ranking import Scorer
from recsys.split import Split

MEMORY_LIMIT = 2e9  # bytes that a dense songs × songs matrix and its inverse may take: some 12,900 songs, minutes


@dataclass(frozen=True)
class SameForAll:
    """The same scores for every user: `row`, float32 (n_items_all,)."""

    row: np.ndarray

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return the row for each user, (len(users), n_items_all)."""
        return np.broadcast_to(self.row, (len(users), len(self.row)))


@dataclass(frozen=True)
class RandomOrder:
    """An order of the songs of its own for every user, the same whenever he is asked for."""

    n_items: int
    seed: int

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items)."""
        return np.stack([np.random.default_rng((self.seed, int(u))).random(self.n_items, np.float32) for u in users])


@dataclass(frozen=True)
class ItemItem:
    """Sum of the similarities of a song to the songs of the user's history: `history @ similarity`.

    `history` csr (n_users_all + 1, n_items), the last row empty; `similarity` csr or dense (n_items, n_items_all).
    """

    history: sparse.csr_matrix
    similarity: Any

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all), zeros for who has no history."""
        product = self.history[_rows(users, self.history)] @ self.similarity
        return product.toarray() if sparse.issparse(product) else product


@dataclass(frozen=True)
class Vectors:
    """Dot products of user vectors (n_users_all + 1, dim), the last one zero, and song vectors (n_items_all, dim)."""

    users: np.ndarray
    items: np.ndarray

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return float32 (len(users), n_items_all), zeros for whom it does not know."""
        return self.users[_rows(users, self.users)] @ self.items.T


def fit_random(split: Split, parts: tuple[str, ...], seed: int) -> RandomOrder:
    """A random order of all songs for each user."""
    return RandomOrder(split.n_items_all, seed)


def fit_popularity(split: Split, parts: tuple[str, ...], seed: int) -> SameForAll:
    """Number of listens to a song in the parts; a song that does not occur there has 0."""
    return SameForAll(np.bincount(split.warm(*parts).item, minlength=split.n_items_all).astype(np.float32))


def fit_recent(split: Split, parts: tuple[str, ...], seed: int, share: float) -> SameForAll:
    """Number of listens to a song in the latest `share` of all listens; raises DoesNotApply without timestamps."""
    rows = split.warm(*parts)
    if rows.timestamp is None:
        raise DoesNotApply("recent popularity needs timestamps, and these listens have none")
    last = np.argsort(rows.timestamp, kind="stable")[-max(int(share * len(rows)), 1) :]
    return SameForAll(np.bincount(rows.item[last], minlength=split.n_items_all).astype(np.float32))


def fit_itemknn(split: Split, parts: tuple[str, ...], seed: int, k: int) -> ItemItem:
    """Cosine of the songs' listeners, the k most similar songs of each kept (Sarwar et al. 2001)."""
    from implicit.nearest_neighbours import all_pairs_knn

    seen = split.seen(*parts)
    norms = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))
    listeners = (seen @ sparse.diags_array(1 / norms)).tocsr().astype(np.float64)  # (n_users, n_items), unit columns
    # implicit wants users in rows; + 1 for the song itself
    similarity = all_pairs_knn(listeners, k + 1, show_progress=False).tocsr().astype(np.float32)
    similarity.setdiag(0)
    similarity.resize(split.n_items, split.n_items_all)
    return ItemItem(_all_users(seen, split), similarity)


def fit_ease(split: Split, parts: tuple[str, ...], seed: int, regularisation: float) -> ItemItem:
    """Linear item–item model with a zero diagonal in closed form (Steck 2019, arXiv 1905.03375).

    Raises DoesNotApply where songs × songs numbers do not fit in memory.
    """
    needed, allowed = 3 * 4 * split.n_items**2 / 1e9, MEMORY_LIMIT / 1e9
    if needed > allowed:
        raise DoesNotApply(f"{split.n_items:,} songs need {needed:.0f} GB, more than the {allowed:.0f} GB allowed")
    seen = split.seen(*parts)
    gram = (seen.T @ seen).toarray()  # (n_items, n_items)
    gram[np.diag_indices_from(gram)] += np.float32(regularisation)
    factor, _ = lapack.spotrf(gram, lower=1)  # by Cholesky: half the work of a general inverse
    lower, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return ItemItem(_all_users(seen, split), np.pad(weights, ((0, 0), (0, split.n_items_all - split.n_items))))


def fit_als(
    split: Split, parts: tuple[str, ...], seed: int, regularisation: float, alpha: float, iterations: int = 15
) -> Vectors:
    """Weighted matrix factorisation by alternating least squares (Hu et al. 2008) of `implicit`, 64 factors."""
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # implicit has threads of its own, and is slow and noisy when both have
        options = {"regularization": regularisation, "alpha": alpha, "iterations": iterations}
        model = AlternatingLeastSquares(64, **options, random_state=seed)
        model.fit(split.seen(*parts), show_progress=False)
    return vectors(split, model.user_factors, model.item_factors)


def vectors(split: Split, users: np.ndarray, items: np.ndarray) -> Vectors:
    """Return warm users' and songs' vectors as a scorer, to whom all others have none."""
    more = (split.n_users_all + 1 - split.n_users, split.n_items_all - split.n_items)
    return Vectors(*(np.pad(table, ((0, n), (0, 0))) for table, n in zip((users, items), more, strict=True)))


class DoesNotApply(ValueError):
    """A baseline that cannot be fitted to this split, with the reason."""


# name: how it is fitted, and the settings that are tried on validation
BASELINES: dict[str, tuple[Callable[..., Scorer], list[dict[str, Any]]]] = {
    "random": (fit_random, [{}]),
    "popularity": (fit_popularity, [{}]),
    "recent": (fit_recent, [{"share": share} for share in (0.01, 0.03, 0.1, 0.3)]),
    "itemknn": (fit_itemknn, [{"k": k} for k in (10, 30, 100, 300)]),
    "ease": (fit_ease, [{"regularisation": value} for value in (100.0, 300.0, 1000.0, 3000.0)]),
    "als": (fit_als, [{"regularisation": r, "alpha": a} for r, a in ((0.01, 1), (1.0, 5), (10.0, 5), (30.0, 20))]),
}


@dataclass(frozen=True)
class Fitted:
    """A fitted baseline: the scorer, its settings, (settings, NDCG@20 on validation) of each trial, and seconds."""

    scorer: Scorer
    settings: dict[str, Any]
    trials: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    fit_seconds: float = 0.0


def fit(name: str, split: Split, seed: int = 0) -> Fitted:
    """Choose a baseline's settings on validation, then fit it on train and validation.

    `fit_seconds` is the time of the last fit alone. Raises ValueError for an unknown name, and DoesNotApply.
    """
    if name not in BASELINES:
        raise ValueError(f"expected baselines among {' '.join(BASELINES)}; got {name!r}")
    fitter, grid = BASELINES[name]
    trials = []
    if len(grid) > 1:
        trials = [(each, validation_ndcg(fitter(split, ("train",), seed, **each), split)) for each in grid]
    settings = max(trials, key=lambda trial: trial[1])[0] if trials else grid[0]
    start = time.perf_counter()
    scorer = fitter(split, ("train", "validation"), seed, **settings)
    return Fitted(scorer, settings, trials, time.perf_counter() - start)


def _all_users(matrix: sparse.csr_matrix, split: Split) -> sparse.csr_matrix:
    """Add an empty row for each cold user, and one for all that are unknown."""
    matrix.resize(split.n_users_all + 1, split.n_items)
    return matrix


def _rows(users: np.ndarray, table: Any) -> np.ndarray:
    """Return the users' rows of a table: that of a code outside it is the last, which is empty."""
    last = table.shape[0] - 1
    return np.where((users >= 0) & (users < last), users, last)
