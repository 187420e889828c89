"""Planted faults, one for each check. `python tests/faults.py` prints which check finds which fault."""

import dataclasses
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys.audit import checks
from recsys.data import synthetic
from recsys.data.interactions import Interactions
from recsys.data.split import PARTS, Split
from recsys.evaluation.ranking import Ranking, rank
from recsys.models import baselines
from recsys.models.baselines import scorers
from recsys.training import trainer
from recsys.training.recipes import RECIPES

BEGIN, END = "<!-- begin: python tests/faults.py -->", "<!-- end -->"  # around the matrix in docs/evaluation.md
SIZES = (0.0, 0.01, 0.1)  # shares of the rows that a fault damages; 0.0 is one row
FIT = ("train", "validation")
SETTINGS = {"popularity": {}, "itemknn": {"k": 50}}


class Tables:
    """A model of two tables of vectors. Users without a row get zeros."""

    def __init__(self, users, items):
        self.users, self.items = users, items

    def scores(self, users):
        known = (users >= 0) & (users < len(self.users))
        return (self.users[np.where(known, users, 0)] * known[:, None]) @ self.items.T


@dataclass(frozen=True)
class Work:
    """The results of a run that the checks look at."""

    split: Split
    fitted: dict[str, baselines.Fitted]
    scorers: dict[str, Any]
    histories: dict[str, Any]
    ranking: Ranking
    neighbours: np.ndarray

    def checks(self) -> dict[str, checks.Check]:
        found = [
            *checks.check_split(self.split),
            *checks.check_training(self.split, self.histories),
            *checks.check_scorers(self.split, self.scorers),
            *checks.check_baselines(self.split, self.fitted, 0),
            *checks.check_ranking(self.split, self.ranking),
            *checks.check_neighbours(np.arange(len(self.neighbours)), self.neighbours),
        ]
        return {check.name: check for check in found}


def listening(seed: int, n_users: int = 120, n_items: int = 200, n_listens: int = 6_000) -> pd.DataFrame:
    """Return a synthetic log: user_id, item_id, timestamp."""
    log = pa.concat_tables(synthetic.listens(n_users, n_items, n_listens, seed)).to_pandas()
    names = {"user_id": "user_id", "media_id": "item_id", "ts_listen": "timestamp"}
    log = log.rename(columns=names)[list(names.values())]
    return log.assign(timestamp=log["timestamp"].astype("datetime64[s]").astype("datetime64[us]"))


def cut(log: pd.DataFrame, how: str = "by-time", seed: int = 0) -> Split:
    """Split a log as `prepare` does, in a few plain lines. "random" drops times and repeats."""
    if how == "by-time":
        bounds = np.sort(log["timestamp"])[[int(share * len(log)) for share in (0.8, 0.9)]]
        part = np.searchsorted(bounds, log["timestamp"], side="right")
    elif how == "by-user-last":
        late = log.sort_values("timestamp", kind="stable").groupby("user_id").cumcount(ascending=False)
        late = late.reindex(log.index).where(log.groupby("user_id")["item_id"].transform("size") >= 7)
        part = np.select([late < 3, late < 6], [2, 1], 0)
    else:
        log = log.drop_duplicates(["user_id", "item_id"]).drop(columns="timestamp")
        part = np.searchsorted([0.8, 0.9], np.random.default_rng(seed).random(len(log)), side="right")
    return from_parts([log[part == number] for number in range(3)], how)


def from_parts(parts: list[pd.DataFrame], how: str = "by-time") -> Split:
    """Make a split of three logs. Ids get codes: those of train first, each group by id."""
    tables, codes = {}, {}
    for what in ("user_id", "item_id"):
        warm = np.unique(parts[0][what])
        ids = np.concatenate([warm, np.setdiff1d(np.concatenate([part[what] for part in parts[1:]]), warm)])
        tables[what], codes[what] = pd.DataFrame({what: ids}), pd.Series(np.arange(len(ids)), ids)
    rows = [
        Interactions(
            *(codes[what][part[what]].to_numpy(np.int32) for what in codes),
            part["timestamp"].to_numpy() if "timestamp" in part else None,
        )
        for part in parts
    ]
    manifest = {"dataset": "log", "key": "log", "split": how, "parameters": {"repeats": "keep"}}
    return Split("log", *rows, tables["user_id"], tables["item_id"], manifest)


