"""Judging anything with `scores(users)`: metrics by user, intervals, paired differences, and the author's 1-of-21."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from recsys import metrics
from recsys.interactions import Interactions
from recsys.metrics import Ranks
from recsys.ranking import Ranking, Scorer, batches_of_users, rank
from recsys.runs import write_atomically, write_json
from recsys.split import PARTS, Split

CUTOFFS = (5, 10, 20, 100)
N_RESAMPLES = 1000
RESAMPLES_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found, by model name in the order given.

    `per_user` {model: frame of users × "metric@k"}; `whole` {model: {"metric@k": value of all lists together}};
    `rankings` {model: Ranking}; `seconds` {model: ranking time}; `means` (model, metric; value, low, high);
    `differences` (a, b, metric, value, low, high, verdict), of a minus b over the same users.
    """

    split: Split
    part: str
    per_user: dict[str, pd.DataFrame]
    whole: dict[str, dict[str, float]]
    rankings: dict[str, Ranking]
    seconds: dict[str, float]
    means: pd.DataFrame
    differences: pd.DataFrame

    @property
    def n_users(self) -> int:
        """Number of listeners with a relevant song."""
        return len(next(iter(self.per_user.values())))

    def difference(self, a: str, b: str, metric: str) -> pd.Series:
        """Return the paired difference a − b of a metric: value, low, high, verdict."""
        rows = self.differences
        return rows[(rows.a == a) & (rows.b == b) & (rows.metric == metric)].iloc[0]

    def to_json(self, **more: Any) -> dict[str, Any]:
        """Return the content of metrics.json; `more` adds entries such as `sampled_accuracy` or seconds by model."""
        fit_seconds = more.pop("fit_seconds", {})
        models = {}
        for name, whole in self.whole.items():
            models[name] = self.means.loc[name].round(6).to_dict("index")
            models[name] |= {metric: {"value": round(value, 6)} for metric, value in whole.items()}
            models[name]["rank_seconds"] = round(self.seconds[name], 3)
            if name in fit_seconds:
                models[name]["fit_seconds"] = round(fit_seconds[name], 3)
        facts = {"dataset": self.split.name, "split": self.split.manifest["split"]}
        facts |= {"prepared": self.split.manifest["key"], "users": self.n_users}
        return facts | {"models": models, "differences": self.differences.round(6).to_dict("records"), **more}

    def save(self, folder: Path, **more: Any) -> None:
        """Write metrics.json, per_user.parquet and recommendations.parquet (codes) into a folder, each atomically."""
        write_json(folder / "metrics.json", self.to_json(**more))
        values, lists = pd.concat(self.per_user, names=["model", "user"]), {}
        for name, ranking in self.rankings.items():
            places = pd.MultiIndex.from_product([ranking.users, range(1, ranking.depth + 1)])
            columns = {"item": ranking.items.ravel(), "score": ranking.scores.ravel()}
            lists[name] = pd.DataFrame(columns, index=places).query("item >= 0")
        tables = {
            "per_user": values.melt(var_name="metric", ignore_index=False),
            "recommendations": pd.concat(lists, names=["model", "user", "place"]),
        }
        for name, table in tables.items():
            with write_atomically(folder / f"{name}.parquet") as path:
                table.reset_index().to_parquet(path, index=False, compression="zstd")


