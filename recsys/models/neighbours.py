"""Which songs are alike, by vectors or by who listens to them, and how good such neighbours are."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.split import Split
from recsys.evaluation.bootstrap import over_users, ratio
from recsys.evaluation.ranking import batches_of_users, top_k

MOST_PAIRS = 200_000_000  # of songs compared: up to 14,142 songs all are anchors, of more a sample is
LIFT = "lift among new songs in test"  # not a share, as the other measures are
Finder = Callable[[np.ndarray], np.ndarray]  # codes of anchors (n,) to codes of their neighbours (n, k), −1 for none


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows (n, dim) with length one; a row without length stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest(vectors: np.ndarray, anchors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k rows of greatest dot product with each anchor's, itself left out: codes and products, (anchors, k).

    Best first, equal ones by code; fewer than k others: all there are.
    """
    parts = []
    for batch in batches_of_users(np.asarray(anchors), len(vectors)):
        products = vectors[batch] @ vectors.T  # (batch, n_items)
        products[np.arange(len(batch)), batch] = -np.inf
        parts.append(top_k(products, min(k, len(vectors) - 1)))
    codes, values = zip(*parts, strict=True)
    return np.concatenate(codes), np.concatenate(values)


def shared_listeners(seen: sparse.csr_matrix, anchors: np.ndarray) -> np.ndarray:
    """Return how many users have both, the anchor and each song: float32 (anchors, n_items); `seen` is 0/1."""
    return (seen[:, anchors].T @ seen).toarray()


def colistened(seen: sparse.csr_matrix, anchors: np.ndarray, k: int) -> np.ndarray:
    """Return the k songs nearest to each anchor by cosine of their listeners; −1 where nobody listens to both."""
    lengths = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))
    parts = []
    for batch in batches_of_users(anchors, seen.shape[1]):
        cosines = shared_listeners(seen, batch) / lengths  # all of a row by the anchor's length as well: the same order
        cosines[np.arange(len(batch)), batch] = 0
        parts.append(top_k(np.where(cosines > 0, cosines, -np.inf), min(k, seen.shape[1] - 1))[0])
    return np.concatenate(parts)


def finders(split: Split, vectors: np.ndarray, k: int) -> dict[str, Finder]:
    """Return three ways to find k neighbours: cosine and dot product of the vectors, and listeners in common."""
    cosine, known = unit(vectors), split.known
    return {
        "cosine": lambda anchors: nearest(cosine, anchors, k)[0],
        "dot product": lambda anchors: nearest(vectors, anchors, k)[0],
        "co-listening": lambda anchors: colistened(known, anchors, k),
    }


