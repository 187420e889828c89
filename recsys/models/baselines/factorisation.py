"""Matrix factorisation with `implicit` and LensKit: ALS as a baseline, and the libraries as peers of `05_benchmark`."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.split import Split
from recsys.evaluation.ranking import Scorer
from recsys.models.baselines.scorers import DoesNotApply, Product

DIM = 64  # length of all vectors, where no setting says otherwise
EXPONENT = 1.0  # of the frequency by which ALS scales the regularisation


def fit_als(
    split: Split, parts: tuple[str, ...], seed: int, regularisation: float, alpha: float, factors: int = DIM,
    iterations: int = 15,
) -> Product:  # fmt: skip
    """Fit weighted alternating least squares (Hu et al. 2008) with the solver of `implicit`.

    A listen weighs `alpha`, any other pair 1. The regularisation of a user or song grows with the weight of its pairs,
    which is what makes ALS strong (Rendle et al. 2021, arXiv 2110.14037); `regularisation` is the mean over users, and
    over songs.
    """
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    users = split.seen(*parts) * np.float32(alpha)  # (n_users, n_items)
    songs, rng = users.T.tocsr(), np.random.default_rng(seed)
    tables = [0.01 * rng.random((n, factors), np.float32) for n in users.shape]
    sides = [(_groups(users, regularisation), 0, 1), (_groups(songs, regularisation), 1, 0)]
    with threadpool_limits(1, "blas"):  # implicit has its own threads; with BLAS threads too it is slow and warns
        model = AlternatingLeastSquares(factors, random_state=seed)
        for _ in range(iterations):
            for groups, own, other in sides:
                for rows, weights, strength in groups:
                    vectors = tables[own][rows]
                    model.solver(weights, vectors, tables[other], strength, num_threads=model.num_threads)
                    tables[own][rows] = vectors
    return Product.for_split(split, tables[0], tables[1].T)


def _groups(weights: sparse.csr_matrix, regularisation: float) -> list[tuple[np.ndarray, sparse.csr_matrix, float]]:
    """Group rows of about the same regularisation, as the solver takes one for all: codes, weights, regularisation.

    It is rounded to powers of √2, relative to the mean.
    """
    n_other = weights.shape[1]
    frequency = (np.asarray(weights.sum(axis=1)).ravel() + n_other) ** EXPONENT
    level = np.round(2 * np.log2(frequency / frequency.mean()))
    rows = [np.flatnonzero(level == each) for each in np.unique(level)]
    return [(each, weights[each], regularisation * 2 ** (level[each[0]] / 2)) for each in rows]


def fit_bpr(
    split: Split, parts: tuple[str, ...], seed: int, iterations: int, learning_rate: float, regularisation: float
) -> Product:
    """Fit Bayesian personalised ranking (Rendle et al. 2009) with `implicit`; it adds a bias to the vectors."""
    from implicit.bpr import BayesianPersonalizedRanking

    options = {"learning_rate": learning_rate, "regularization": regularisation, "iterations": iterations}
    model = BayesianPersonalizedRanking(DIM, **options, random_state=seed)
    model.fit(split.seen(*parts), show_progress=False)
    return Product.for_split(split, model.user_factors, model.item_factors.T)


def fit_lenskit(split: Split, parts: tuple[str, ...], seed: int, iterations: int, regularisation: float) -> Product:
    """Fit alternating least squares with LensKit. Raises DoesNotApply if LensKit is not installed."""
    try:
        from lenskit.als import ImplicitMFScorer
        from lenskit.data import from_interactions_df
        from lenskit.training import TrainingOptions
    except ImportError:
        raise DoesNotApply("it is not installed; the extra `peers` installs it") from None
    users, items = split.seen(*parts).nonzero()
    data = from_interactions_df(pd.DataFrame({"user_id": users, "item_id": items}))
    model = ImplicitMFScorer(embedding_size=DIM, epochs=iterations, regularization=regularisation)
    model.train(data, TrainingOptions(rng=seed))
    tables = [np.zeros((n, DIM), np.float32) for n in (split.n_users, split.n_items)]
    tables[0][model.users.ids()], tables[1][model.items.ids()] = model.user_embeddings, model.item_embeddings
    return Product.for_split(split, tables[0], tables[1].T)


# name: (function that fits it to (split, parts, seed, iterations, **settings), iterations to try, settings to try)
PEERS: dict[str, tuple[Callable[..., Scorer], tuple[int, ...], list[dict[str, float]]]] = {
    "als": (fit_als, (1, 3, 8, 15), [{"regularisation": r, "alpha": a} for r, a in ((50, 10), (100, 50), (100, 200))]),
    "bpr": (fit_bpr, (10, 30, 90), [{"learning_rate": r, "regularisation": 0.01} for r in (0.01, 0.05, 0.1)]),
    "lenskit": (fit_lenskit, (1, 3, 10), [{"regularisation": r} for r in (0.1, 1.0)]),
}