def evaluate(
    scorers: dict[str, Scorer],
    split: Split,
    cutoffs: tuple[int, ...] = CUTOFFS,
    part: str = "test",
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Rank the whole catalogue, without the seen, for every user with a relevant song, and compare the models.

    Raises ValueError when no user has a relevant song: there is then nothing to find.
    """
    seen, relevant = split.seen(*PARTS[: PARTS.index(part)]), split.relevant(part)
    users = np.flatnonzero(np.diff(relevant.indptr))
    if not len(users):
        raise ValueError(
            f"{part}: expected users with a relevant song (a warm song, new to a warm user), got none among "
            f"{split.account(part)}"
        )
    popularity = np.asarray(split.counts(*PARTS[: PARTS.index(part)]).sum(axis=0)).ravel()
    per_user, whole, rankings, seconds = {}, {}, {}, {}
    for name, scorer in scorers.items():
        start = time.perf_counter()
        rankings[name] = rank(scorer, users, seen, relevant, max(cutoffs))
        seconds[name] = time.perf_counter() - start
        per_user[name] = metrics_by_user(rankings[name], cutoffs, popularity)
        whole[name] = {f"{metric.__name__}@{k}": metric(rankings[name].items[:, :k], split.n_items)
                       for metric in (metrics.coverage, metrics.gini) for k in cutoffs}  # fmt: skip
    means, differences = compare(per_user, n_resamples, seed)
    return Evaluation(split, part, per_user, whole, rankings, seconds, means, differences)


def metrics_by_user(ranking: Ranking, cutoffs: tuple[int, ...], popularity: np.ndarray) -> pd.DataFrame:
    """Return one row a user (index: code) and one column a metric and cutoff, such as "ndcg@20"."""
    ranks = Ranks(ranking.owner, ranking.greater, ranking.tied, len(ranking.users))
    columns = {f"{name}@{k}": metric(ranks, k) for name, metric in metrics.BY_USER.items() for k in cutoffs}
    columns |= {f"novelty@{k}": metrics.novelty(ranking.items[:, :k], popularity) for k in cutoffs}
    columns |= {f"tail_share@{k}": metrics.tail_share(ranking.items[:, :k], popularity) for k in cutoffs}
    return pd.DataFrame(columns, index=ranking.users)


def validation_ndcg(scorer: Scorer, split: Split, k: int = 20, max_users: int = 5000, seed: int = 0) -> float:
    """Return the mean NDCG@k over (a fixed sample of) the users of validation: what every choice is made on."""
    relevant = split.relevant("validation")
    users = np.flatnonzero(np.diff(relevant.indptr))
    if len(users) > max_users:
        users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
    if not len(users):
        raise ValueError("validation: expected users with a relevant song, got none; try a larger VALIDATION_FRACTION")
    ranking = rank(scorer, users, split.seen("train", users=users), relevant, k)
    return float(metrics.ndcg(Ranks(ranking.owner, ranking.greater, ranking.tied, len(users)), ranking.depth).mean())


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


def draw_candidates(positives: np.ndarray, n_negatives: int, n_pool: int, seed: int = 0) -> np.ndarray:
    """Return each positive followed by uniform draws, with replacement, from codes 0…n_pool−1: (n, 1 + n_negatives)."""
    negatives = np.random.default_rng(seed).integers(0, n_pool, (len(positives), n_negatives), dtype=np.int32)
    return np.concatenate([np.asarray(positives, np.int32)[:, None], negatives], axis=1)


def candidate_scores(scorer: Scorer, users: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the score of each candidate: float32 (n, candidates); −inf for a song that the scorer does not know."""
    scores, first = np.empty(candidates.shape, np.float32), 0
    distinct, place = np.unique(users, return_inverse=True)
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    for batch in batches_of_users(distinct, int(candidates.max(initial=0)) + 1):
        block = scorer.scores(batch)  # (batch, songs it knows)
        rows = order[slice(*np.searchsorted(ordered, (first, first + len(batch))))]
        own, songs = (place[rows] - first)[:, None], candidates[rows]
        found = block[own, np.minimum(songs, block.shape[1] - 1)]
        scores[rows] = np.where(songs < block.shape[1], found, -np.inf)
        first += len(batch)
    return scores


def sampled_accuracy(
    scorer: Scorer, rows: Interactions, candidates: np.ndarray, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Return the author's accuracy, is column 0 the best of the candidates, over all rows, cold ones too.

    `as_author` lets the first maximum win, so that ties count as hits; `tie_fair` shares a hit among the tied. Both
    with 95 % intervals over users; `loss` is the softmax cross-entropy of the scores taken as logits.
    """
    scores = candidate_scores(scorer, rows.user, candidates)
    positive, one = scores[:, 0], np.ones(len(rows))
    found = positive >= scores.max(axis=1)
    fair = found / np.count_nonzero(scores == positive[:, None], axis=1)
    result: dict[str, Any] = {"rows": len(rows), "candidates": candidates.shape[1]}
    for name, hits in (("as_author", found), ("tie_fair", fair)):
        triple = over_users(rows.user, [hits, one], ratio, seed, n_resamples)
        result[name] = dict(zip(("value", "low", "high"), np.round(triple, 6).tolist(), strict=True))
    with np.errstate(invalid="ignore"):
        losses = logsumexp(scores.astype(np.float64), axis=1) - positive
    return result | {"loss": round(float(losses.mean()), 6)}