def quality(
    split: Split, vectors: np.ndarray, k: int, again: np.ndarray | None = None, seed: int = 0
) -> pd.DataFrame:
    """Measure the lists of each of `finders`: a row (measure, list) with `value`, `low`, `high` and `chance`.

    `chance` is what lists of k random songs get; intervals are 95 %, by bootstrap over the anchors: all songs, or a
    sample of many. `vectors` are (n_items, dim), `again` those of the model trained with another seed.
    """
    n, k = split.n_items, min(k, split.n_items - 1)
    anchors = np.arange(n)
    if n > MOST_PAIRS // n:
        anchors = np.sort(np.random.default_rng(seed).choice(n, MOST_PAIRS // n, replace=False))
    found_by = finders(split, vectors, k)
    lists, rows = {name: find(anchors) for name, find in found_by.items()}, {}
    for name, found in lists.items():
        others = {}
        if name != "co-listening":
            others = {"also neighbours by co-listening": lists["co-listening"]}
            if again is not None:
                others["also neighbours with another seed"] = finders(split, again, k)[name](anchors)
        for measure, part, whole, chance in _measures(split, anchors, found, found_by[name], others, k, seed):
            rows[measure, name] = (*over_users(anchors, [part, whole], ratio, seed), chance)
    index = pd.MultiIndex.from_tuples(rows, names=["measure", "list"])
    return pd.DataFrame(list(rows.values()), index, columns=["value", "low", "high", "chance"])


def _measures(split, anchors, found, find, others, k, seed) -> Iterator[tuple[str, np.ndarray, np.ndarray, float]]:
    """Yield each measure as a ratio of sums over anchors: its name, (anchors,) parts and wholes, and the chance."""
    n, valid = split.n_items, found >= 0
    places, at_random = valid.sum(axis=1), k / (n - 1)
    for kind in ("artist", "album"):
        column = next((each for each in (f"{kind}_id", kind) if each in split.items), None)
        if column and split.items[column][:n].notna().any():
            group = pd.factorize(split.items[column][:n])[0]  # −1 where it is not known
            own, known = group[anchors], group[anchors] >= 0
            size = np.bincount(group[group >= 0], minlength=group.max() + 1)[own]
            same = (group[found] == own[:, None]) & valid & known[:, None]
            yield f"by the same {kind}", same.sum(axis=1), places * known, (size - 1)[known].mean() / (n - 1)
    for measure, other in others.items():
        both = (found[:, :, None] == other[:, None]).any(axis=2) & valid
        yield measure, both.sum(axis=1), places, at_random
    test = split.relevant("test")
    listeners, songs = (np.asarray(test.sum(axis=axis)).ravel() for axis in (0, 1))  # by song, by listener
    shared = np.concatenate([
        np.take_along_axis(shared_listeners(test, anchors[some]), np.maximum(found[some], 0), axis=1)
        for some in batches_of_users(np.arange(len(anchors)), n)
    ])  # fmt: skip
    share = listeners / max(np.count_nonzero(songs), 1)
    expected = listeners[anchors] * (share[found] * valid).sum(axis=1)
    any_two = (songs * (songs - 1)).sum() / max(listeners.sum() * share.sum() - listeners @ share, 1e-12)
    yield LIFT, (shared * valid).sum(axis=1), expected, any_two
    rng, some = np.random.default_rng(seed), np.arange(len(anchors))
    theirs, place = found, np.arange(n)
    if len(anchors) < n:  # the neighbours' own lists are still to be found: of a k-th of the anchors, at equal cost
        some = rng.choice(some, max(len(anchors) // k, 1), replace=False)
        of = np.unique(np.maximum(found[some], 0))
        theirs, place = find(of), np.searchsorted(of, np.arange(n)).clip(0, len(of) - 1)
    mutual = (theirs[place[found[some]]] == anchors[some, None, None]).any(axis=2) & valid[some]
    yield "mutual", *(np.bincount(some, each.sum(axis=1), len(anchors)) for each in (mutual, valid[some])), at_random
    listed, top = np.bincount(found[valid], minlength=n), max(n // 100, 1)
    hubs = np.zeros(n, bool)
    hubs[np.argsort(-listed, kind="stable")[:top]] = True
    drawn = rng.integers(0, n, len(anchors) * k)
    by_chance = np.sort(np.bincount(drawn, minlength=n))[-top:].sum() / len(drawn)
    yield "places taken by the 1 % most listed", (hubs[found] & valid).sum(axis=1), places, by_chance
    yield "songs in nobody's list", listed[anchors] == 0, np.ones(len(anchors)), (1 - at_random) ** (len(anchors) - 1)


def flat_map(vectors: np.ndarray, by: str = "pca", seed: int = 0) -> np.ndarray:
    """Return the songs' places on a map, (n, 2), from their vectors by direction: by "pca", or "umap" where installed.

    Raises ValueError for another name, ModuleNotFoundError where UMAP is missing.
    """
    directions = unit(vectors)
    if by == "umap":
        import umap

        return umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(directions)
    if by != "pca":
        raise ValueError(f"MAP: expected pca or umap, got {by!r}")
    centred = directions - directions.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]  # (dim, 2), most spread first
    return centred @ (axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]]))  # a sign that repeats itself
