"""The explorer of songs: collects its data in one compressed file, and shows it in a notebook."""

import base64
import gzip
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from recsys.data.split import Split
from recsys.evaluation.ranking import top_k
from recsys.files import write_atomically
from recsys.models.neighbours import nearest, unit_vectors
from recsys.reports.exploration import one_line
from recsys.reports.narrative import model_name

DATA, PAGE = "explorer.gz", "explorer.html"  # in the folder of a run; the page in the folder of a report, too
MOST_SONGS = 20_000
LARGEST = 3_650_000  # bytes of the data: the page that holds them, as base64, stays below 5 MB
FEWEST = 5  # listeners; smaller counts are withheld
NEIGHBOURS = 10  # of each song
LISTED = 20  # songs that a mix recommends
LIKED = 5  # songs of a mix, at most
TRIED = 500  # mixes by which the error of the rounded vectors is measured
LINK = "[Open the explorer](explorer.html), a page of its own."


def collect(
    split: Split, vectors: np.ndarray, positions: np.ndarray, listener_map: np.ndarray, similarity: str, recipe: str,
    seed: int = 0,
) -> bytes:  # fmt: skip
    """Return the explorer's data: songs with their listeners, neighbours, places on the map, and rounded vectors.

    `vectors` (n_items, dim) and `positions` (n_items, 2) are of all warm songs, `listener_map` (dim, dim) maps the mean
    direction of liked songs to a listener's vector, and `similarity` is the model's: cosine or dot. Of a large
    catalogue the data hold the songs with the most listeners, at most `MOST_SONGS`.
    """
    listeners = _withheld(np.asarray(split.known.sum(axis=0)).ravel())
    order = np.argsort(-listeners, kind="stable")  # among songs whose counts are withheld, by code
    n = min(split.n_items, MOST_SONGS)
    about = {
        "dataset": split.name, "model": model_name(recipe), "n_listeners": split.n_users, "n_songs": split.n_items,
        "fewest": FEWEST, "listed": LISTED, "most": LIKED,
    }  # fmt: skip
    while True:
        songs = order[:n]
        directions, known = unit_vectors(vectors[songs]), split.known[:, songs]
        lengths = None if similarity == "cosine" else np.linalg.norm(vectors[songs], axis=1)
        axes = np.linalg.eigh(directions.T @ directions)[1]  # along these axes, most numbers are small: they compress
        rotated, own_map = directions @ axes, axes.T @ listener_map @ axes
        rounded = round_directions(rotated)
        codes, cosines = nearest(directions, np.arange(n), NEIGHBOURS)  # (n, k) each
        places = positions[songs] - positions[songs].min(axis=0)
        arrays = {
            "listeners": listeners[songs], "neighbours": codes, "shared": _withheld(count_shared(known, codes)),
            "cosines": np.round(100 * cosines).astype(np.int8),
            "places": np.round(places * (65_535 / max(places.max(), 1e-12))).astype(np.uint16),
            "vectors": rounded, "map": own_map.astype(np.float32),
        }  # fmt: skip
        if lengths is not None:
            arrays["lengths"] = lengths.astype(np.float32)
        same, n_mixes = overlap(known, rotated, rounded, lengths, own_map, seed)
        texts = _texts(split, songs) | {"same": same, "n_mixes": n_mixes, "k": codes.shape[1], "dim": vectors.shape[1]}
        data = pack(about | texts, arrays)
        if len(data) <= LARGEST:
            return data
        n = int(0.98 * n * LARGEST / len(data))


def save(data: bytes, folder: Path) -> "Shown":
    """Write the explorer's data into the folder of a run, where the report finds them, and return them to be shown."""
    with write_atomically(folder / DATA) as temporary:
        temporary.write_bytes(data)
    return Shown(data)


class Shown:
    """The explorer in the output of a cell. A report keeps only a link to its own explorer."""

    def __init__(self, data: bytes):
        self.data = data

    def __repr__(self) -> str:
        return "the explorer of songs"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from recsys.reports.pages import explorer_page  # a report keeps the link alone, whatever the page looks like

        size, page = 'width="100%" height="820" frameborder="0"', html.escape(explorer_page(self.data))
        frame = f'<iframe title="Explore songs" {size} sandbox="allow-scripts" srcdoc="{page}"></iframe>'
        return {"text/html": frame, "text/markdown": LINK}


def round_directions(directions: np.ndarray) -> np.ndarray:
    """Return unit vectors (n, dim) as int8, each scaled so that its largest number is 127; zeros stay zeros."""
    largest = np.abs(directions).max(axis=1, keepdims=True)
    return np.round(directions * (127 / np.maximum(largest, 1e-12))).astype(np.int8)


