"""Look at single songs and listeners: find a song, explain its neighbours, set a history next to recommendations."""

import difflib
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.split import Split
from recsys.evaluation.evaluate import Evaluation
from recsys.evaluation.ranking import Scorer, rank
from recsys.models.neighbours import shared_listeners, unit_vectors

NAME_COLUMNS = ("name", "artist", "album")  # of a song, where known, in the order in which they are shown
ANCHOR_RANKS = {"popular": 0.01, "less popular": 0.1, "rare": 0.5}  # rank by listens, as a share of all songs
DIRECTION_MARKS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def one_line(text: Any, width: int = 60) -> str:
    """Return a text fit for a page: one line of at most `width` characters, without control or direction characters."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in str(text)[: 4 * width])
    text = " ".join(text.translate(dict.fromkeys(map(ord, DIRECTION_MARKS))).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def label(split: Split, item: int, width: int = 60) -> str:
    """Return a song's name and artist, or its raw id if neither is known: after the word "song" if it is a number."""
    row = split.items.iloc[item]
    words = [str(row[column]) for column in NAME_COLUMNS[:2] if column in row and pd.notna(row[column])]
    raw_id = str(row["item_id"])
    return one_line(" – ".join(words) or (f"song {raw_id}" if raw_id.isdigit() else raw_id), width)


def find_song(split: Split, song: str) -> int:
    """Return the code of the song in train with this raw id or name. Raises KeyError if there is none, or several."""
    warm = split.items.iloc[: split.n_items]
    ids = warm["item_id"].astype(str)
    names = warm["name"].fillna("").astype(str).str.casefold() if "name" in warm else ids
    matches = np.flatnonzero(ids == song)
    if not len(matches):
        matches = np.flatnonzero(names == song.casefold())
    if len(matches) == 1:
        return int(matches[0])
    if len(matches):
        few = matches[np.argsort(-_listens(split)[matches], kind="stable")][:5]
        own = "; ".join(f"{ids.iloc[item]} ({label(split, item)})" for item in few)
        raise KeyError(f"expected one song, got {len(matches)} named {one_line(song)!r}; give one of their ids: {own}")
    close = difflib.get_close_matches(song.casefold(), names.unique(), cutoff=0.5)
    hint = f"; similar: {', '.join(repr(one_line(each)) for each in close)}" if close else ""
    kinds = "id or name" if "name" in warm else "id"
    raise KeyError(f"expected the {kinds} of a song in train, got {one_line(song)!r}{hint}")


def find_songs(split: Split, songs: str) -> np.ndarray:
    """Return the codes of songs given by raw id or name, separated by " | ". Raises KeyError as `find_song` does."""
    return np.array([find_song(split, each.strip()) for each in songs.split(" | ") if each.strip()], int)


def choose_anchors(split: Split, song: str = "") -> dict[str, int]:
    """Return the codes of the songs to look at: the given one, or a popular, a less popular and a rare one."""
    if song:
        return {"chosen": find_song(split, song)}
    order = np.argsort(-_listens(split), kind="stable")
    return {kind: int(order[int(share * len(order))]) for kind, share in ANCHOR_RANKS.items()}


def song_table(split: Split, items: np.ndarray, **columns: Sequence | np.ndarray) -> pd.DataFrame:
    """Return a row for each song: its raw id, name, artist and album, its listens in train, and further columns."""
    rows = split.items.iloc[items]
    table: dict[str, Any] = {"song": [one_line(each) for each in rows["item_id"]]}
    table |= {name: [one_line(each) for each in rows[name].fillna("")] for name in NAME_COLUMNS if name in rows}
    table |= {"listens in train": _listens(split)[items], **columns}
    return pd.DataFrame(table, index=pd.RangeIndex(1, len(rows) + 1))


def neighbour_table(split: Split, song: int, items: np.ndarray, similarity: np.ndarray) -> pd.DataFrame:
    """Return a row for each neighbour of a song: its similarity, and the listeners that the two songs share."""
    both = shared_listeners(split.known, [song])[0, items].astype(int)
    listeners = np.asarray(split.known.sum(axis=0)).ravel()
    chance = listeners[items] * listeners[song] / split.n_users  # shared, if the two songs had independent listeners
    by_chance = [rounded(n) for n in chance]
    facts = {"listen to both": both, "by chance": by_chance, "lift": np.round(both / chance, 1)}
    return song_table(split, items, similarity=np.round(similarity.astype(float), 3), **facts)


def rounded(n: float) -> str:
    """Return a number with two digits, or if it is 10 or more as a whole number with commas."""
    return f"{n:,.0f}" if n >= 10 else f"{n:.2g}"


def typical_user(split: Split) -> int:
    """Return the code of the user with the median length of history among all who can be scored on test."""
    users = np.flatnonzero(np.diff(split.relevant("test").indptr))
    lengths = np.diff(split.known.indptr)[users]
    return int(users[np.argsort(lengths, kind="stable")[len(users) // 2]])


def most_played(split: Split, user: int, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of a user's k most played songs in train and validation, and how often each was played."""
    plays = split.counts("train", "validation")[[user]]
    order = np.lexsort((plays.indices, -plays.data))[:k]
    return plays.indices[order], plays.data[order].astype(int)


def nearest_in_history(split: Split, vectors: np.ndarray, items: np.ndarray, history: np.ndarray) -> list[str]:
    """Return, for each song, the names and cosines of the three most similar songs of a history."""
    cosines, found = unit_vectors(vectors[items]) @ unit_vectors(vectors[history]).T, []  # (items, history)
    for row in cosines:
        best = np.argsort(-row, kind="stable")[:3]
        found.append("; ".join(f"{label(split, history[each], 40)}\u00a0{row[each]:.2f}" for each in best))
    return found


def recommendation_table(scorer: Scorer, split: Split, user: int, k: int, vectors: np.ndarray) -> pd.DataFrame:
    """Return the k best new songs for a user, which of them the user played in test, and similar songs they know."""
    relevant = split.relevant()
    items = rank(scorer, np.array([user]), split.known, relevant, k).items[0]
    items = items[items >= 0]
    table = song_table(split, items)
    table["played in test"] = np.where(np.isin(items, relevant[[user]].indices), "yes", "")
    table["nearest in the history"] = nearest_in_history(split, vectors, items, split.known[[user]].indices)
    return table


def worst_failures(evaluation: Evaluation, model: str, k: int = 20, n: int = 5) -> pd.DataFrame:
    """Return the n listeners who played the most new songs, none of which is in the model's list of k."""
    split, ranking = evaluation.split, evaluation.rankings[model]
    relevant, counts = split.relevant(), split.counts("train", "validation")
    n_new, listens = np.diff(relevant.indptr)[ranking.users], _listens(split)
    failed = np.flatnonzero(evaluation.per_user[model][f"hit@{k}"].to_numpy() == 0)
    rows = []
    for row in failed[np.argsort(-n_new[failed], kind="stable")][:n]:
        user = ranking.users[row]
        history, missed = counts[[user]], relevant[[user]].indices
        rows.append({
            "listener": user, "songs in history": history.nnz, "new songs played": n_new[row],
            "most played song": label(split, history.indices[history.data.argmax()]),
            "first recommendation": label(split, ranking.items[row, 0]),
            "most popular song missed": label(split, missed[listens[missed].argmax()]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _listens(split: Split) -> np.ndarray:
    """Return each song's listens in train, (n_items,)."""
    return np.bincount(split.train.item, minlength=split.n_items)
