"""Confidence intervals and paired differences from a bootstrap over users."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

N_RESAMPLES = 1000  # samples of users, drawn with replacement, behind every interval
RESAMPLES_AT_ONCE = 50  # limits the memory for their weights


def resampled_sums(values: np.ndarray, n_resamples: int, seed: int = 0) -> np.ndarray:
    """Draw users with replacement and return the column sums of `values` (n_users, m): (n_resamples, m)."""
    n_users, rng = len(values), np.random.default_rng(seed)
    sums = np.empty((n_resamples, values.shape[1]))
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        rows = range(start, min(start + RESAMPLES_AT_ONCE, n_resamples))
        weights = [np.bincount(rng.integers(0, n_users, n_users), minlength=n_users) for _ in rows]
        sums[rows] = np.stack(weights).astype(values.dtype) @ values  # (resamples, n_users) @ (n_users, m)
    return sums


def interval(samples: np.ndarray) -> np.ndarray:
    """Return the two ends of the 95 % percentile interval of samples along the first axis: (2, …)."""
    return np.percentile(samples, (2.5, 97.5), axis=0)


def simultaneous_intervals(point: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of intervals that hold at once, with 95 % probability, for all rows of `point` (n, …).

    `samples` (resamples, n, …) are bootstrap estimates of the same quantities. Each interval reaches to both sides as
    many standard errors as the largest deviation of any row has in 95 % of the resamples (max-t: Westfall & Young 1993,
    Resampling-Based Multiple Testing). With n = 1 it is the usual 1.96.
    """
    errors = samples.std(axis=0)  # (n, …)
    deviations = np.divide(abs(samples - point), errors, out=np.zeros_like(samples), where=errors > 0)
    reach = np.percentile(deviations.max(axis=1), 95, axis=0) * errors
    return point - reach, point + reach


def estimate(users: Any, columns: list[Any], statistic: Callable, seed: int) -> tuple[Any, Any, Any]:
    """Return a statistic and the ends of its 95 % interval over users: value, low, high.

    `users` and each of the `columns` have one entry per row. The statistic is a function of the column sums, such as
    `ratio`. Resamples in which it is undefined are left out; if it is undefined in all, the interval is NaN.
    """
    _, row = np.unique(users, return_inverse=True)
    sums = np.stack([np.bincount(row, np.asarray(column, float)) for column in columns], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = statistic(*sums.sum(axis=0))
        samples = np.asarray(statistic(*resampled_sums(sums, N_RESAMPLES, seed).T))
    defined = np.isfinite(samples).reshape(-1, samples.shape[-1]).all(axis=0)
    return value, *(interval(samples[..., defined].T) if defined.any() else (np.nan, np.nan))


def estimate_mean(users: Any, values: Any, seed: int) -> tuple[Any, Any, Any]:
    """Return the mean of values by row and the ends of its 95 % interval over users."""
    return estimate(users, [values, np.ones(len(users))], ratio, seed)


def ratio(a: Any, b: Any, c: Any = 0, d: Any = 1) -> Any:
    """Return a / b, or with four sums the difference of two ratios, a / b − c / d."""
    return a / b - c / d


def compare(per_user: dict[str, pd.DataFrame], seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the models' means and their paired differences, with 95 % intervals from the same resamples of users.

    `per_user` maps models to their metrics, users × metrics, with the same users. The interval of a mean holds for
    itself. Those of the differences of one model `a` from all others hold at once, in each metric, as
    `simultaneous_intervals` makes them. A difference is "better" if its interval lies above 0, "worse" if below, and
    else "not distinguishable".
    """
    names, metrics = list(per_user), list(next(iter(per_user.values())).columns)
    values = np.concatenate([frame.to_numpy() for frame in per_user.values()], axis=1)  # (n_users, models · metrics)
    shape = (len(names), len(metrics))
    point = values.mean(axis=0).reshape(shape)
    samples = (resampled_sums(values, N_RESAMPLES, seed) / len(values)).reshape(-1, *shape)
    low, high = interval(samples)
    index = pd.MultiIndex.from_product([names, metrics], names=["model", "metric"])
    means = pd.DataFrame({"value": point.ravel(), "low": low.ravel(), "high": high.ravel()}, index=index)
    rows = []
    for a in range(len(names) * (len(names) > 1)):
        others = [b for b in range(len(names)) if b != a]
        gaps = point[a] - point[others]  # (others, metrics)
        lows, highs = simultaneous_intervals(gaps, samples[:, [a]] - samples[:, others])
        for b, gap, low, high in zip(others, gaps, lows, highs, strict=True):
            for i, metric in enumerate(metrics):
                verdict = "better" if low[i] > 0 else "worse" if high[i] < 0 else "not distinguishable"
                rows.append((names[a], names[b], metric, gap[i], low[i], high[i], verdict))
    return means, pd.DataFrame(rows, columns=["a", "b", "metric", "value", "low", "high", "verdict"])
