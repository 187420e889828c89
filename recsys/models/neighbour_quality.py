"""Measure how good the neighbours of songs are, next to what random lists would score."""

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.split import Split
from recsys.evaluation.bootstrap import estimate, ratio
from recsys.evaluation.ranking import batches_of_users
from recsys.models.neighbours import Finder, finders, shared_listeners

MOST_PAIRS = 200_000_000  # pairs of songs to compare: up to 14,142 songs are all anchors, of more a sample is
SAME_ARTIST, SAME_ALBUM = "by the same artist", "on the same album"
BY_LISTENERS, BY_SEED = "also neighbours by co-listening", "also neighbours with another seed"
MUTUAL = "mutual neighbours"
LIFT = "lift in the test period"  # the only measure that is not a share
HUBS = "places taken by the 1 % of songs listed most often"
UNLISTED = "songs in no other song's list"
Counts = tuple[np.ndarray, np.ndarray, float]  # by anchor: hits, and out of how many; hits / all in random lists


def measure_neighbours(
    split: Split, vectors: np.ndarray, k: int, other_vectors: np.ndarray | None = None, seed: int = 0
) -> pd.DataFrame:
    """Measure the lists of k neighbours that each of `finders` finds: a row for each measure and kind of list.

    The columns are `value`, its 95 % interval `low` and `high` (a bootstrap over the anchors), and `chance`: what lists
    of k random songs score. The anchors are all songs, or a sample of a large catalogue. `other_vectors` are those of
    the same training with another seed.
    """
    n, k = split.n_items, min(k, split.n_items - 1)
    anchors = np.arange(n)
    if n > MOST_PAIRS // n:
        anchors = np.sort(np.random.default_rng(seed).choice(n, MOST_PAIRS // n, replace=False))
    find, find_by_seed = finders(split, vectors, k), {} if other_vectors is None else finders(split, other_vectors, k)
    lists = {kind: each(anchors) for kind, each in find.items()}
    rows = {}
    for kind, found in lists.items():
        rng, n_listed = np.random.default_rng(seed), (found >= 0).sum(axis=1)
        others = {} if kind == "co-listening" else {BY_LISTENERS: lists["co-listening"]}
        if others and find_by_seed:
            others[BY_SEED] = find_by_seed[kind](anchors)
        counts = _in_groups(split, anchors, found)
        for measure, other in others.items():
            both = (found[:, :, None] == other[:, None]).any(axis=2) & (found >= 0)
            counts[measure] = both.sum(axis=1), n_listed, k / (n - 1)
        counts[LIFT] = _lift(split.relevant("test"), anchors, found)
        counts[MUTUAL] = _mutual(find[kind], anchors, found, n, rng)
        times_listed = np.bincount(found[found >= 0], minlength=n)
        hubs = np.argsort(-times_listed, kind="stable")[: max(n // 100, 1)]
        times_drawn = np.sort(np.bincount(rng.integers(0, n, found.size), minlength=n))
        counts[HUBS] = np.isin(found, hubs).sum(axis=1), n_listed, times_drawn[-len(hubs) :].sum() / found.size
        by_chance = (1 - k / (n - 1)) ** (len(anchors) - 1)
        counts[UNLISTED] = times_listed[anchors] == 0, np.ones(len(anchors)), by_chance
        for measure, (hits, out_of, chance) in counts.items():
            rows[measure, kind] = (*estimate(anchors, [hits, out_of], ratio, seed), chance)
    index = pd.MultiIndex.from_tuples(rows, names=["measure", "list"])
    return pd.DataFrame(list(rows.values()), index, columns=["value", "low", "high", "chance"])


def _in_groups(split: Split, anchors: np.ndarray, found: np.ndarray) -> dict[str, Counts]:
    """Count the neighbours by the same artist, and on the same album, where these are known."""
    counts: dict[str, Counts] = {}
    for measure, columns in ((SAME_ARTIST, ("artist_id", "artist")), (SAME_ALBUM, ("album_id", "album"))):
        names = next((split.items[column][: split.n_items] for column in columns if column in split.items), None)
        if names is None or names.isna().all():
            continue
        groups = pd.factorize(names)[0]  # a number for each song, −1 if it is unknown
        own, listed = groups[anchors], found >= 0
        known = own >= 0
        same = (groups[found] == own[:, None]) & listed & known[:, None]
        size = np.bincount(groups[groups >= 0])[own]
        by_chance = (size - 1)[known].mean() / (split.n_items - 1)
        counts[measure] = same.sum(axis=1), listed.sum(axis=1) * known, by_chance
    return counts


def _lift(test: sparse.csr_matrix, anchors: np.ndarray, found: np.ndarray) -> Counts:
    """Count who newly plays both songs of a pair in test, out of as many as would if the two were independent."""
    listed, n = found >= 0, test.shape[1]
    n_listeners, n_songs = (np.asarray(test.sum(axis=axis)).ravel() for axis in (0, 1))  # of each song, listener
    both = np.concatenate([
        np.take_along_axis(shared_listeners(test, anchors[some]), np.maximum(found[some], 0), axis=1)
        for some in batches_of_users(np.arange(len(anchors)), n)
    ])  # fmt: skip
    share = n_listeners / max(np.count_nonzero(n_songs), 1)
    independent = n_listeners[anchors] * (share[found] * listed).sum(axis=1)
    all_pairs = (n_songs * (n_songs - 1)).sum() / max(n_listeners.sum() * share.sum() - n_listeners @ share, 1e-12)
    return (both * listed).sum(axis=1), independent, all_pairs


def _mutual(find: Finder, anchors: np.ndarray, found: np.ndarray, n: int, rng: np.random.Generator) -> Counts:
    """Count the neighbours that have the anchor among their own neighbours.

    If the anchors are a sample, the neighbours' own lists have to be found first. This is done for one anchor in k, at
    the cost of about as many lists again.
    """
    k, some, own_lists, rows = found.shape[1], np.arange(len(anchors)), found, found
    if len(anchors) < n:
        some = rng.choice(some, max(len(anchors) // k, 1), replace=False)
        neighbours = np.unique(found[some])
        own_lists, rows = find(np.maximum(neighbours, 0)), np.searchsorted(neighbours, found[some])
    listed = found[some] >= 0
    mutual = (own_lists[rows] == anchors[some, None, None]).any(axis=2) & listed
    hits, out_of = (np.bincount(some, each.sum(axis=1), len(anchors)) for each in (mutual, listed))
    return hits, out_of, k / (n - 1)
