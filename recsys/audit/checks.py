"""Checks that pass or fail: is anything leaking, is anything flattered? Each finds out by a way of its own."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import Evaluation
from recsys.evaluation.ranking import Ranking, Scorer, batches_of_users
from recsys.models.baselines import BASELINES, Fitted

ALIKE, LONG, LONG_WITHOUT_TIMES = 0.9, 20, 50  # twins: Jaccard index, and how long a history must be to count
REFIT_SECONDS = 5.0  # a baseline that took longer is not fitted a second time
N_ANCHORS = 100  # songs whose neighbours are checked
PROBES = 1_000  # cold users, and songs of each, that are looked at

# claim: what it means when it is broken, and what to do
CLAIMS = {
    "no event stands in two parts": ("what is to be found was shown in training", "give each row to one part only"),
    "no scored pair was seen before": ("a model scores by remembering", "score what no earlier part has"),
    "no listen is later than what follows it": ("the model learns from the future", "cut anew as SPLIT is meant"),
    "no code depends on later parts": ("codes break ties, so they tell of test", "code train's ids first, by id"),
    "no history stands under two ids": ("one's test is the other's training", "join the two ids, or drop one"),
    "no model learnt from other rows": ("it may have learnt this very test", "train it again on this split"),
    "no candidates change between epochs": ("early stopping follows their luck", "draw by a key without an epoch"),
    "no popularity differs from the recount": ("it is not train's and validation's", "count these two alone"),
    "no baseline changes without test": ("it was fitted on test as well", "fit it on train and validation"),
    "no unknown user gets another's scores": ("he is right whenever that other is", "give equal scores, or an error"),
    "no tie counts as a whole hit": ("equal scores for all songs would get 100 %", "share the hit among the tied"),
    "no list holds a song heard before": ("training showed it", "remove the seen before the best are taken"),
    "no list holds a song twice": ("it takes two places, or scores twice", "list each song once"),
    "no list holds what is no warm song": ("nobody could have learnt it", "rank the codes from 0 to n_items − 1"),
    "no song is its own neighbour": ("it takes a place and tells nothing", "exclude it before the best are taken"),
}


@dataclasses.dataclass(frozen=True)
class Check:
    """A claim that holds or not: `count` of what breaks it, as a `share` of all that was looked at."""

    name: str
    passed: bool
    count: int
    share: float
    meaning: str
    remedy: str


class AuditError(ValueError):
    """Something leaks or flatters: no figure made from it can be believed."""


def require_clean(checks: list[Check]) -> None:
    """Raise AuditError naming each failed check, how often it is broken, what that means and what to do."""
    failed = [each for each in checks if not each.passed]
    if failed:
        told = (f"\n- {c.name}: {c.count:,} against it ({c.share:.2%}); {c.meaning}; {c.remedy}" for c in failed)
        raise AuditError(f"expected {len(checks)} checks to pass, got {len(failed)} that fail" + "".join(told))


def check_evaluation(
    split: Split, models: dict[str, Any], histories: dict[str, dict[str, Any]], fitted: dict[str, Fitted],
    evaluation: Evaluation, seed: int = 0,
) -> list[Check]:  # fmt: skip
    """Make all checks of a run: `models` and `histories` of training by recipe, `fitted` baselines, their evaluation."""
    anchors = np.random.default_rng(seed).choice(split.n_items, min(N_ANCHORS, split.n_items), replace=False)
    neighbours = [model.neighbours(int(anchor))[0] for model in models.values() for anchor in anchors]
    return [
        *check_split(split),
        *check_training(split, histories),
        *check_scorers(split, {name: each.scorer for name, each in fitted.items()} | models),
        *check_baselines(split, fitted, seed),
        *check_ranking(split, *evaluation.rankings.values()),
        *check_neighbours(np.tile(anchors, len(models)), np.stack(neighbours)),
    ]


def check_split(split: Split) -> list[Check]:
    """Look for leaks in the data: an event in two parts, seen pairs scored, the future in train, codes, twins."""
    parts = [pd.DataFrame(vars(getattr(split, part)[:])).assign(part=number) for number, part in enumerate(PARTS)]
    rows = pd.concat(parts, ignore_index=True).dropna(axis=1, how="all")  # timestamp only if there are any
    seen = (_had(split, part, *split.relevant(part).nonzero()) for part in PARTS[1:])
    return [
        _events(rows, split.manifest.get("parameters", {}).get("repeats") == "first"),
        _check("no scored pair was seen before", *seen),
        _order(rows, split.manifest.get("split")),
        _codes(split),
        _twins(rows),
    ]


def check_training(split: Split, histories: dict[str, dict[str, Any]]) -> list[Check]:
    """Compare the hash of the rows that each training notes in its history with that of the split's own."""
    codes = (codes for part in (split.train, split.validation) for codes in (part.user, part.item))
    own = hashlib.sha256(b"".join(map(bytes, codes))).hexdigest()[:12]
    return [_check("no model learnt from other rows", [each["inputs"]["rows"] != own for each in histories.values()])]


