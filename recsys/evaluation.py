"""Judging anything with `scores(users)`: metrics by user, intervals, paired differences, and the author's 1-of-21."""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys import metrics
from recsys.metrics import Ranks
from recsys.ranking import Ranking, Scorer, batches_of_users, rank
from recsys.runs import write_atomically, write_json
from recsys.split import PARTS, Interactions, Split

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
        return len(next(iter(self.per_user.values())))

    def difference(self, a: str, b: str, metric: str) -> pd.Series:
        """Return the paired difference a − b of a metric: value, low, high, verdict."""
        rows = self.differences
        return rows[(rows.a == a) & (rows.b == b) & (rows.metric == metric)].iloc[0]

    def to_json(self, **more: Any) -> dict[str, Any]:
        """Return the content of metrics.json; `more` adds entries such as `sampled_accuracy` or seconds by model."""
        fit_seconds = more.pop("fit_seconds", {})
        models = {}
        for name in self.per_user:
            means = {metric: _rounded(row) for metric, row in self.means.loc[name].iterrows()}
            whole = {metric: {"value": round(value, 6)} for metric, value in self.whole[name].items()}
            models[name] = means | whole | {"rank_seconds": round(self.seconds[name], 3)}
            if name in fit_seconds:
                models[name]["fit_seconds"] = round(fit_seconds[name], 3)
        return {
            "dataset": self.split.name,
            "split": self.split.manifest["split"],
            "prepared": self.split.manifest["key"],
            "users": self.n_users,
            "models": models,
            "differences": [_rounded(row) for _, row in self.differences.iterrows()],
            **more,
        }

    def save(self, folder: Path, **more: Any) -> None:
        """Write metrics.json, per_user.parquet and recommendations.parquet (codes) into a folder, each atomically."""
        write_json(folder / "metrics.json", self.to_json(**more))
        long = pd.concat(
            frame.rename_axis("user").reset_index().melt("user", var_name="metric").assign(model=name)
            for name, frame in self.per_user.items()
        )
        with write_atomically(folder / "per_user.parquet") as path:
            long[["model", "user", "metric", "value"]].to_parquet(path, index=False)
        lists = pd.concat(
            pd.DataFrame(
                {
                    "model": name,
                    "user": np.repeat(ranking.users, ranking.depth),
                    "place": np.tile(np.arange(1, ranking.depth + 1), len(ranking.users)),
                    "item": ranking.items.ravel(),
                    "score": ranking.scores.ravel(),
                }
            )
            for name, ranking in self.rankings.items()
        )
        with write_atomically(folder / "recommendations.parquet") as path:
            lists[lists["item"] >= 0].to_parquet(path, index=False)


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
        lists = rankings[name].items
        whole[name] = {
            f"{metric.__name__}@{k}": metric(lists[:, :k], split.n_items)
            for metric in (metrics.coverage, metrics.gini)
            for k in cutoffs
        }
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
    ranking = rank(scorer, users, split.seen("train"), relevant, k)
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
    scores = np.empty(candidates.shape, np.float32)
    distinct, place = np.unique(users, return_inverse=True)
    order = np.argsort(place, kind="stable")
    first = 0
    for batch in batches_of_users(distinct, int(candidates.max(initial=0)) + 1):
        block = scorer.scores(batch)  # (batch, songs it knows)
        rows = order[slice(*np.searchsorted(place[order], (first, first + len(batch))))]
        songs = candidates[rows]
        found = block[(place[rows] - first)[:, None], np.minimum(songs, block.shape[1] - 1)]
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
    positive, best = scores[:, 0], scores.max(axis=1)
    tied = np.count_nonzero(scores == positive[:, None], axis=1)
    found = np.stack([positive >= best, (positive >= best) / tied, np.ones(len(rows))], axis=1)
    _, row_of = np.unique(rows.user, return_inverse=True)
    by_user = np.stack([np.bincount(row_of, weights=column) for column in found.T], axis=1)  # (n_users, 3)
    sums = bootstrap(by_user, n_resamples, seed)
    result = {"rows": len(rows), "candidates": candidates.shape[1]}
    for i, name in enumerate(("as_author", "tie_fair")):
        low, high = interval(sums[:, i] / sums[:, 2])
        result[name] = _rounded({"value": found[:, i].mean(), "low": low, "high": high})
    with np.errstate(invalid="ignore"):
        shifted = scores.astype(np.float64) - best[:, None]
        result["loss"] = round(float((np.log(np.exp(shifted).sum(axis=1)) - shifted[:, 0]).mean()), 6)
    return result


def _rounded(row: Any) -> dict[str, Any]:
    return {key: round(float(value), 6) if not isinstance(value, str) else value for key, value in dict(row).items()}
