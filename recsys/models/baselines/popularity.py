"""Baselines that ignore the user's history: random order, popularity and recent popularity."""

import numpy as np

from recsys.data.split import Split
from recsys.models.baselines.scorers import DoesNotApply, RandomOrder, SameForAll


def fit_random(split: Split, parts: tuple[str, ...], seed: int) -> RandomOrder:
    """Rank the songs in a random order for each user."""
    return RandomOrder(split.n_items_all, seed)


def fit_popularity(split: Split, parts: tuple[str, ...], seed: int) -> SameForAll:
    """Score a song by its number of listens in the parts."""
    return SameForAll(np.bincount(split.warm(*parts).item, minlength=split.n_items_all).astype(np.float32))


def fit_recent(split: Split, parts: tuple[str, ...], seed: int, share: float) -> SameForAll:
    """Score a song by its number of listens in the latest `share` of all listens in the parts.

    Raises DoesNotApply if the listens have no timestamps.
    """
    rows = split.warm(*parts)
    if rows.timestamp is None:
        raise DoesNotApply("recent popularity needs timestamps, and these listens have none")
    last = np.argsort(rows.timestamp, kind="stable")[-max(int(share * len(rows)), 1) :]
    return SameForAll(np.bincount(rows.item[last], minlength=split.n_items_all).astype(np.float32))
