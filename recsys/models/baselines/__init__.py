"""Baselines: simple models that are hard to beat, chosen on validation. A new one goes into `BASELINES`."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from recsys.data.samples import sample_users
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.evaluation.ranking import Scorer
from recsys.models.baselines.factorisation import fit_als
from recsys.models.baselines.item_item import fit_ease, fit_itemknn, neighbourhoods
from recsys.models.baselines.popularity import fit_popularity, fit_random, fit_recent
from recsys.models.baselines.scorers import DoesNotApply
from recsys.models.baselines.sequential import fit_itemknn_recent, fit_markov, fit_markov_knn, knn, knn_and_chain

REGULARISATIONS = (3.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1000.0, 2000.0)
# weight of a listen, regularisation
ALS_SETTINGS = [(3.0, 50.0), (10.0, 50.0), (50.0, 100.0), (200.0, 100.0), (1000.0, 300.0), (4000.0, 1000.0)]

# name: (function that fits it to (split, parts, seed, **settings), settings to try on validation: as many for each)
BASELINES: dict[str, tuple[Callable[..., Scorer], list[dict[str, Any]]]] = {
    "random": (fit_random, [{}]),
    "popularity": (fit_popularity, [{}]),
    "recent": (fit_recent, [{"share": 0.5**n} for n in range(12)]),
    "itemknn": (fit_itemknn, [
        *({"k": k, "shrinkage": each} for k in (30, 100, 300) for each in (0.0, 10.0)),
        *({"k": k, "weighting": "tfidf", "shrinkage": each} for k, each in ((100, 0.0), (100, 10.0), (300, 10.0))),
        *({"k": k, "weighting": "bm25"} for k in (30, 100, 300)),
    ]),
    "ease": (fit_ease, [{"regularisation": value} for value in REGULARISATIONS]),
    "als": (fit_als, [
        {"factors": n, "alpha": alpha, "regularisation": value} for n in (64, 128) for alpha, value in ALS_SETTINGS
    ]),
    "itemknn-recent": (fit_itemknn_recent, [
        {"half_life": n} for n in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
    ]),
    "markov": (fit_markov, [
        {"half_life": n, "steps": steps, "symmetric": symmetric}
        for n in (0.5, 1.0, 8.0, 64.0) for steps, symmetric in ((5, False), (5, True), (10, True))
    ]),
    "markov-knn": (fit_markov_knn, [
        {"half_life": n, "weight": weight} for n in (0.5, 1.0, 8.0, 64.0) for weight in (1.0, 3.0, 10.0)
    ]),
}  # fmt: skip
# name: function of (split, parts) that returns what all settings share
SHARED = {"ease": neighbourhoods, "itemknn-recent": knn, "markov-knn": knn_and_chain}
TRIALS = max(len(grid) for _, grid in BASELINES.values())  # of every baseline that has settings
SILENCE = 10.0  # seconds between two lines on the choice of settings, at least
TRIAL_ROWS = 1_000_000  # rows of train that a trial is fitted on, at most: those of a sample of users


@dataclass(frozen=True)
class Fitted:
    """A fitted baseline: the chosen settings, and the trials: all settings, each with its NDCG@20 on validation."""

    scorer: Scorer
    settings: dict[str, Any]
    trials: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    trial_users: int = 0  # whose rows the trials were fitted on and judged by
    validation: float = float("nan")  # NDCG@20 of the chosen settings on validation, fitted on all of train alone
    fit_seconds: float = 0.0  # of the last fit alone
    seconds: float = 0.0  # of the choice of settings and the last fit together


def fit_all(split: Split, names: Iterable[str], seed: int = 0) -> tuple[dict[str, Fitted], dict[str, str]]:
    """Fit the named baselines. Return the fitted ones, and the reason for each that does not apply to the split."""
    fitted, left_out = {}, {}
    for name in names:
        try:
            fitted[name] = fit(name, split, seed)
            print(f"{name}: {fitted[name].seconds:.1f} s, with the choice of settings")
        except DoesNotApply as reason:
            left_out[name] = str(reason)
            print(f"{name}: left out, {reason}")
    return fitted, left_out


def fit(name: str, split: Split, seed: int = 0) -> Fitted:
    """Choose a baseline's settings on validation, then fit it on train and validation.

    If train has more than `TRIAL_ROWS` rows, the settings are chosen on a sample of its users.
    Raises ValueError for an unknown name, DoesNotApply if the baseline cannot be fitted to this split.
    """
    if name not in BASELINES:
        raise ValueError(f"BASELINES: expected names among {' '.join(BASELINES)}; got {name!r}")
    began, (fitter, grid) = time.perf_counter(), BASELINES[name]
    sampled = len(grid) > 1 and len(split.train) > TRIAL_ROWS
    tried = sample_users(split, TRIAL_ROWS, seed) if sampled else split
    shared = {"shared": SHARED[name](tried, ("train",))} if name in SHARED else {}
    trials: list[tuple[dict[str, Any], float]] = []
    told = began
    for each in grid:
        trials.append((each, validation_ndcg(fitter(tried, ("train",), seed, **each, **shared), tried)))
        if len(grid) > 1 and time.perf_counter() > told + SILENCE:
            told = time.perf_counter()
            print(f"{name}: setting {len(trials)} of {len(grid)}, NDCG@20 on validation {trials[-1][1]:.4f}")
    settings, validation = max(trials, key=lambda trial: trial[1])
    if sampled:
        validation = validation_ndcg(fitter(split, ("train",), seed, **settings), split)
    start = time.perf_counter()
    scorer = fitter(split, ("train", "validation"), seed, **settings)
    end = time.perf_counter()
    return Fitted(scorer, settings, trials, tried.n_users, validation, end - start, end - began)
