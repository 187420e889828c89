"""The songs nearest to a song, by vectors or by listeners: find them, measure how good they are, draw a map of all."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.errors import check_choice
from recsys.data.split import Split
from recsys.evaluation.bootstrap import estimate, ratio
from recsys.evaluation.ranking import batches_of_users, top_k

MAPS = ("pca", "umap")  # how songs get their places on a map
MOST_PAIRS = 200_000_000  # pairs of songs to compare: up to 14,142 songs are all anchors, of more a sample is
SAME_ARTIST, SAME_ALBUM = "by the same artist", "on the same album"
BY_LISTENERS, BY_SEED = "also neighbours by co-listening", "also neighbours with another seed"
MUTUAL, UNLISTED = "mutual neighbours", "songs in no other song's list"
LIFT = "lift in the test period"  # the only measure that is not a share
HUBS = "places taken by the 1 % of songs listed most often"
Finder = Callable[[np.ndarray], np.ndarray]  # codes of anchors (n,) → codes of their neighbours (n, k), −1 for none
Counts = tuple[np.ndarray, np.ndarray, float]  # by anchor: hits, and out of how many; hits / all in random lists


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return the rows (n, dim) scaled to length one; a row of zeros stays as it is."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest(vectors: np.ndarray, anchors: Sequence[int] | np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k songs with the highest dot product with each anchor: codes and products, each (anchors, k).

    With unit vectors the products are cosines. The best song comes first, equal ones are ordered by code, and the
    anchor itself is left out. With fewer than k other songs, the lists are shorter.
    """
    return _best(lambda batch: vectors[batch] @ vectors.T, anchors, k, len(vectors))


def shared_listeners(seen: sparse.csr_matrix, anchors: Sequence[int] | np.ndarray) -> np.ndarray:
    """Count the users who have both the anchor and a song: float32 (anchors, n_items). `seen` holds 0 and 1."""
    return (seen[:, anchors].T @ seen).toarray()


def nearest_by_listeners(seen: sparse.csr_matrix, anchors: np.ndarray, k: int) -> np.ndarray:
    """Return the k songs whose listeners have the highest cosine with the anchor's: codes (anchors, k).

    A place is −1 where no further song shares a listener with the anchor. `seen` holds 0 and 1.
    """
    lengths = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))

    def cosines(batch: np.ndarray) -> np.ndarray:
        shared = shared_listeners(seen, batch)
        return np.where(shared > 0, shared / lengths, -np.inf)  # times the anchor's length, which keeps the order

    return _best(cosines, anchors, k, seen.shape[1])[0]


def _best(similarity: Callable, anchors: Sequence[int] | np.ndarray, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and similarities of the k of n songs most similar to each anchor, without the anchor itself."""
    parts = []
    for batch in batches_of_users(np.asarray(anchors), n):
        values = similarity(batch)  # (batch, n)
        values[np.arange(len(batch)), batch] = -np.inf
        parts.append(top_k(values, min(k, n - 1)))
    codes, similarities = zip(*parts, strict=True)
    return np.concatenate(codes), np.concatenate(similarities)


def finders(split: Split, vectors: np.ndarray, k: int) -> dict[str, Finder]:
    """Return three ways to find k neighbours: by cosine, by dot product, and by co-listening (shared listeners)."""
    unit, seen = unit_vectors(vectors), split.known
    return {
        "cosine": lambda anchors: nearest(unit, anchors, k)[0],
        "dot product": lambda anchors: nearest(vectors, anchors, k)[0],
        "co-listening": lambda anchors: nearest_by_listeners(seen, anchors, k),
    }


def measure_neighbours(
    split: Split, vectors: np.ndarray, k: int, other_vectors: np.ndarray | None = None, seed: int = 0
) -> pd.DataFrame:
    """Measure the lists of k neighbours that each of `finders` finds: a row for each measure and kind of list.

    Columns `value`; `low` and `high`, its 95 % interval over the anchors; `chance`, what lists of random songs score.
    The anchors are all songs, or a sample of a large catalogue. `other_vectors` are those of another seed.
    """
    n, k = split.n_items, min(k, split.n_items - 1)
    anchors = np.arange(n)
    if n > MOST_PAIRS // n:
        anchors = np.sort(np.random.default_rng(seed).choice(n, MOST_PAIRS // n, replace=False))
    find, rows = finders(split, vectors, k), {}
    lists = {kind: each(anchors) for kind, each in find.items()}
    for kind, found in lists.items():
        rng, n_listed = np.random.default_rng(seed), (found >= 0).sum(axis=1)
        others = {} if kind == "co-listening" else {BY_LISTENERS: lists["co-listening"]}
        if others and other_vectors is not None:
            others[BY_SEED] = finders(split, other_vectors, k)[kind](anchors)
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
    """Count the neighbours that have the anchor among their own neighbours; of a sample of anchors, for one in k."""
    k, some, own_lists, rows = found.shape[1], np.arange(len(anchors)), found, found
    if len(anchors) < n:
        some = rng.choice(some, max(len(anchors) // k, 1), replace=False)
        neighbours = np.unique(found[some])
        own_lists, rows = find(np.maximum(neighbours, 0)), np.searchsorted(neighbours, found[some])
    listed = found[some] >= 0
    mutual = (own_lists[rows] == anchors[some, None, None]).any(axis=2) & listed
    hits, out_of = (np.bincount(some, each.sum(axis=1), len(anchors)) for each in (mutual, listed))
    return hits, out_of, k / (n - 1)


def map_positions(vectors: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Return each song's place on a map, (n_items, 2), by its vector's direction; the method is "pca" or "umap"."""
    unit = unit_vectors(vectors)
    if method == "umap":
        import umap

        return umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(unit)
    check_choice("MAP", method, MAPS)
    centred = unit - unit.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]  # (dim, 2), the largest variance first
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # eigenvectors have no sign of their own: fix one
    return centred @ (axes * signs)
