"""Looking at a trained model: a song's neighbours and why, a listener's history beside the recommendations."""

import difflib
import html
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.split import Split
from recsys.evaluation.evaluate import Evaluation
from recsys.evaluation.ranking import Scorer, rank
from recsys.models.neighbours import nearest, shared_listeners, unit

SHOWN = ("name", "artist", "album")  # what is known of a song in words, in this order
ANCHORS = {"popular": 0.01, "middle": 0.1, "rare": 0.5}  # where they stand in the order by listens
TURNING = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # marks that reorder a text


def shown(text: Any, width: int = 60) -> str:
    """Return a name as it can stand on a page: on one line, without control characters, cut to `width` characters."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in str(text)[: 4 * width])
    text = " ".join(text.translate(dict.fromkeys(map(ord, TURNING))).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def find_song(split: Split, song: str) -> int:
    """Return the code of the one warm song with a raw id or, in any case, a name.

    Raises KeyError, with the closest names or the ids to choose from, for a song that train does not have and for a
    name that several songs have.
    """
    warm = split.items.iloc[: split.n_items]
    matches = np.flatnonzero(warm["item_id"].astype(str) == song)
    names = warm["name"].fillna("").astype(str).str.casefold() if "name" in warm else None
    if not len(matches) and names is not None:
        matches = np.flatnonzero(names == song.casefold())
    if len(matches) == 1:
        return int(matches[0])
    if len(matches):
        few = matches[np.argsort(-_popularity(split)[matches], kind="stable")][:5]
        ids = "; ".join(f"{warm['item_id'].iloc[item]} ({label(split, item)})" for item in few)
        raise KeyError(f"expected one song, got {len(matches)} named {shown(song)!r}; by raw id: {ids}")
    known = warm["item_id"].astype(str) if names is None else names
    close = difflib.get_close_matches(song.casefold(), known.unique(), cutoff=0.5)
    hint = f"; closest: {', '.join(repr(shown(each)) for each in close)}" if close else ""
    kinds = "raw id" if names is None else "raw id or name"
    raise KeyError(f"expected the {kinds} of a song in train, got {shown(song)!r}{hint}")


def find_songs(split: Split, songs: str) -> np.ndarray:
    """Return the codes of songs given by raw id or name, separated by " | ". Raises KeyError as `find_song` does."""
    return np.array([find_song(split, each.strip()) for each in songs.split(" | ") if each.strip()], int)


def search_songs(split: Split, text: str, n: int = 15) -> np.ndarray:
    """Return the codes of the n most popular warm songs that have the text, in any case, in id, name or artist."""
    warm = split.items.iloc[: split.n_items]
    columns = [warm[each].astype(str).str.casefold() for each in ("item_id", *SHOWN[:2]) if each in warm]
    found = np.flatnonzero(np.any([each.str.contains(text.casefold(), regex=False) for each in columns], axis=0))
    return found[np.argsort(-_popularity(split)[found], kind="stable")][:n]


def anchors(split: Split, song: str = "") -> dict[str, int]:
    """Return the codes of the songs to look at: the one asked for, or a popular, a middle and a rare one by rule."""
    if song:
        return {"chosen": find_song(split, song)}
    order = np.argsort(-_popularity(split), kind="stable")
    return {name: int(order[int(share * len(order))]) for name, share in ANCHORS.items()}


def label(split: Split, item: int, width: int = 60) -> str:
    """Name a song as well as it can be: its name and artist, or its raw id."""
    row = split.items.iloc[item]
    words = [str(row[column]) for column in SHOWN[:2] if column in row and pd.notna(row[column])]
    return shown(" – ".join(words) or f"song {row['item_id']}", width)


def song_table(split: Split, items: np.ndarray, **columns: Sequence | np.ndarray) -> pd.DataFrame:
    """Return one row a song: what it is called, its listens in train, and any further columns."""
    rows = split.items.iloc[items]
    table = pd.DataFrame({"song": [shown(each) for each in rows["item_id"]]})
    for column in SHOWN:
        if column in rows:
            table[column] = [shown(each) for each in rows[column].fillna("")]
    table["listens in train"] = _popularity(split)[items].astype(int)
    for column, values in columns.items():
        table[column] = values
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table


def neighbour_table(split: Split, vectors: np.ndarray, item: int, k: int = 10) -> pd.DataFrame:
    """Return the k songs nearest to a song by dot product, with how many people listen to both, and how many by chance.

    Listeners are of train and validation; chance is that each song has its listeners without regard to the other, and
    lift is the one number over the other. For cosine the vectors (n_items, dim) come with length one.
    """
    items, similarity = nearest(vectors, np.array([item]), k)
    both = shared_listeners(split.known, np.array([item]))[0, items[0]].astype(int)
    listeners = np.asarray(split.known.sum(axis=0)).ravel()
    chance = listeners[items[0]] * listeners[item] / split.n_users
    facts = {"listen to both": both, "by chance": [f"{n:.2g}" for n in chance], "lift": np.round(both / chance, 1)}
    return song_table(split, items[0], similarity=np.round(similarity[0].astype(float), 3), **facts)


def browse(split: Split, vectors: np.ndarray, item: int, k: int = 10) -> Any:
    """Return a widget for a live kernel: a search box over names, and neighbours that a click makes the next song."""
    import ipywidgets

    search = ipywidgets.Text(placeholder="part of a song's name, artist or id")
    heading, box = ipywidgets.HTML(), ipywidgets.VBox()

    def offer(title: str, items: np.ndarray, facts: list[str]) -> None:
        heading.value, buttons = html.escape(title), []
        for each, fact in zip(items, facts, strict=True):
            buttons.append(ipywidgets.Button(description=label(split, each) + fact, layout={"width": "95%"}))
            buttons[-1].on_click(lambda _, each=each: look_at(each))
        box.children = buttons

    def look_at(item: int) -> None:
        items, similarity = (each[0] for each in nearest(unit(vectors), np.array([item]), k))
        both = shared_listeners(split.known, np.array([item]))[0, items]
        facts = [f" ({near:.2f}, {n:.0f} listen to both)" for near, n in zip(similarity, both, strict=True)]
        offer(f"Neighbours of {label(split, item)}, by cosine", items, facts)

    def look_for(change: dict[str, Any]) -> None:
        found = search_songs(split, change["new"])
        offer(f"{len(found)} most popular songs with these letters", found, [""] * len(found))

    search.observe(look_for, "value")
    look_at(item)
    return ipywidgets.VBox([search, heading, box])


def speaks_for(split: Split, vectors: np.ndarray, items: np.ndarray, history: np.ndarray, n: int = 3) -> list[str]:
    """Name, for each song, the n songs of a history that are most similar to it by cosine, with the similarity."""
    similarity = unit(vectors[items]) @ unit(vectors[history]).T  # (items, history)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :n]
    return [
        "; ".join(f"{label(split, history[each], 40)}\u00a0{row[each]:.2f}" for each in best)
        for row, best in zip(similarity, order, strict=True)
    ]


def find_user(split: Split) -> int:
    """Return the code of the scored user whose history in train and validation is of middle length, by rule."""
    users = np.flatnonzero(np.diff(split.relevant("test").indptr))
    lengths = np.diff(split.known.indptr)[users]
    return int(users[np.argsort(lengths, kind="stable")[len(users) // 2]])


def most_played(split: Split, user: int, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of the user's k most played songs in train and validation, and how often he played each."""
    plays = split.counts("train", "validation")[[user]]
    order = np.lexsort((plays.indices, -plays.data))[:k]
    return plays.indices[order], plays.data[order].astype(int)


def history_and_recommendations(
    scorer: Scorer, split: Split, user: int, k: int, vectors: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the user's k most played songs, and k recommended new ones.

    These are marked where he went on to play them; beside each stand the songs of his history nearest to it.
    """
    items, plays = most_played(split, user, k)
    history = song_table(split, items, plays=plays)
    relevant = split.relevant("test")
    ranking = rank(scorer, np.array([user]), split.known, relevant, k)
    items = ranking.items[0][ranking.items[0] >= 0]
    played = np.where(np.isin(items, relevant[[user]].indices), "yes", "")
    nearest = speaks_for(split, vectors, items, split.known[[user]].indices)
    more: dict[str, Any] = {"played in test": played, "nearest in the history": nearest}
    return history, song_table(split, items, **more)


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
