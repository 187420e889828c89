"""Matrix factorisations of other libraries, to compare with in `05_benchmark`; all have vectors of length 64."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.data.split import Split
from recsys.evaluation.ranking import Scorer
from recsys.models.baselines.factorisation import fit_als
from recsys.models.baselines.scorers import DoesNotApply, Vectors

DIM = 64


def fit_bpr(
    split: Split, parts: tuple[str, ...], seed: int, iterations: int, learning_rate: float, regularisation: float
) -> Vectors:
    """Fit Bayesian personalised ranking (Rendle et al. 2009) with `implicit`; it adds a bias to the vectors."""
    from implicit.bpr import BayesianPersonalizedRanking

    options = {"learning_rate": learning_rate, "regularization": regularisation, "iterations": iterations}
    model = BayesianPersonalizedRanking(DIM, **options, random_state=seed)
    model.fit(split.seen(*parts), show_progress=False)
    return Vectors.for_split(split, model.user_factors, model.item_factors)


def fit_lenskit(split: Split, parts: tuple[str, ...], seed: int, iterations: int, regularisation: float) -> Vectors:
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
    return Vectors.for_split(split, *tables)


@dataclass(frozen=True)
class Peer:
    """How a peer is fitted, to (split, parts, seed, iterations, **settings), and what is tried on validation."""

    fit: Callable[..., Scorer]
    iterations: tuple[int, ...]
    grid: list[dict[str, float]]  # settings, tried with the middle number of iterations


PEERS = {
    "als": Peer(
        fit_als, (1, 3, 8, 15), [{"regularisation": r, "alpha": a} for r, a in ((0.01, 1), (1, 5), (10, 5))]
    ),
    "bpr": Peer(
        fit_bpr, (10, 30, 90), [{"learning_rate": rate, "regularisation": 0.01} for rate in (0.01, 0.05, 0.1)]
    ),
    "lenskit": Peer(fit_lenskit, (1, 3, 10), [{"regularisation": r} for r in (0.1, 1.0)]),
}  # fmt: skip
