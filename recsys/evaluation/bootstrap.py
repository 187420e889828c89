"""Confidence intervals and paired differences, by resampling users."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

N_RESAMPLES = 1000
RESAMPLES_AT_ONCE = 50
def bootstrap(values: np.ndarray, n_resamples: int = N_RESAMPLES, seed: int = 0) -> np.ndarray:
    """Return the sums of the columns of `values` (n_users, m) over users drawn with replacement: (n_resamples, m)."""
    n_users = len(values)
    rng = np.random.default_rng(seed)
    sums = np.empty((n_resamples, values.shape[1]))
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        rows = range(start, min(start + RESAMPLES_AT_ONCE, n_resamples))
        weights = [np.bincount(rng.integers(0, n_users, n_users), minlength=n_users) for _ in rows]
        sums[rows] = np.stack(weights).astype(values.dtype) @ values  # (resamples, n_users) @ (n_users, m)
    return sums


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 2.5 and 97.5 % points of the samples along the first axis: a 95 % percentile interval."""
    low, high = np.percentile(samples, (2.5, 97.5), axis=0)
    return low, high


def over_users(
    users: Any, columns: list[Any], statistic: Callable, seed: int, n_resamples: int = N_RESAMPLES
) -> tuple[Any, Any, Any]:
    """Return a statistic of the columns' sums, with its 95 % interval over users: the columns are by row, `users` too.

    Resamples in which it is undefined are left out; without any other, the interval is NaN.
    """
    _, row = np.unique(users, return_inverse=True)
    sums = np.stack([np.bincount(row, np.asarray(column, float)) for column in columns], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value, samples = statistic(*sums.sum(axis=0)), np.asarray(statistic(*bootstrap(sums, n_resamples, seed).T))
    defined = np.isfinite(samples).reshape(-1, samples.shape[-1]).all(axis=0)
    return value, *(interval(samples[..., defined].T) if defined.any() else (np.nan, np.nan))


def ratio(a: Any, b: Any, c: Any = 0, d: Any = 1) -> Any:
    """Return a / b − c / d: a share, or the difference of two."""
    return a / b - c / d


def compare(per_user: dict[str, pd.DataFrame], n_resamples: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return means with intervals, and paired differences with verdicts, from one bootstrap over the users.

    A difference is "better" or "worse" when its 95 % interval leaves out 0, else "not distinguishable".
    """
    names, columns = list(per_user), list(next(iter(per_user.values())).columns)
    values = np.concatenate([frame.to_numpy() for frame in per_user.values()], axis=1)  # (n_users, models · metrics)
    shape = (len(names), len(columns))
    point = values.mean(axis=0).reshape(shape)
    samples = (bootstrap(values, n_resamples, seed) / len(values)).reshape(-1, *shape)
    low, high = interval(samples)
    index = pd.MultiIndex.from_product([names, columns], names=["model", "metric"])
    means = pd.DataFrame({"value": point.ravel(), "low": low.ravel(), "high": high.ravel()}, index=index)
    rows = []
    for a, b in itertools.permutations(range(len(names)), 2):
        low, high = interval(samples[:, a] - samples[:, b])
        for i, metric in enumerate(columns):
            verdict = "better" if low[i] > 0 else "worse" if high[i] < 0 else "not distinguishable"
            rows.append((names[a], names[b], metric, point[a, i] - point[b, i], low[i], high[i], verdict))
    return means, pd.DataFrame(rows, columns=["a", "b", "metric", "value", "low", "high", "verdict"])