def work_on(split: Split, seed: int = 0) -> Work:
    """Return clean results on a split."""
    rng = np.random.default_rng(seed)
    fitted = {name: fitted_on(split, name) for name in SETTINGS}
    tables = Tables(*(rng.normal(size=(n, 8)).astype(np.float32) for n in (split.n_users_all, split.n_items_all)))
    scorers = {name: each.scorer for name, each in fitted.items()} | {"model": tables}
    relevant = split.relevant("test")
    ranking = rank(tables, np.flatnonzero(np.diff(relevant.indptr)), split.known, relevant, 20)
    nearest = tables.items @ tables.items.T
    np.fill_diagonal(nearest, -np.inf)
    histories = {"author": {"inputs": {"rows": noted(split)}}}
    return Work(split, fitted, scorers, histories, ranking, np.argsort(-nearest, axis=1)[:, :10])


def fitted_on(split: Split, name: str) -> baselines.Fitted:
    return baselines.Fitted(baselines.BASELINES[name][0](split, FIT, 0, **SETTINGS[name]), SETTINGS[name])


def noted(split: Split) -> str:
    """Return the hash of the rows that a training writes into its history."""
    return trainer._inputs(split, RECIPES["author"], 0)["rows"]


# The faults. Each takes clean work, a share of the rows to damage (0: one row), and a random generator.


def some(rng, n: int, share: float, least: int = 1) -> np.ndarray:
    return np.sort(rng.choice(n, max(least, math.ceil(share * n)), replace=False))


def frames(split: Split) -> list[pd.DataFrame]:
    """Return the parts as logs again."""
    return [
        pd.DataFrame({"user_id": split.users["user_id"].to_numpy()[rows.user],
                      "item_id": split.items["item_id"].to_numpy()[rows.item],
                      **({} if rows.timestamp is None else {"timestamp": rows.timestamp})})
        for rows in (getattr(split, part) for part in PARTS)
    ]  # fmt: skip


def event_twice(work, share, rng):
    """Test rows are in train too."""
    train, validation, test = frames(work.split)
    leaked = test.iloc[some(rng, len(test), share)]
    return work_on(from_parts([pd.concat([train, leaked]), validation, test], work.split.manifest["split"]))


def seen_pair_scored(work, share, rng):
    """Songs of the history count as songs to find."""
    fresh = work.split.relevant("test")
    more = work.split.known.tocoo()
    rows = some(rng, more.nnz, share * fresh.nnz / more.nnz)
    leaked = type(more)((more.data[rows], (more.row[rows], more.col[rows])), more.shape).tocsr()

    class Leaky(Split):
        def relevant(self, part="test"):
            return fresh + leaked if part == "test" else super().relevant(part)

    fields = (getattr(work.split, each.name) for each in dataclasses.fields(Split))
    return dataclasses.replace(work, split=Leaky(*fields))


def future_in_train(work, share, rng):
    """Train rows are later than the beginning of test."""
    time = work.split.train.timestamp.copy()
    rows = some(rng, len(time), share)
    time[rows] = work.split.test.timestamp.max() - rng.integers(1, 10**9, len(rows))
    return work_on(dataclasses.replace(work.split, train=dataclasses.replace(work.split.train, timestamp=time)))


def codes_from_test(work, share, rng):
    """Songs are numbered by their popularity in test."""
    split = work.split
    place = some(rng, split.n_items, share, least=2)
    plays = np.bincount(split.test.item, minlength=split.n_items)[place] + rng.random(len(place))
    better = place[np.argsort(-plays)] if (np.diff(plays) > 0).any() else np.roll(place, 1)
    old = np.arange(split.n_items_all)
    old[place] = better
    code = np.argsort(old).astype(np.int32)
    parts = {part: dataclasses.replace(getattr(split, part), item=code[getattr(split, part).item]) for part in PARTS}
    return work_on(dataclasses.replace(split, items=split.items.iloc[old].reset_index(drop=True), **parts))


def trained_on_test(work, share, rng):
    """The model was trained on test rows too."""
    train, validation, test = frames(work.split)
    more = from_parts([pd.concat([train, test.iloc[some(rng, len(test), share)]]), validation, test])
    return dataclasses.replace(work, histories={"author": {"inputs": {"rows": noted(more)}}})


