"""Evaluate any model that has a `scores(users)` method: metrics by user, means and differences with intervals."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.split import Split
from recsys.evaluation import metrics
from recsys.evaluation.bootstrap import compare
from recsys.evaluation.ranking import Ranking, Scorer, rank
from recsys.files import write_atomically, write_json

CUTOFFS = (5, 10, 20, 100)  # lengths of the lists
MAIN_METRIC = "ndcg@20"  # decides the order of the models, and which is best
VALIDATION_USERS = 5000  # evaluated at most where choices are made
VALIDATION_SCORES = 1_000_000_000  # computed at most for that: of a large catalogue, for fewer users
TEST_SCORES = 3_000_000_000  # computed at most by each model, where nobody says for how many users of test


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `evaluate`: all models, by name, on the same users of test."""

    split: Split
    per_user: dict[str, pd.DataFrame]  # users × metrics, such as "ndcg@20"
    aggregate: dict[str, dict[str, float]]  # metrics of all lists together
    rankings: dict[str, Ranking]
    rank_seconds: dict[str, float]
    means: pd.DataFrame  # index model, metric; columns value, low, high
    differences: pd.DataFrame  # a − b over the same users; columns a, b, metric, value, low, high, verdict
    validation: dict[str, float]  # NDCG@20 on validation, where the caller knows it

    @property
    def n_users(self) -> int:
        """Number of evaluated users: those with a relevant song."""
        return len(next(iter(self.per_user.values())))

    @property
    def leader(self) -> str:
        """The model with the highest NDCG@20 on validation, or on test if that of validation is not known for all.

        The model that is best on test is partly best by luck; one that is chosen before is judged fairly.
        """
        known = self.validation if self.validation.keys() == self.per_user.keys() else {}
        return max(self.ordered(), key=known.__getitem__) if known else self.ordered()[0]

    def compared(self, metric: str = MAIN_METRIC) -> list[str]:
        """Return the names of all models but the leader, best first by a metric."""
        return [name for name in self.ordered(metric) if name != self.leader]

    def ordered(self, metric: str = MAIN_METRIC) -> list[str]:
        """Return the models' names, best first by a metric."""
        return list(self.means.xs(metric, level="metric")["value"].sort_values(ascending=False, kind="stable").index)

    def difference(self, a: str, b: str, metric: str) -> pd.Series:
        """Return the difference a − b in a metric over the same users: value, low, high, verdict."""
        return self.differences.set_index(["a", "b", "metric"]).loc[(a, b, metric)]

    def save(self, folder: Path, seconds: dict[str, float], **more: Any) -> None:
        """Write metrics.json, per_user.parquet and recommendations.parquet (by code) into a folder, each atomically.

        `seconds` are by model, where known, with the choice of settings. `more` adds entries to metrics.json.
        """
        models, lists = {}, {}
        for name, ranking in self.rankings.items():
            models[name] = self.means.loc[name].round(6).to_dict("index")
            models[name] |= {metric: {"value": round(value, 6)} for metric, value in self.aggregate[name].items()}
            models[name]["rank_seconds"] = round(self.rank_seconds[name], 3)
            if name in seconds:
                models[name]["seconds"] = round(seconds[name], 3)
            places = pd.MultiIndex.from_product([ranking.users, range(1, ranking.items.shape[1] + 1)])
            columns = {"item": ranking.items.ravel(), "score": ranking.scores.ravel()}
            lists[name] = pd.DataFrame(columns, index=places).query("item >= 0")
        facts = {"dataset": self.split.name, "split": self.split.manifest["split"]}
        facts |= {"prepared": self.split.manifest["key"], "users": self.n_users, "models": models}
        facts |= {"test_sample": self.split.test_sample} if self.split.test_sample else {}
        facts |= {"leader": self.leader, "validation": {name: round(v, 6) for name, v in self.validation.items()}}
        facts |= {"differences": self.differences.round(6).to_dict("records")}
        write_json(folder / "metrics.json", facts | more)
        tables = {
            "per_user": pd.concat(self.per_user, names=["model", "user"]).melt(var_name="metric", ignore_index=False),
            "recommendations": pd.concat(lists, names=["model", "user", "place"]),
        }
        for name, table in tables.items():
            with write_atomically(folder / f"{name}.parquet") as path:
                table.reset_index().to_parquet(path, index=False, compression="zstd")


def evaluate(
    scorers: dict[str, Scorer], split: Split, cutoffs: tuple[int, ...] = CUTOFFS, seed: int = 0,
    validation: dict[str, float] | None = None,
) -> Evaluation:  # fmt: skip
    """Rank all songs but the seen ones for every user with a relevant song in test, and compare the models, by name.

    `cutoffs` are the lengths of the lists. `validation` has each model's NDCG@20 on validation, which names the leader.
    Raises ValueError if no user has a relevant song.
    """
    relevant, popularity = split.relevant("test"), count_listens(split)
    users = np.flatnonzero(np.diff(relevant.indptr))
    if not len(users):
        expected = "a user with a relevant song (a warm song, new to a warm user)"
        raise ValueError(f"test: expected {expected}, got none; the rows of test are {split.account('test')}")
    per_user, aggregate, rankings, rank_seconds = {}, {}, {}, {}
    for name, scorer in scorers.items():
        start = time.perf_counter()
        rankings[name] = rank(scorer, users, split.known, relevant, max(cutoffs))
        rank_seconds[name] = time.perf_counter() - start
        per_user[name] = metrics_by_user(rankings[name], cutoffs, popularity)
        aggregate[name] = {f"{metric}@{k}": function(rankings[name].items[:, :k], split.n_items)
                           for metric, function in metrics.AGGREGATE.items() for k in cutoffs}  # fmt: skip
    means, differences = compare(per_user, seed)
    return Evaluation(split, per_user, aggregate, rankings, rank_seconds, means, differences, validation or {})


def count_listens(split: Split) -> np.ndarray:
    """Return the listens of each warm song in train and validation: float32 (n_items,)."""
    return np.asarray(split.counts("train", "validation").sum(axis=0)).ravel()


def metrics_by_user(ranking: Ranking, cutoffs: tuple[int, ...], popularity: np.ndarray) -> pd.DataFrame:
    """Return one row per user (index: code) and one column per metric and cutoff, such as "ndcg@20"."""
    columns = {f"{name}@{k}": metric(ranking.ranks, k) for name, metric in metrics.BY_USER.items() for k in cutoffs}
    for name, of_list in metrics.BY_LIST.items():
        columns |= {f"{name}@{k}": of_list(ranking.items[:, :k], popularity) for k in cutoffs}
    return pd.DataFrame(columns, index=ranking.users)


def validation_ndcg(scorer: Scorer, split: Split) -> float:
    """Return the mean NDCG@20 on validation, by which choices are made; of a fixed sample if there are many users."""
    return float(validation_ndcg_by_user(scorer, split).mean())


def validation_ndcg_by_user(scorer: Scorer, split: Split) -> np.ndarray:
    """Return the NDCG@20 on validation of each user, or of a fixed sample of them: (users,)."""
    relevant = split.relevant("validation")
    users = np.flatnonzero(np.diff(relevant.indptr))
    if len(users) > (most := min(VALIDATION_USERS, max(VALIDATION_SCORES // split.n_items, 1))):
        users = np.sort(np.random.default_rng(0).choice(users, most, replace=False))
    if not len(users):
        raise ValueError("validation: expected a user with a relevant song, got none; set a larger VALIDATION_FRACTION")
    ranking = rank(scorer, users, split.seen("train", users=users), relevant, depth=20)
    return metrics.ndcg(ranking.ranks, ranking.items.shape[1])
