"""Checks that pass or fail: does test data leak into training, and does anything make the results look too good?"""

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
from recsys.models.neighbours import nearest, unit_vectors

MAX_REFIT_SECONDS = 5.0  # baselines that took longer to fit are not fitted a second time
N_ANCHORS = 100  # songs whose neighbours are checked
N_PROBES = 1_000  # cold users, and songs of each, that are compared

# what is claimed: (what a failure means, what to do)
CLAIMS = {
    "no event is in two parts": (
        "training showed the answer to a test question",
        "prepare the data with ON_LEAK=drop, which takes these rows out of the later part and counts them"),
    "no scored song was already in the user's history": (
        "a model can score by remembering", "score only songs that are in no earlier part"),
    "each part ends before the next begins": ("the model learns from the future", "split the log again by time"),
    "no code depends on validation or test": (
        "equal scores are ordered by code, so codes would reveal the test", "number the ids of train first, by id"),
    "every model was trained on this split": ("it may have been trained on test", "train it again on this split"),
    "popularity equals a recount of train and validation": (
        "it counts other rows, such as those of test", "count train and validation only"),
    "no baseline changes when test is removed": ("it was fitted on test too", "fit it on train and validation only"),
    "no unknown user gets another user's scores": (
        "an unknown user is scored with another user's vector", "give all songs the same score, or raise an error"),
    "no list contains a song from the user's history": (
        "the model recommends what it saw in training", "remove the history before taking the best songs"),
    "no list contains a song twice": ("the song takes two places and may count twice", "list each song once"),
    "every listed song is in train": ("no model can have learnt such a song", "rank only codes from 0 to n_items − 1"),
    "no song is its own neighbour": ("it takes a place in its own list", "remove it before taking the best songs"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Check:
    """A claim, whether it holds, and how many of the things looked at violate it: their `count` and `share`.

    `example` names the first of them by code, or is empty.
    """

    name: str
    passed: bool
    count: int
    share: float
    meaning: str
    remedy: str
    example: str = ""

    @property
    def found(self) -> str:
        """What was found against the claim, as a sentence without its full stop."""
        example = f", such as {self.example}" if self.example else ""
        violations = f"{self.count:,} violation{'s' * (self.count != 1)} ({100 * self.share:.2f} %)"
        return f"“{self.name}” has {violations}{example}"


class AuditError(ValueError):
    """A check failed, so results would not be trustworthy."""


def require_clean(split: Split, checks: list[Check]) -> None:
    """Raise AuditError, with the meaning and the remedy of each failed check, unless all passed.

    Prints them instead if the split was prepared with ON_LEAK=report.
    """
    failed = [check for check in checks if not check.passed]
    lines = [f"expected all {len(checks)} checks to pass; {len(failed)} failed"]
    lines += [f"- {each.found}. Meaning: {each.meaning}. Remedy: {each.remedy}." for each in failed]
    if failed and split.manifest.get("parameters", {}).get("on_leak") == "report":
        print(*lines, "ON_LEAK=report: the run goes on. Its results are not to be trusted.", sep="\n")
    elif failed:
        lines.append("To go on all the same, prepare the data with ON_LEAK=report. The pages then say what failed.")
        raise AuditError("\n".join(lines))


def check_evaluation(
    split: Split, models: dict[str, Any], histories: dict[str, dict[str, Any]], fitted: dict[str, Fitted],
    evaluation: Evaluation, seed: int = 0,
) -> list[Check]:  # fmt: skip
    """Run every check on a finished run: `models` and `histories` by recipe, `fitted` baselines by name."""
    anchors = np.random.default_rng(seed).choice(split.n_items, min(N_ANCHORS, split.n_items), replace=False)
    vectors = [unit_vectors(model.item_embeddings.numpy()) for model in models.values()]
    neighbours = [nearest(each, anchors, k=10)[0] for each in vectors]
    return [
        *check_split(split),
        *check_training(split, histories),
        *check_scorers(split, {name: each.scorer for name, each in fitted.items()} | models),
        *check_baselines(split, fitted, seed),
        *check_ranking(split, *evaluation.rankings.values()),
        *check_neighbours(np.tile(anchors, len(models)), np.concatenate(neighbours)),
    ]


def check_split(split: Split) -> list[Check]:
    """Check the data: events in two parts, scored songs, order in time, codes."""
    rows = split.frame(*PARTS)
    scored = [split.relevant(part).nonzero() for part in PARTS[1:]]
    seen = [_in_history(split, _history(split, part), *pairs) for part, pairs in zip(PARTS[1:], scored, strict=True)]
    users, songs = np.concatenate(scored, axis=1)
    return [
        _check_events(rows, split.manifest.get("parameters", {}).get("repeats") == "first"),
        _check("no scored song was already in the user's history", *seen, user=users, song=songs),
        _check_order(rows, split.manifest.get("split")),
        _check_codes(split),
    ]


def check_training(split: Split, histories: dict[str, dict[str, Any]]) -> list[Check]:
    """Compare the hash of the rows that each training wrote into its history with the hash of this split's rows."""
    codes = (codes for part in (split.train, split.validation) for codes in (part.user, part.item))
    own = hashlib.sha256(b"".join(map(bytes, codes))).hexdigest()[:12]
    others = [each["inputs"]["rows"] != own for each in histories.values()]
    return [_check("every model was trained on this split", others, recipe=list(histories))]


def check_scorers(split: Split, scorers: dict[str, Scorer]) -> list[Check]:
    """Recount popularity on train and validation; look for unknown users who get the first or last user's scores."""
    counts = np.bincount(split.warm("train", "validation").item, minlength=split.n_items_all)
    found = scorers["popularity"].scores(np.array([0]))[0] if "popularity" in scorers else counts
    cold = np.arange(split.n_users, split.n_users_all)[:N_PROBES]
    probes = [np.array([-1]), np.array([split.n_users_all]), *batches_of_users(cold, split.n_items_all)]
    copied = [_copies_scores(split, scorer, users) for scorer in scorers.values() for users in probes]
    songs, users = np.arange(len(counts)), np.tile(np.concatenate(probes), len(scorers))
    return [
        _check("popularity equals a recount of train and validation", found != counts[: len(found)], song=songs),
        _check("no unknown user gets another user's scores", *copied, user=users),
    ]


def check_baselines(split: Split, fitted: dict[str, Fitted], seed: int) -> list[Check]:
    """Fit the baselines that took at most 5 s again on a split without test, and compare all their numbers."""
    without_test, changed = dataclasses.replace(split, test=split.test[:0]), []
    for name, each in fitted.items():
        if each.fit_seconds <= MAX_REFIT_SECONDS:
            again = BASELINES[name][0](without_test, ("train", "validation"), seed, **each.settings)
            for before, after in zip(vars(each.scorer).values(), vars(again).values(), strict=True):
                gap = abs(before - after) > 1e-5 * abs(after)
                changed.append(np.arange(max(gap.nnz, after.nnz)) < gap.nnz if sparse.issparse(gap) else np.ravel(gap))
    return [_check("no baseline changes when test is removed", *changed)]


def check_ranking(split: Split, *rankings: Ranking) -> list[Check]:
    """Look for lists of test with a song from the user's history, a song twice, or a song that is not in train."""
    in_history, twice, cold, history = [], [], [], _history(split, "test")
    for ranking in rankings:
        lists, ordered = ranking.items, np.sort(ranking.items, axis=1)
        warm = (lists >= 0) & (lists < split.n_items)
        in_history.append((warm & _in_history(split, history, ranking.users[:, None], lists)).any(axis=1))
        twice.append(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != -1)).any(axis=1))
        cold.append((~warm & (lists != -1)).any(axis=1))
    users = np.concatenate([ranking.users for ranking in rankings])
    return [
        _check("no list contains a song from the user's history", *in_history, user=users),
        _check("no list contains a song twice", *twice, user=users),
        _check("every listed song is in train", *cold, user=users),
    ]