def check_candidates(one: np.ndarray, other: np.ndarray) -> list[Check]:
    """Compare the validation candidates of two epochs, (rows, candidates) each."""
    return [_check("no candidates change between epochs", (one != other).any(axis=1))]


def check_scorers(split: Split, scorers: dict[str, Scorer]) -> list[Check]:
    """Recount "popularity" on train and validation; look for unknown or cold users with the first or last one's row."""
    counts = np.bincount(split.warm("train", "validation").item, minlength=split.n_items_all)
    found = scorers["popularity"].scores(np.array([0]))[0] if "popularity" in scorers else counts
    cold = np.arange(split.n_users, split.n_users_all)[:PROBES]
    probes = [np.array([-1]), np.array([split.n_users_all]), *batches_of_users(cold, split.n_items_all)]
    wrapped = [_wrapped(split, scorer, users) for scorer in scorers.values() for users in probes]
    return [
        _check("no popularity differs from the recount", found != counts[: len(found)]),
        _check("no unknown user gets another's scores", *wrapped),
    ]


def check_baselines(split: Split, fitted: dict[str, Fitted], seed: int) -> list[Check]:
    """Fit those baselines again that took at most 5 s, on a split without test, and compare all their numbers."""
    bare, changed = dataclasses.replace(split, test=split.test[:0]), []
    for name, each in fitted.items():
        if each.fit_seconds <= REFIT_SECONDS:
            again = BASELINES[name][0](bare, ("train", "validation"), seed, **each.settings)
            for one, other in zip(vars(each.scorer).values(), vars(again).values(), strict=True):
                gap = abs(one - other) > 1e-5 * abs(other)
                changed.append(np.arange(max(gap.nnz, other.nnz)) < gap.nnz if sparse.issparse(gap) else np.ravel(gap))
    return [_check("no baseline changes without test", *changed)]


def check_ties(scores: np.ndarray, hits: np.ndarray) -> list[Check]:
    """Recount how much of a hit each row can be: `scores` (rows, candidates), positive first, and `hits` (rows,)."""
    greater, tied = (compare(scores, scores[:, :1]).sum(axis=1) for compare in (np.greater, np.equal))
    return [_check("no tie counts as a whole hit", hits > (greater == 0) / tied + 1e-9)]


def check_ranking(split: Split, *rankings: Ranking, part: str = "test") -> list[Check]:
    """Look for lists with a song that the listener had before the part, a song twice, or a code of no warm song."""
    heard, twice, nowhere = [], [], []
    for ranking in rankings:
        lists, ordered = ranking.items, np.sort(ranking.items, axis=1)
        warm = (lists >= 0) & (lists < split.n_items)
        heard.append((warm & _had(split, part, ranking.users[:, None], lists)).any(axis=1))
        twice.append(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != -1)).any(axis=1))
        nowhere.append((~warm & (lists != -1)).any(axis=1))
    return [
        _check("no list holds a song heard before", *heard),
        _check("no list holds a song twice", *twice),
        _check("no list holds what is no warm song", *nowhere),
    ]


def check_neighbours(anchors: np.ndarray, lists: np.ndarray) -> list[Check]:
    """Look for songs among their own neighbours: `anchors` (n,) codes, `lists` (n, k) codes."""
    return [_check("no song is its own neighbour", (lists == anchors[:, None]).any(axis=1))]


def _check(name: str, *broken: Any) -> Check:
    rows = np.concatenate([np.zeros(0, bool), *broken])
    return Check(name, not rows.any(), int(rows.sum()), float(rows.sum() / max(len(rows), 1)), *CLAIMS[name])


