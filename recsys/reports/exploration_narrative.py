"""The sentences of `04_explore`: each is computed from the figures that it describes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from recsys.data.split import Split
from recsys.models import neighbour_quality
from recsys.models.neighbours import unit_vectors
from recsys.reports.exploration import label, one_line
from recsys.reports.narrative import named, percent, spread


def quoted(text: str) -> str:
    """Return a one-line text from the data in a form that Markdown, HTML and formulas leave as it is."""
    return f"`\u2068{text.replace('`', chr(39))}\u2069`"


def neighbour_sentence(split: Split, kind: str, song: int, neighbours: pd.DataFrame, by_dot: Sequence[int]) -> str:
    """Describe the neighbours of a song by cosine (a `neighbour_table`), and compare them with those by dot product."""
    counts, k = np.bincount(split.train.item), len(neighbours)
    lines = [f"The {kind} song, **{quoted(label(split, song))}**, has {counts[song]:,} listens in train."]
    if "artist" in neighbours:
        n_same = (neighbours["artist"] == one_line(split.items["artist"].fillna("")[song])).sum()
        lines.append(f"{n_same} of its {k} neighbours by cosine are by the same artist.")
    n_shared = (neighbours["listen to both"] > 0).sum()
    same = set(neighbours["song"]) & {one_line(each) for each in split.items["item_id"].iloc[by_dot]}
    lines += [
        f"{n_shared} of the {k} share a listener with it; the median lift is {neighbours['lift'].median():.1f}.",
        f"By dot product, {len(same)} of the {k} neighbours are the same songs.",
        f"The median neighbour has {neighbours['listens in train'].median():,.0f} listens by cosine and "
        f"{np.median(counts[by_dot]):,.0f} by dot product.",
    ]
    return " ".join(lines)


def quality_sentences(quality: pd.DataFrame) -> list[str]:
    """Compare the neighbours by cosine with random songs, with other ways to find neighbours, and with another seed."""
    found_by = {
        neighbour_quality.SAME_ARTIST: "are by the same artist",
        neighbour_quality.BY_LISTENERS: "are also found by co-listening, which compares who listens to the songs",
        neighbour_quality.BY_SEED: "are also found by the model that was trained with another seed",
    }
    own, hubs = quality.xs("cosine", level="list"), quality.loc[neighbour_quality.HUBS]
    shares = [
        f"Of the neighbours by cosine, {percent(own['value'][measure])} {words} (of random songs: "
        f"{percent(own['chance'][measure])})."
        for measure, words in found_by.items()
        if measure in own.index
    ]
    by_cosine, by_dot = (percent(hubs["value"][kind]) for kind in ("cosine", "dot product"))
    return [
        *shares,
        f"The 1 % of songs that are listed most often take {by_cosine} of all places by cosine and {by_dot} by dot "
        f"product (in random lists: {percent(hubs['chance']['cosine'])}).",
    ]


def length_sentence(split: Split, vectors: np.ndarray, similarity: str) -> str:
    """Give the rank correlation of a song's vector length with its listens, and say whether the model uses lengths."""
    lengths = np.linalg.norm(vectors[: split.n_items], axis=1)
    correlation = spearmanr(lengths, np.bincount(split.train.item)).statistic
    use = {
        "dot": "recommends by dot product: the lengths change its recommendations.",
        "cosine": "recommends by cosine: the lengths do not change its recommendations.",
    }
    return (
        f"The rank correlation between the length of a song's vector and its listens is {correlation:.2f}. "
        f"This model {use[similarity]}"
    )


def map_sentence(vectors: np.ndarray, positions: np.ndarray, method: str) -> str:
    """Say how the map was made, and how much of the vectors it can show."""
    how = "The map is drawn by UMAP, which keeps neighbourhoods but not distances."
    if method == "pca":
        share = positions.var(axis=0).sum() / max(unit_vectors(vectors).var(axis=0).sum(), 1e-12)
        how = f"The axes are the two directions in which the vectors differ most ({percent(share)} of the variance)."
    return (
        f"Each dot is one of {len(vectors):,} songs, placed by the direction of its vector of {vectors.shape[1]} "
        f"numbers. {how} Neighbours by cosine (outlined) may therefore lie apart on the map. On the right: the first "
        "song and its numbered neighbours."
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


def listener_sentence(
    split: Split, name: str, user: int, recommended: pd.DataFrame, show_user_ids: bool = False
) -> str:
    """Say who the list is for, and how many of its songs they went on to play."""
    who = f"The listener with code {user}"
    if show_user_ids:
        who = f"Listener {quoted(one_line(split.users['user_id'][user]))}"
    n_new = split.relevant("test")[[user]].nnz
    found = (recommended["played in test"] == "yes").sum()
    return (
        f"{who} played {n_new:,} new songs in the test period. Of the {len(recommended)} songs that {named(name)} "
        f"recommends to them, they played {found}."
    )