def count_shared(known: sparse.csr_matrix, codes: np.ndarray) -> np.ndarray:
    """Count the listeners that each song has in common with each of its neighbours: int (n, k).

    `known` (n_users, n) holds 0 and 1, `codes` (n, k) the neighbours.
    """
    listeners, (n, k) = known.T.tocsr(), codes.shape
    counts = np.empty((n, k), int)
    for start in range(0, n, 1000):
        rows = np.arange(start, min(start + 1000, n))
        both = listeners[np.repeat(rows, k)].multiply(listeners[codes[rows].ravel()])
        counts[rows] = np.asarray(both.sum(axis=1)).reshape(-1, k)
    return counts


def mix_scores(
    liked: sparse.csr_matrix, directions: np.ndarray, lengths: np.ndarray | None, listener_map: np.ndarray
) -> np.ndarray:
    """Return the scores of all songs for new listeners, as `Recommender.fold_in` computes them: float (mixes, n).

    `liked` (mixes, n) holds 0 and 1. The scores of the liked songs are −inf.
    """
    listeners = unit_vectors(liked @ directions) @ listener_map  # (mixes, dim)
    scores = listeners @ directions.T * (1 if lengths is None else lengths)
    scores[liked.nonzero()] = -np.inf
    return scores


def overlap(
    known: sparse.csr_matrix, directions: np.ndarray, rounded: np.ndarray, lengths: np.ndarray | None,
    listener_map: np.ndarray, seed: int = 0,
) -> tuple[float, int]:  # fmt: skip
    """Return which share of the songs in a mix's list stays the same with rounded vectors, and the number of mixes.

    The mixes are drawn from the histories `known` (n_users, n): two to five songs of one listener each. Without a
    listener who has two songs both are 0.
    """
    rng, rows = np.random.default_rng(seed), []
    for user in rng.permutation(np.flatnonzero(np.diff(known.indptr) >= 2))[:TRIED]:
        history = known.indices[known.indptr[user] : known.indptr[user + 1]]
        rows.append(rng.permutation(history)[: rng.integers(2, LIKED + 1)])
    if not rows:
        return 0.0, 0
    places = np.repeat(np.arange(len(rows)), [len(row) for row in rows]), np.concatenate(rows)
    liked = sparse.csr_matrix((np.ones(len(places[0])), places), (len(rows), known.shape[1]))
    exact, by_page = (
        top_k(mix_scores(liked, each, lengths, listener_map), LISTED)[0]
        for each in (directions, unit_vectors(rounded.astype(np.float32)))
    )
    found = (exact[:, :, None] == by_page[:, None]).any(axis=2) & (exact >= 0)
    return float(found.sum() / (exact >= 0).sum()), len(rows)


def pack(texts: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Return texts and arrays compressed: a line of JSON, which lists the arrays, and then the arrays' bytes."""
    stored = {name: each if each.dtype in (np.int8, np.float32) else _unsigned(each) for name, each in arrays.items()}
    texts = texts | {"arrays": [[name, each.dtype.name, each.size] for name, each in stored.items()]}
    line = json.dumps(texts, ensure_ascii=False).encode() + b"\n"
    content = line + b"".join(each.astype(each.dtype.newbyteorder("<")).tobytes() for each in stored.values())
    return gzip.compress(content, mtime=0)


def unpack(page: str) -> dict[str, Any]:
    """Return the texts and arrays that the explorer's page holds, by name: the inverse of `pack`."""
    (packed,) = re.findall(r'id="data">([^<]*)</script>', page)
    line, content = gzip.decompress(base64.b64decode(packed)).split(b"\n", 1)
    found, at = json.loads(line), 0
    for name, kind, size in found.pop("arrays"):
        found[name] = np.frombuffer(content, np.dtype(kind).newbyteorder("<"), size, at)
        at += found[name].nbytes
    return found


def _unsigned(values: np.ndarray) -> np.ndarray:
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _withheld(counts: np.ndarray) -> np.ndarray:
    """Return counts of listeners, with 0 in place of those that are too small to be shown."""
    return np.where(counts < FEWEST, 0, counts).astype(int)


def _texts(split: Split, songs: np.ndarray) -> dict[str, list[Any]]:
    """Return ids, names and artists, the artists as a list of all and, for each song, its place there or −1."""
    rows = split.items.iloc[songs]
    texts: dict[str, list[Any]] = {"ids": [_shown_id(str(each)) for each in rows["item_id"]]}
    if "name" in rows:
        texts["names"] = [one_line(each) for each in rows["name"].fillna("")]
    column = next((each for each in ("artist", "artist_id") if each in rows), None)
    if column:
        prefix, values = "artist " if column == "artist_id" else "", rows[column].convert_dtypes()  # 5.0 becomes 5
        artists = [prefix + one_line(each) if known else "" for each, known in zip(values, values.notna(), strict=True)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(filter(None, artists)))}
        texts |= {"artists": list(numbers), "artist": [numbers.get(name, -1) for name in artists]}
    return texts


def _shown_id(text: str) -> str:
    """Return an id that is one short line, and still unique: where it had to change, a hash is added."""
    shown = one_line(text)
    return shown if shown == text else f"{shown}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"
