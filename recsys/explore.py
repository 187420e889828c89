"""Looking at a trained model: a song's neighbours, a listener's history beside the recommendations."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recsys.evaluation import Evaluation
from recsys.ranking import Scorer, rank
from recsys.split import Split

if TYPE_CHECKING:
    from recsys.model import SimpleRecommender

SHOWN = ("name", "artist", "album")  # what is known of a song in words, in this order


def find_song(split: Split, song: str = "") -> int:
    """Return the code of a warm song, by raw id or by name (in any case), the most popular of equal names.

    Without one it is chosen by rule: the song at the tenth part of the order by popularity, known but no hit of all.
    Raises KeyError for a song that train does not have.
    """
    popularity = _popularity(split)
    if not song:
        return int(np.argsort(-popularity, kind="stable")[len(popularity) // 10])
    warm = split.items.iloc[: split.n_items]
    matches = np.flatnonzero(warm["item_id"].astype(str) == song)
    if not len(matches) and "name" in warm:
        matches = np.flatnonzero(warm["name"].astype(str).str.casefold() == song.casefold())
    if not len(matches):
        known = " or a name" if "name" in warm else ""
        raise KeyError(f"SONG: expected the raw id{known} of a song in train, got {song!r}")
    return int(matches[np.argmax(popularity[matches])])


def label(split: Split, item: int) -> str:
    """Name a song as well as it can be: its name and artist, or its raw id."""
    row = split.items.iloc[item]
    words = [str(row[column]) for column in SHOWN[:2] if column in row and pd.notna(row[column])]
    return " – ".join(words) or f"song {row['item_id']}"


def song_table(split: Split, items: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    """Return one row a song: what it is called, its listens in train, and any further columns."""
    rows = split.items.iloc[items]
    table = pd.DataFrame({"song": rows["item_id"].astype(str).to_numpy()})
    for column in SHOWN:
        if column in rows:
            table[column] = rows[column].fillna("").astype(str).to_numpy()
    table["listens in train"] = _popularity(split)[items].astype(int)
    for column, values in columns.items():
        table[column] = values
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table


def neighbours_side_by_side(
    model: "SimpleRecommender", split: Split, item: int, k: int = 10
) -> dict[str, pd.DataFrame]:
    """Return the k nearest warm songs by the author's dot product and by cosine, the song itself left out of both."""
    tables = {}
    for by in ("dot", "cosine"):
        items, similarity = model.neighbours(item, model.n_items - 1, by)
        warm = np.flatnonzero(items < split.n_items)[:k]
        tables[by] = song_table(split, items[warm], similarity=np.round(similarity[warm], 3))
    return tables


def find_user(split: Split) -> int:
    """Return the code of the scored user whose history in train and validation is of middle length, by rule."""
    users = np.flatnonzero(np.diff(split.relevant("test").indptr))
    lengths = np.diff(split.known.indptr)[users]
    return int(users[np.argsort(lengths, kind="stable")[len(users) // 2]])


def history_and_recommendations(
    scorer: Scorer, split: Split, user: int, k: int = 10
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the user's k most played songs, and k recommended new ones, marked where he went on to play them."""
    plays = split.counts("train", "validation")[[user]]
    order = np.lexsort((plays.indices, -plays.data))[:k]
    history = song_table(split, plays.indices[order], plays=plays.data[order].astype(int))
    relevant = split.relevant("test")
    ranking = rank(scorer, np.array([user]), split.known, relevant, k)
    items = ranking.items[0][ranking.items[0] >= 0]
    played = np.where(np.isin(items, relevant[[user]].indices), "yes", "")
    return history, song_table(split, items, **{"played in test": played})


def worst_failures(evaluation: Evaluation, model: str, k: int = 20, n: int = 5) -> pd.DataFrame:
    """Return the n listeners with the most new songs to be found and none of them in the model's first k places.

    Beside each, the song he plays most, the first one listed for him, and the most popular one that was missed.
    """
    split, ranking = evaluation.split, evaluation.rankings[model]
    relevant, counts, popularity = (
        split.relevant(evaluation.part),
        split.counts("train", "validation"),
        _popularity(split),
    )
    to_find = np.diff(relevant.indptr)[ranking.users]
    failed = np.flatnonzero(evaluation.per_user[model][f"hit@{k}"].to_numpy() == 0)
    rows = []
    for row in failed[np.argsort(-to_find[failed], kind="stable")][:n]:
        history, missed = counts[[ranking.users[row]]], relevant[[ranking.users[row]]].indices
        rows.append(
            {
                "listener": ranking.users[row],
                "songs in history": history.nnz,
                "new songs played": to_find[row],
                "plays most": label(split, history.indices[history.data.argmax()]),
                "listed first": label(split, ranking.items[row, 0]),
                "missed": label(split, missed[popularity[missed].argmax()]),
            }
        )
    return pd.DataFrame(rows)


def _popularity(split: Split) -> np.ndarray:
    return np.bincount(split.warm("train").item, minlength=split.n_items_all)[: split.n_items]
