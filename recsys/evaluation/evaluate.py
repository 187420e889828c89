"""Evaluate any model that has a `scores(users)` method: metrics by user, means and differences with intervals."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.split import PARTS, Split
from recsys.evaluation import metrics
from recsys.evaluation.bootstrap import N_RESAMPLES, compare
from recsys.evaluation.metrics import Ranks
from recsys.evaluation.ranking import Ranking, Scorer, rank
from recsys.runs import write_atomically, write_json

CUTOFFS = (5, 10, 20, 100)
MAIN = "ndcg@20"  # the metric by which models are ordered and named best
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

    def ordered(self, metric: str = MAIN) -> list[str]:
        """Return the models' names, best first by a metric."""
        return list(self.means.xs(metric, level="metric")["value"].sort_values(ascending=False, kind="stable").index)

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
