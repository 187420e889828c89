"""Baselines: simple models that are hard to beat, chosen on validation. A new one goes into `BASELINES`."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.evaluation.ranking import Scorer
from recsys.models.baselines.factorisation import fit_als
from recsys.models.baselines.item_item import fit_ease, fit_itemknn
from recsys.models.baselines.popularity import fit_popularity, fit_random, fit_recent
from recsys.models.baselines.scorers import DoesNotApply

# name: (function that fits it to (split, parts, seed, **settings), settings to try on validation)
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
    """A fitted baseline: the chosen settings, and all that were tried, each with its NDCG@20 on validation."""

    scorer: Scorer
    settings: dict[str, Any]
    trials: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    fit_seconds: float = 0.0  # of the last fit alone


def fit_all(split: Split, names: Iterable[str], seed: int = 0) -> tuple[dict[str, Fitted], dict[str, str]]:
    """Fit the named baselines. Return the fitted ones, and the reason for each that does not apply to the split."""
    fitted, left_out = {}, {}
    for name in names:
        try:
            fitted[name] = fit(name, split, seed)
            print(f"{name}: fitted in {fitted[name].fit_seconds:.1f} s")
        except DoesNotApply as reason:
            left_out[name] = str(reason)
            print(f"{name}: left out, {reason}")
    return fitted, left_out


def fit(name: str, split: Split, seed: int = 0) -> Fitted:
    """Choose a baseline's settings on validation, then fit it on train and validation.

    Raises ValueError for an unknown name, DoesNotApply if the baseline cannot be fitted to this split.
    """
    if name not in BASELINES:
        raise ValueError(f"BASELINES: expected names among {' '.join(BASELINES)}; got {name!r}")
    fitter, grid = BASELINES[name]
    trials = []
    if len(grid) > 1:
        trials = [(each, validation_ndcg(fitter(split, ("train",), seed, **each), split)) for each in grid]
    settings = max(trials, key=lambda trial: trial[1])[0] if trials else grid[0]
    start = time.perf_counter()
    scorer = fitter(split, ("train", "validation"), seed, **settings)
    return Fitted(scorer, settings, trials, time.perf_counter() - start)