def popularity_of_test(work, share, rng):
    """Popularity counts test rows too."""
    items = work.split.test.item[some(rng, len(work.split.test), share)]
    row = work.scorers["popularity"].row + np.bincount(items, minlength=work.split.n_items_all)
    return dataclasses.replace(work, scorers=work.scorers | {"popularity": scorers.SameForAll(row)})


def baseline_of_test(work, share, rng):
    """Item kNN is fitted on test rows too."""
    split, fresh = work.split, work.split.relevant("test").tocoo()
    rows = some(rng, fresh.nnz, share)
    more = Interactions(*(np.concatenate([getattr(split.train, what), codes[rows]]).astype(np.int32)
                          for what, codes in (("user", fresh.row), ("item", fresh.col))))  # fmt: skip
    leaky = dataclasses.replace(split, train=more)
    return dataclasses.replace(work, fitted=work.fitted | {"itemknn": fitted_on(leaky, "itemknn")})


def index_wrapped(work, share, rng):
    """Unknown users get the last user's scores."""
    more = pd.DataFrame({"user_id": [f"late-{number:03}" for number in range(200)]})
    work = work_on(dataclasses.replace(work.split, users=pd.concat([work.split.users, more], ignore_index=True)))
    split, model = work.split, work.scorers["model"]
    unknown = np.r_[-1, np.arange(split.n_users, split.n_users_all - 1), split.n_users_all]
    chosen = unknown[some(rng, len(unknown), share)]

    def scores(users):
        return model.scores(np.where(np.isin(users, chosen), split.n_users_all - 1, users))

    return dataclasses.replace(work, scorers={"model": SimpleNamespace(scores=scores)})


def in_lists(work, share, rng, damage):
    items = work.ranking.items.copy()
    for row in some(rng, len(items), share):
        items[row] = damage(items[row], work.split.known[[work.ranking.users[row]]].indices)
    return dataclasses.replace(work, ranking=dataclasses.replace(work.ranking, items=items))


def seen_in_list(work, share, rng):
    """Lists recommend a song of the user's history."""
    return in_lists(work, share, rng, lambda items, seen: np.r_[rng.choice(seen), items[:-1]])


def song_twice_in_list(work, share, rng):
    """Lists contain their first song again."""
    return in_lists(work, share, rng, lambda items, seen: np.r_[items[:-1], items[0]])


def cold_song_in_list(work, share, rng):
    """Lists end with a song that is not in train."""
    return in_lists(work, share, rng, lambda items, seen: np.r_[items[:-1], work.split.n_items])


def query_in_neighbours(work, share, rng):
    """Songs are first in the list of their own neighbours."""
    lists, rows = work.neighbours.copy(), some(rng, len(work.neighbours), share)
    lists[rows] = np.column_stack([rows, lists[rows, :-1]])
    return dataclasses.replace(work, neighbours=lists)


FAULTS = {  # the check that must find it: the fault
    "no event is in two parts": event_twice,
    "no scored song was already in the user's history": seen_pair_scored,
    "each part ends before the next begins": future_in_train,
    "no code depends on validation or test": codes_from_test,
    "every model was trained on this split": trained_on_test,
    "popularity equals a recount of train and validation": popularity_of_test,
    "no baseline changes when test is removed": baseline_of_test,
    "no unknown user gets another user's scores": index_wrapped,
    "no list contains a song from the user's history": seen_in_list,
    "no list contains a song twice": song_twice_in_list,
    "every listed song is in train": cold_song_in_list,
    "no song is its own neighbour": query_in_neighbours,
}


def matrix(seed: int = 0) -> pd.DataFrame:
    """Return the violations that each check counts for each fault: in one row, in 1 % and in 10 % of the rows."""
    clean = work_on(cut(listening(seed)))
    columns = {"none": {name: str(check.count) for name, check in clean.checks().items()}}
    for fault in FAULTS.values():
        found = [fault(clean, share, np.random.default_rng(seed)).checks() for share in SIZES]
        columns[fault.__name__] = {name: " ".join(str(each[name].count) for each in found) for name in checks.CLAIMS}
    return pd.DataFrame(columns).loc[list(FAULTS)].replace("0 0 0", "")


def markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown: each check, the fault that it must find, and the violations that it counts."""
    lines = ["| check | fault | violations |", "|---|---|---|"]
    for name, fault in FAULTS.items():
        lines.append(f"| {name} | {fault.__doc__} | {table[fault.__name__][name].replace(' ', ', ')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(matrix()))