def _had(split: Split, part: str, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Tell which pairs stand in a part before `part`."""
    before = [getattr(split, each) for each in PARTS[: PARTS.index(part)]]
    pairs = [rows.user.astype(np.int64) * split.n_items_all + rows.item for rows in before]
    return np.isin(users.astype(np.int64) * split.n_items_all + items, np.concatenate(pairs))


def _events(rows: pd.DataFrame, first_only: bool) -> Check:
    """Find equal user, song and time in two parts; at another time it is a repeat, and no leak.

    The pair is enough where it may stand once: if later listens of it were dropped, or without times if no part has it
    twice. Without times, and with repeats, an event cannot be told: none is found.
    """
    key = ["user", "item"] if first_only else [column for column in rows if column != "part"]
    if "timestamp" not in rows and not first_only and rows.duplicated().any():
        rows = rows[:0]
    return _check("no event stands in two parts", rows.drop_duplicates([*key, "part"]).duplicated(key))


def _order(rows: pd.DataFrame, claim: str | None) -> Check:
    """Find rows on the wrong side of a cut that the split claims, for all (`by-time`) or each user (`by-user-last`).

    The fewest that explain it; equal times are on no wrong side, and other splits claim no order.
    """
    wrong = np.zeros(len(rows), bool)
    for cut in (1, 2) if claim in ("by-time", "by-user-last") else ():
        late, group = rows["part"] >= cut, rows["user"] * (claim == "by-user-last")
        first = rows["timestamp"].where(late).groupby(group).transform("min")
        last = rows["timestamp"].where(~late).groupby(group).transform("max")
        wrong |= min(~late & (rows["timestamp"] > first), late & (rows["timestamp"] < last), key=np.count_nonzero)
    return _check("no listen is later than what follows it", wrong)


def _codes(split: Split) -> Check:
    """Code the ids again, train's before all others and each by id, and find those that get another code."""
    wrong = []
    for ids, codes in ((split.users["user_id"], split.train.user), (split.items["item_id"], split.train.item)):
        own = np.arange(len(ids))
        again = pd.DataFrame({"later": ~np.isin(own, codes), "id": ids}).sort_values(["later", "id"], kind="stable")
        wrong.append((again.index != own) | ids.duplicated())
    return _check("no code depends on later parts", *wrong)


def _twins(rows: pd.DataFrame) -> Check:
    """Find users whose history is that of another, up to a Jaccard index of at least 0.9.

    At least 20 songs, each at its moment, or 50 where there are no times: many people hear one album and nothing else.
    Compared are neighbours in eight orders by three min-hashes (Broder 1997): linear in the listens; a pair at 0.9 is
    missed three times in 100,000, equal histories never.
    """
    timed = "timestamp" in rows
    codes = rows.groupby(["item", "timestamp"] if timed else ["item"]).ngroup()
    events = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows["user"], codes)))
    events.data[:] = 1
    events = events[np.diff(events.indptr) >= (LONG if timed else LONG_WITHOUT_TIMES)]  # (users, events)
    size, twin = np.diff(events.indptr), np.zeros(events.shape[0], bool)
    for seed in range(8 * bool(len(size))):
        hashes = np.random.default_rng(seed).random((events.shape[1], 3))[events.indices]
        keys = np.minimum.reduceat(hashes, events.indptr[:-1])  # (users, 3)
        order = np.lexsort(keys.T)
        one, other = np.stack([order[:-1], order[1:]])[:, (keys[order[:-1]] == keys[order[1:]]).all(axis=1)]
        common = np.asarray(events[one].multiply(events[other]).sum(axis=1)).ravel()
        twin[np.maximum(one, other)[common >= ALIKE * (size[one] + size[other] - common)]] = True
    return _check("no history stands under two ids", twin)


def _wrapped(split: Split, scorer: Scorer, users: np.ndarray) -> np.ndarray:
    """Find users with the scores, unless all equal, of the first or a last user, where these two differ."""
    ends, songs = np.array([0, split.n_users - 1, split.n_users_all - 1]), np.linspace(0, split.n_items - 1, PROBES)
    try:
        own, theirs = (scorer.scores(each)[:, songs.astype(int)] for each in (users, ends))
    except (IndexError, KeyError, ValueError):
        return np.zeros(len(users), bool)
    alike = np.isclose(own[:, None], theirs, rtol=1e-4, atol=0).all(axis=2) & (users[:, None] != ends)
    return alike.any(axis=1) & (np.ptp(own, axis=1) > 0) & np.ptp(theirs, axis=0).any()
