"""The sentences of `04_explore`: each is computed from the figures that it describes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.split import Split
from recsys.models.neighbours import BY_LISTENERS, BY_SEED, HUBS, SAME_ARTIST
from recsys.reports.exploration import label, one_line
from recsys.reports.narrative import named, percent, spread


def quoted(text: str) -> str:
    """Return a one-line text from the data in a form that Markdown, HTML and formulas leave as it is."""
    return f"`\u2068{text.replace('`', chr(39))}\u2069`"


def neighbour_sentence(
    split: Split, kind: str, song: int, neighbours: pd.DataFrame, by_dot: Sequence[int], similarity: str
) -> str:
    """Describe the neighbours of a song by cosine (a `neighbour_table`).

    Where the model's `similarity` is the dot product, they are compared with the neighbours by that.
    """
    counts, k, by_artist = np.bincount(split.train.item), len(neighbours), ""
    if "artist" in neighbours:
        n_same = (neighbours["artist"] == one_line(split.items["artist"].fillna("")[song])).sum()
        by_artist = f" {n_same} of its {k} neighbours by cosine are by the same artist."
    n_shared = (neighbours["listen to both"] > 0).sum()
    same = set(neighbours["song"]) & {one_line(each) for each in split.items["item_id"].iloc[by_dot]}
    told = (
        f"The {kind} song, **{quoted(label(split, song))}**, has {counts[song]:,} listens in train.{by_artist} "
        f"{n_shared} of the {k} share a listener with it; the median lift is {neighbours['lift'].median():.1f}. The "
        f"median neighbour has {neighbours['listens in train'].median():,.0f} listens"
    )
    if similarity == "cosine":
        return f"{told}."
    return (
        f"{told}, by dot product {np.median(counts[by_dot]):,.0f}. {len(same)} of the {k} neighbours by dot product "
        "are the same songs."
    )


def no_dot_products(name: str) -> str:
    """Say why a model that compares by cosine has no table of dot products."""
    return (
        f"The model {named(name)} compares by cosine and does not use dot products. `RECIPE=author` shows those of the "
        "described system."
    )


def quality_sentences(quality: pd.DataFrame) -> list[str]:
    """Compare the neighbours by cosine with random songs, with other ways to find neighbours, and with another seed."""
    found_by = {
        SAME_ARTIST: "are by the same artist",
        BY_LISTENERS: "are also found by co-listening, which compares who listens to the songs",
        BY_SEED: "are also found by the model that was trained with another seed",
    }
    shares, lines = quality[["value", "chance"]].map(percent), []
    for measure, words in found_by.items():
        if measure in quality.index:
            own = shares.loc[(measure, "cosine")]
            lines.append(f"Of the neighbours by cosine, {own.value} {words} (of random songs: {own.chance}).")
    by_cosine, by_dot = (shares.loc[(HUBS, kind)] for kind in ("cosine", "dot product"))
    return lines + [
        f"The 1 % of songs that are listed most often take {by_cosine.value} of all places by cosine and "
        f"{by_dot.value} by dot product (in random lists: {by_cosine.chance})."
    ]


def length_sentence(split: Split, vectors: np.ndarray, similarity: str) -> str:
    """Give the rank correlation of a song's vector length with its listens, and say whether the model uses lengths."""
    from scipy.stats import spearmanr  # takes most of a second, and most commands do without

    lengths = np.linalg.norm(vectors[: split.n_items], axis=1)
    correlation = spearmanr(lengths, np.bincount(split.train.item)).statistic
    by, change = ("cosine", "do not change") if similarity == "cosine" else ("dot product", "change")
    return (
        f"The rank correlation between the length of a song's vector and its listens is {correlation:.2f}. This model "
        f"recommends by {by}: the lengths {change} its recommendations."
    )


def fold_in_sentence(checked: dict[str, Any]) -> str:
    """Say how close the lists from a history alone come to the lists of the trained listeners."""
    k, ndcg = checked["k"], checked["ndcg"]
    return (
        "The model can recommend to new listeners without training. To check this, we treated "
        f"{checked['users']:,} known listeners as new and gave the model only their songs: {spread(checked['shared'])} "
        f"of the songs in their lists of {k} stayed the same. Two different listeners' lists share "
        f"{spread(checked['by chance'])}. NDCG@{k} was {ndcg['folded in']:.4f} instead of {ndcg['trained']:.4f}, "
        f"which is {spread(checked['ratio'])} of it."
    )


def listener_sentence(split: Split, name: str, user: int, table: pd.DataFrame, show_user_ids: bool = False) -> str:
    """Say who a `recommendation_table` is for, and how many of its songs they went on to play."""
    raw_id = quoted(one_line(split.users["user_id"][user]))
    who = f"Listener {raw_id}" if show_user_ids else f"The listener with code {user}"
    return (
        f"{who} played {split.relevant()[[user]].nnz:,} new songs in the test period. Of the {len(table)} songs "
        f"that {named(name)} recommends to them, they played {(table['played in test'] == 'yes').sum()}."
    )
