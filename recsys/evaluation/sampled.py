"""The described system's accuracy "1 of n": drawn as its author measures it, and its exact expectation."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from recsys.data.interactions import Interactions, distinct
from recsys.data.split import PARTS, Split
from recsys.evaluation.bootstrap import estimate, estimate_mean
from recsys.evaluation.ranking import Scorer, batches_of_users

NEGATIVES = 20  # negatives per positive in the described system's test
MAX_SCORES = 40_000_000  # that `rank_distribution` reads: of more users than fit, a sample is taken, 300 at least


def draw_candidates(positives: np.ndarray, n_negatives: int, n_pool: int, seed: int = 0) -> np.ndarray:
    """Return each positive and negatives drawn with replacement from codes 0…n_pool−1: int32 (n, 1 + n_negatives)."""
    negatives = np.random.default_rng(seed).integers(0, n_pool, (len(positives), n_negatives), dtype=np.int32)
    return np.concatenate([np.asarray(positives, np.int32)[:, None], negatives], axis=1)


def candidate_scores(scorer: Scorer, users: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return each user's (n,) scores of their candidates: float32 (n, candidates), −inf for songs without a score."""
    scores = np.empty(candidates.shape, np.float32)
    for batch in batches_of_users(distinct(users), int(candidates.max(initial=0)) + 1):
        block = scorer.scores(batch)  # (batch, songs with a score)
        rows = np.flatnonzero(np.isin(users, batch))
        own, songs = np.searchsorted(batch, users[rows])[:, None], candidates[rows]
        found = block[own, np.minimum(songs, block.shape[1] - 1)]
        scores[rows] = np.where(songs < block.shape[1], found, -np.inf)
    return scores


def sampled_accuracy(scorer: Scorer, rows: Interactions, candidates: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return how often the positive, column 0 of the candidates, has the highest score; over all rows, cold ones too.

    `as_author` counts a tie as a hit. `tie_fair` shares a hit among the tied candidates. Both have 95 % intervals over
    users. `loss` is the softmax cross-entropy of the scores, taken as logits.
    """
    scores = candidate_scores(scorer, rows.user, candidates)
    positive = scores[:, 0]
    found = positive >= scores.max(axis=1)
    fair = found / np.count_nonzero(scores == positive[:, None], axis=1)
    result: dict[str, Any] = {"rows": len(rows), "candidates": candidates.shape[1]}
    for name, hits in (("as_author", found), ("tie_fair", fair)):
        with_interval = np.round(estimate_mean(rows.user, hits, seed), 6).tolist()
        result[name] = dict(zip(("value", "low", "high"), with_interval, strict=True))
    with np.errstate(invalid="ignore"):
        losses = logsumexp(scores.astype(np.float64), axis=1) - positive
    return result | {"loss": round(float(losses.mean()), 6)}


def rank_distribution(split: Split, scorer: Scorer, seed: int = 0) -> pd.DataFrame:
    """Return where the songs of test users rank among all songs: one row per listen of these users in any part.

    Columns part, user, item, `own` (share of all songs that the user has in any part), and for the pools `all` and
    `warm` songs, `lower_<pool>` and `tied_<pool>`: the shares of the pool with a lower score and with the same.
    """
    users, n_all = distinct(split.test.user), split.n_items_all
    if len(users) > (most := max(300, MAX_SCORES // n_all)):
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    own = {part: getattr(split, part)[np.isin(getattr(split, part).user, users)] for part in PARTS}
    rows = pd.concat(pd.DataFrame({"part": part, **vars(each)}) for part, each in own.items())
    rows = rows.sort_values("user", kind="stable", ignore_index=True)
    pools = {"all": np.ones(n_all), "warm": np.arange(n_all) < split.n_items}
    found: list[np.ndarray] = []
    played = np.split(rows["item"].to_numpy(), np.searchsorted(rows["user"], users[1:]))
    for batch in batches_of_users(users, n_all):
        scores = np.full((len(batch), n_all), -np.inf, np.float32)
        block = scorer.scores(batch)
        scores[:, : block.shape[1]] = block
        found += [_shares_below(*each, pools) for each in zip(scores, played[len(found) :], strict=False)]
    columns = ["own", *(f"{what}_{pool}" for pool in pools for what in ("lower", "tied"))]
    return rows[["part", "user", "item"]].join(pd.DataFrame(np.concatenate(found), columns=columns))


def _shares_below(scores: np.ndarray, songs: np.ndarray, pools: dict[str, np.ndarray]) -> np.ndarray:
    """Return one user's columns of `rank_distribution` from `own` on, for the songs of their listens."""
    levels = np.unique(scores[songs])
    slot = np.searchsorted(levels, scores) + np.searchsorted(levels, scores, side="right")  # odd: equal to a level
    columns = [np.full(len(songs), len(np.unique(songs)) / len(scores))]
    for pool in pools.values():
        counts = np.bincount(slot, pool, 2 * len(levels) + 1)
        tied = counts[slot[songs]]
        columns += [(counts.cumsum()[slot[songs]] - tied) / pool.sum(), tied / pool.sum()]
    return np.stack(columns, axis=1)


def expected_hits(rows: pd.DataFrame, pool: str = "all", n: int = NEGATIVES) -> np.ndarray:
    """Return the expected hit of each row of `rank_distribution` against n negatives drawn from a pool: (rows,).

    With probability C(n, j) tied^j lower^(n − j), j negatives are tied with the song, which then gets 1 / (j + 1) of
    the hit, and the others lower. Summed over j: ((lower + tied)^(n + 1) − lower^(n + 1)) / ((n + 1) tied), or lower^n
    if tied is 0.
    """
    lower, tied = rows[f"lower_{pool}"].to_numpy(), rows[f"tied_{pool}"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = ((lower + tied) ** (n + 1) - lower ** (n + 1)) / ((n + 1) * tied)
    return np.where(tied > 0, shared, lower**n)


def accuracy_sweep(places: dict[str, pd.DataFrame], n_all: int, seed: int = 0) -> pd.DataFrame:
    """Return each model's expected accuracy on test against 1 to n_all random songs.

    `places` maps models to their `rank_distribution`. Columns model, negatives, value, low, high, users.
    """
    n, tables = np.unique(np.r_[NEGATIVES, np.geomspace(1, n_all, 40).astype(int)]), []
    for name, rows in places.items():
        test = rows[rows["part"] == "test"]
        columns = [np.ones(len(test)), *(expected_hits(test, "all", each) for each in n)]
        value, low, high = estimate(test["user"], columns, lambda rows, *hits: np.stack(hits) / rows, seed)
        table = pd.DataFrame({"model": name, "negatives": n, "value": value, "low": low, "high": high})
        tables.append(table.assign(users=test["user"].nunique()))
    return pd.concat(tables, ignore_index=True)
