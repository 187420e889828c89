"""The accuracy "1 of n": drawn, as the described system measures it, and its exact expectation."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from recsys.data.interactions import Interactions
from recsys.data.split import PARTS, Split
from recsys.evaluation.bootstrap import N_RESAMPLES, over_users, ratio
from recsys.evaluation.ranking import Scorer, batches_of_users

NEGATIVES = 20  # of the author's test
SCORES = 40_000_000  # looked at by model: as many users as this allows, 300 at least
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


def expected_accuracy(worse: np.ndarray, level: np.ndarray, n: int) -> np.ndarray:
    """Return how much of a hit a song is among n random ones, ties shared: exactly, for draws with replacement.

    `worse` and `level` are the shares of the pool below it and of its very score. With j of the n level and the others
    below, of chance C(n, j) level^j worse^(n − j), it is the best with chance 1 / (j + 1); summed over j:
    ((worse + level)^(n + 1) − worse^(n + 1)) / ((n + 1) level), or worse^n if none can be level.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = ((worse + level) ** (n + 1) - worse ** (n + 1)) / ((n + 1) * level)
    return np.where(level > 0, shared, worse**n)


def rank_distribution(split: Split, scorer: Scorer, seed: int = 0) -> pd.DataFrame:
    """Find where the songs stand, among all, that users of test play in any part; drawn users, where they are too many.

    Columns part, user, item, `own` (share of all songs that the user ever plays), and for each pool of negatives
    `worse_…` and `level_…`, shares of it: `all` songs, `warm` ones, and `popular` (as often as listened to in train and
    validation).
    """
    users, n_all = np.unique(split.test.user), split.n_items_all
    if len(users) > (most := max(300, SCORES // n_all)):
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    rows = pd.concat(pd.DataFrame({"part": part, **vars(getattr(split, part)[:])}) for part in PARTS)
    rows = rows[np.isin(rows["user"], users)].sort_values("user", kind="stable", ignore_index=True)
    popular = np.bincount(split.warm("train", "validation").item, minlength=n_all)
    pools = [np.ones(n_all), np.arange(n_all) < split.n_items, popular]
    found: list[np.ndarray] = []
    played = np.split(rows["item"].to_numpy(), np.searchsorted(rows["user"], users[1:]))
    for batch in batches_of_users(users, n_all):
        scores = np.full((len(batch), n_all), -np.inf, np.float32)
        block = scorer.scores(batch)
        scores[:, : block.shape[1]] = block
        found += [_places(row, songs, pools) for row, songs in zip(scores, played[len(found) :], strict=False)]
    columns = [f"{what}_{pool}" for pool in ("all", "warm", "popular") for what in ("worse", "level")]
    return rows[["part", "user", "item"]].join(pd.DataFrame(np.concatenate(found), columns=["own", *columns]))


def _places(scores: np.ndarray, songs: np.ndarray, pools: list[np.ndarray]) -> np.ndarray:
    """Return a user's columns of `standing` from `own` on: (songs, 7)."""
    marks = np.unique(scores[songs])
    slot = np.searchsorted(marks, scores) + np.searchsorted(marks, scores, side="right")  # odd: level with a mark
    columns = [np.full(len(songs), len(np.unique(songs)) / len(scores))]
    for pool in pools:
        counts = np.bincount(slot, pool, 2 * len(marks) + 1)
        level = counts[slot[songs]]
        columns += [(counts.cumsum()[slot[songs]] - level) / pool.sum(), level / pool.sum()]
    return np.stack(columns, axis=1)


def expected_hits(rows: pd.DataFrame, pool: str = "all", n: int = NEGATIVES) -> np.ndarray:
    """Return how much of a hit each row of `standing` is expected to be against n songs of the pool: (rows,)."""
    return expected_accuracy(rows[f"worse_{pool}"].to_numpy(), rows[f"level_{pool}"].to_numpy(), n)


def accuracy_sweep(places: dict[str, pd.DataFrame], n_all: int, seed: int = 0) -> pd.DataFrame:
    """Return the expected accuracy on test against 1 … n_all random songs, from each model's `standing`.

    Columns model, negatives, value, low, high, users.
    """
    n, tables = np.unique(np.r_[NEGATIVES, np.geomspace(1, n_all, 40).astype(int)]), []
    for name, rows in places.items():
        test = rows[rows["part"] == "test"]
        columns = [np.ones(len(test)), *(expected_hits(test, "all", each) for each in n)]
        value, low, high = over_users(test["user"], columns, lambda rows, *hits: np.stack(hits) / rows, seed)
        table = pd.DataFrame({"model": name, "negatives": n, "value": value, "low": low, "high": high})
        tables.append(table.assign(users=test["user"].nunique()))
    return pd.concat(tables, ignore_index=True)