def check_neighbours(anchors: np.ndarray, lists: np.ndarray) -> list[Check]:
    """Look for songs in the lists of their own neighbours: codes of `anchors` (n,) and their `lists` (n, k)."""
    return [_check("no song is its own neighbour", (lists == anchors[:, None]).any(axis=1), song=anchors)]


def _check(name: str, *violations: Any, **codes: Any) -> Check:
    """Count the violations, and describe the first by its codes: what they are codes of → one for each row."""
    rows = np.concatenate([np.zeros(0, bool), *violations])
    example = ", ".join(f"{what} {each[rows.argmax()]}" for what, each in codes.items()) if rows.any() else ""
    return Check(name, not rows.any(), int(rows.sum()), float(rows.mean() if len(rows) else 0), *CLAIMS[name], example)


def _history(split: Split, part: str) -> np.ndarray:
    """Return the pairs of a user and a song that are in a part before `part`, as sorted numbers."""
    before = [getattr(split, each) for each in PARTS[: PARTS.index(part)]]
    return np.sort(np.concatenate([rows.user.astype(np.int64) * split.n_items_all + rows.item for rows in before]))


def _in_history(split: Split, history: np.ndarray, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return which pairs are in a history, as `_history` returns it; `np.isin` takes many times as long."""
    pairs = users.astype(np.int64) * split.n_items_all + items
    return history[np.minimum(np.searchsorted(history, pairs), len(history) - 1)] == pairs


def _check_events(rows: pd.DataFrame, first_only: bool) -> Check:
    """Find the same user, song and time in two parts. At another time it is a repeat, which is no leak.

    User and song alone identify an event if each pair occurs once only: if later listens were dropped, or if there are
    no times and no part has a pair twice. With repeats but without times, or with dates alone, no event can be
    identified, and none is found.
    """
    key = ["user", "item"] if first_only else [column for column in rows if column not in ("part", "place")]
    repeats = "timestamp" not in rows and rows.duplicated().any()
    only_days = "timestamp" in rows and (rows["timestamp"] == rows["timestamp"].dt.normalize()).all()
    if not first_only and (repeats or only_days):
        return _check("no event is in two parts")
    pair = rows["user"].to_numpy(np.int64) * (1 + rows["item"].max()) + rows["item"].to_numpy()
    columns = [pair, *(rows[column].to_numpy() for column in key[2:])]
    order = np.lexsort(columns)  # equal events are neighbours, in the order of the parts
    part, same = rows["part"].to_numpy()[order], np.ones(len(rows) - 1, bool)  # as the one before
    for column in columns:
        values = column[order]
        same &= values[1:] == values[:-1]
    again = np.r_[False, same]
    first = ~again | np.r_[True, part[1:] != part[:-1]]  # of the equal events in one part
    events = rows.iloc[order[first]]
    codes = {"user": events["user"].to_numpy(), "song": events["item"].to_numpy()}
    codes["part"] = np.array(PARTS)[events["part"]]
    return _check("no event is in two parts", again[first], **codes)


def _check_order(rows: pd.DataFrame, how: str | None) -> Check:
    """Find rows on the wrong side of a cut in time: one cut for all (`by-time`) or one for each user (`by-user-last`).

    Counts the smaller side: early rows that are too late, or late rows that are too early. Equal times may be on both.
    """
    wrong = np.zeros(len(rows), bool)
    for cut in (1, 2) if how in ("by-time", "by-user-last") else ():
        late, group = rows["part"] >= cut, rows["user"] * (how == "by-user-last")
        first = rows["timestamp"].where(late).groupby(group).transform("min")
        last = rows["timestamp"].where(~late).groupby(group).transform("max")
        wrong |= min(~late & (rows["timestamp"] > first), late & (rows["timestamp"] < last), key=np.count_nonzero)
    codes = {"user": rows["user"].to_numpy(), "song": rows["item"].to_numpy()}
    return _check("each part ends before the next begins", wrong, **codes)


def _check_codes(split: Split) -> Check:
    """Number the ids again, those of train first and each group by id, and find the ids that get another code."""
    wrong = []
    for ids, codes in ((split.users["user_id"], split.train.user), (split.items["item_id"], split.train.item)):
        own = np.arange(len(ids))
        again = pd.DataFrame({"later": ~np.isin(own, codes), "id": ids}).sort_values(["later", "id"], kind="stable")
        wrong.append((again.index != own) | ids.duplicated())
    codes = np.concatenate([np.arange(len(each)) for each in wrong])
    return _check("no code depends on validation or test", *wrong, code=codes)


def _copies_scores(split: Split, scorer: Scorer, users: np.ndarray) -> np.ndarray:
    """Return which users get the scores of the first or a last user, unless they score all songs alike."""
    ends, songs = np.array([0, split.n_users - 1, split.n_users_all - 1]), np.linspace(0, split.n_items - 1, N_PROBES)
    try:
        own, theirs = (scorer.scores(each)[:, songs.astype(int)] for each in (users, ends))
    except (IndexError, KeyError, ValueError):
        return np.zeros(len(users), bool)
    alike = np.isclose(own[:, None], theirs, rtol=1e-4, atol=0).all(axis=2) & (users[:, None] != ends)
    return alike.any(axis=1) & (np.ptp(own, axis=1) > 0) & np.ptp(theirs, axis=0).any()
