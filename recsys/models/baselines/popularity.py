"""Baselines that look at no history: a random order, and how often songs are played."""

import numpy as np

from recsys.data.split import Split
from recsys.models.baselines.scorers import DoesNotApply, RandomOrder, SameForAll


def fit_random(split: Split, parts: tuple[str, ...], seed: int) -> RandomOrder:
    """A random order of all songs for each user."""
    return RandomOrder(split.n_items_all, seed)


def fit_popularity(split: Split, parts: tuple[str, ...], seed: int) -> SameForAll:
    """Number of listens to a song in the parts; a song that does not occur there has 0."""
    return SameForAll(np.bincount(split.warm(*parts).item, minlength=split.n_items_all).astype(np.float32))


def fit_recent(split: Split, parts: tuple[str, ...], seed: int, share: float) -> SameForAll:
    """Number of listens to a song in the latest `share` of all listens; raises DoesNotApply without timestamps."""
    rows = split.warm(*parts)
    if rows.timestamp is None:
        raise DoesNotApply("recent popularity needs timestamps, and these listens have none")
    last = np.argsort(rows.timestamp, kind="stable")[-max(int(share * len(rows)), 1) :]
    return SameForAll(np.bincount(rows.item[last], minlength=split.n_items_all).astype(np.float32))
