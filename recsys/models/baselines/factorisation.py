"""Matrix factorisation by alternating least squares."""

from recsys.data.split import Split
from recsys.models.baselines.scorers import Vectors


def fit_als(
    split: Split, parts: tuple[str, ...], seed: int, regularisation: float, alpha: float, iterations: int = 15
) -> Vectors:
    """Factorise the weighted matrix of users and songs into vectors of length 64, with `implicit` (Hu et al. 2008)."""
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # implicit has its own threads; with BLAS threads too it is slow and warns
        options = {"regularization": regularisation, "alpha": alpha, "iterations": iterations}
        model = AlternatingLeastSquares(64, **options, random_state=seed)
        model.fit(split.seen(*parts), show_progress=False)
    return Vectors.for_split(split, model.user_factors, model.item_factors)
