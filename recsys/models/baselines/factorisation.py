"""Matrix factorisation by alternating least squares."""

from recsys.data.split import Split
from recsys.models.baselines.scorers import Vectors, vectors


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
