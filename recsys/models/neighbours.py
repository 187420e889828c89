"""Find the songs nearest to a song, by their vectors or by the listeners they share, and lay all songs out on a map."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from recsys.data.split import Split
from recsys.evaluation.ranking import batches_of_users, top_k

Finder = Callable[[np.ndarray], np.ndarray]  # codes of anchors (n,) → codes of their neighbours (n, k), −1 for none


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return the rows (n, dim) scaled to length one; a row of zeros stays as it is."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest(vectors: np.ndarray, anchors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k songs with the highest dot product with each anchor: codes and products, each (anchors, k).

    With unit vectors the products are cosines. The best song comes first, equal ones are ordered by code, and the
    anchor itself is left out. With fewer than k other songs, the lists are shorter.
    """
    parts = []
    for batch in batches_of_users(np.asarray(anchors), len(vectors)):
        products = vectors[batch] @ vectors.T  # (batch, n_items)
        products[np.arange(len(batch)), batch] = -np.inf
        parts.append(top_k(products, min(k, len(vectors) - 1)))
    codes, values = zip(*parts, strict=True)
    return np.concatenate(codes), np.concatenate(values)


def shared_listeners(seen: sparse.csr_matrix, anchors: np.ndarray) -> np.ndarray:
    """Count the users who have both the anchor and a song: float32 (anchors, n_items). `seen` holds 0 and 1."""
    return (seen[:, anchors].T @ seen).toarray()


def nearest_by_listeners(seen: sparse.csr_matrix, anchors: np.ndarray, k: int) -> np.ndarray:
    """Return the k songs whose listeners have the highest cosine with the anchor's: codes (anchors, k).

    A place is −1 where no further song shares a listener with the anchor. `seen` is 0/1, (n_users, n_items).
    """
    lengths = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1))
    parts = []
    for batch in batches_of_users(anchors, seen.shape[1]):
        cosines = shared_listeners(seen, batch) / lengths  # times the anchor's length, which keeps a row's order
        cosines[np.arange(len(batch)), batch] = 0
        parts.append(top_k(np.where(cosines > 0, cosines, -np.inf), min(k, seen.shape[1] - 1))[0])
    return np.concatenate(parts)


def finders(split: Split, vectors: np.ndarray, k: int) -> dict[str, Finder]:
    """Return three ways to find k neighbours: by cosine, by dot product, and by co-listening (shared listeners)."""
    unit, seen = unit_vectors(vectors), split.known
    return {
        "cosine": lambda anchors: nearest(unit, anchors, k)[0],
        "dot product": lambda anchors: nearest(vectors, anchors, k)[0],
        "co-listening": lambda anchors: nearest_by_listeners(seen, anchors, k),
    }


def map_positions(vectors: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Return each song's position on a map, (n_items, 2), from the direction of its vector.

    The method is "pca" or, if it is installed, "umap". Raises ValueError for another name.
    """
    unit = unit_vectors(vectors)
    if method == "umap":
        import umap

        return umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(unit)
    if method != "pca":
        raise ValueError(f"MAP: expected pca or umap, got {method!r}")
    centred = unit - unit.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]  # (dim, 2), the largest variance first
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # eigenvectors have no sign of their own: fix one
    return centred @ (axes * signs)
