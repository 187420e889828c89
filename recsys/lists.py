"""Lists of songs for listeners, made of arrays and tables alone: what one machine and many workers do alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from recsys.evaluation.ranking import Scorer, batches_of_users, rank, top_k

REPEATS = ("new", "again", "both")
SONG_COLUMNS = ("name", "artist")  # columns of the split's songs that stand in every list, where the data have them


@dataclass(frozen=True, eq=False)
class Lists:
    """A model's scores, and what the lists need besides.

    `known` (n_users, n_items) has the songs of each listener, `user_ids` the listeners' ids, `items` the table of the
    songs, each by code. `activation` says how present each song is to each listener: see `models.repeats`. It is needed
    for songs to hear again only.
    """

    scorer: Scorer
    known: sparse.csr_matrix
    user_ids: np.ndarray
    items: pd.DataFrame
    activation: sparse.csr_matrix | None = None

    def by_code(self, users: np.ndarray, k: int, repeats: str = "new") -> pd.DataFrame:
        """Return the k best songs for each listener: one row for each song. See `Recommender.recommend`."""
        if repeats not in REPEATS:
            raise ValueError(f"repeats: expected one of {', '.join(REPEATS)}; got {repeats!r}")
        kinds = {"new": [self._new], "again": [self._again], "both": [self._again, self._new]}[repeats]
        items, scores = (np.stack(each, axis=2) for each in zip(*(kind(users, k) for kind in kinds), strict=True))
        items, scores = items.reshape(len(users), -1), scores.reshape(len(users), -1)  # the lists take turns
        kept = np.argsort(items < 0, axis=1, kind="stable")[:, :k]  # where one list ends, the other goes on
        items, scores = np.take_along_axis(items, kept, axis=1), np.take_along_axis(scores, kept, axis=1)
        table = listed(self.items, "user_id", self.user_ids[users], items, scores)
        if repeats == "both":
            row, place = np.nonzero(items >= 0)
            table["again"] = np.asarray(self.known[users[row], items[row, place]]).ravel() > 0
        return table

    def schema(self, k: int, repeats: str = "new") -> pa.Schema:
        """Return the columns of the lists as Arrow has them."""
        kinds = self.by_code(np.arange(1), k, repeats).dtypes
        return pa.schema([(name, _arrow_type(kind)) for name, kind in kinds.items()])

    def _new(self, users: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and scores of the k best songs that the listeners do not know: (len(users), k) each."""
        ranking = rank(self.scorer, users, self.known, sparse.csr_matrix(self.known.shape), k)
        return ranking.items, ranking.scores

    def _again(self, users: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and activations of the k songs that are most present to the listeners: (len(users), k) each."""
        assert self.activation is not None
        parts = []
        for batch in batches_of_users(users, self.known.shape[1]):
            scores = self.activation[batch].toarray()
            parts.append(top_k(np.where(scores > 0, scores, -np.inf), k))
        items, scores = zip(*parts, strict=True)
        return np.concatenate(items), np.concatenate(scores)


def listed(songs: pd.DataFrame, column: str, ids: np.ndarray, items: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Return the rows of lists (n, k) with their ids (n,). A new column of lists and of the export goes here."""
    row, place = np.nonzero(items >= 0)
    found = songs.iloc[items[row, place]]
    columns = {column: ids[row], "rank": (place + 1).astype(np.int32), "item_id": found["item_id"].to_numpy()}
    columns |= {name: found[name].to_numpy() for name in SONG_COLUMNS if name in found}
    return pd.DataFrame(columns | {"score": scores[row, place]})


def _arrow_type(kind: Any) -> pa.DataType:
    return pa.from_numpy_dtype(kind) if pd.api.types.is_numeric_dtype(kind) else pa.string()
