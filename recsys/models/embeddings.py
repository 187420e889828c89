"""The recommender: two vocabularies, two tables of vectors, and their dot product (or cosine)."""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from recsys.runs import write_atomically

SIMILARITIES = ("dot", "cosine")
FARTHEST = 0.05  # from 0, of what the tables start from
NO_LENGTH = 1e-12  # added under the root, so that a vector without length keeps a finite gradient


ROWS_AT_ONCE = 2**13  # of a table, where it is written


@keras.saving.register_keras_serializable(package="recsys", name="SimpleRecommender")  # as in files of earlier runs
class Embeddings(keras.Model):
    """The author's model: a user's and a song's vector, their dot product as the score, no bias.

    `user_ids` and `item_ids` are the `n_users` and `n_items` raw ids by code, whole numbers or text; code i is row i
    of its table. The tables start uniform in ±`FARTHEST`. For `similarity="cosine"` all vectors have length one.
    """

    def __init__(
        self,
        user_ids: Sequence[Any],
        item_ids: Sequence[Any],
        length_of_embedding: int = 15,
        *,
        similarity: str = "dot",
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if similarity not in SIMILARITIES:
            raise ValueError(f"similarity: expected one of {', '.join(SIMILARITIES)}; got {similarity!r}")
        self.user_ids, self.item_ids = _vocabulary(user_ids, "user"), _vocabulary(item_ids, "song")
        self.n_users, self.n_items = len(self.user_ids), len(self.item_ids)
        self.length_of_embedding, self.similarity, self.seed = length_of_embedding, similarity, seed
        self.user_embeddings, self.item_embeddings = (
            self.add_weight(shape=(len(ids), length_of_embedding), initializer="zeros", name=name)
            for name, ids in (("users", self.user_ids), ("items", self.item_ids))
        )
        self.built = True
        self.start()

    def start(self) -> None:
        """Set the tables to the values they start from, a function of the seed alone."""

        def values(table: int, first: int, shape: tuple[int, int]) -> np.ndarray:
            uniform = np.random.default_rng([self.seed, table, first]).random(shape, np.float32)
            return FARTHEST * (2 * uniform - 1)

        for number, table in enumerate(self.trainable_variables):
            write_rows(table.value, functools.partial(values, number))

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Map codes of users (batch,) and songs (batch, candidates) to logits (batch, candidates); −inf if unknown."""
        users, candidates = inputs
        user = self._vectors(self.user_embeddings, users)  # (batch, dim)
        songs = self._vectors(self.item_embeddings, candidates)  # (batch, candidates, dim)
        return tf.where(self.known(users, candidates), self.products(user, songs), -np.inf)

    def scaled(self, users: tf.Tensor, songs: tf.Tensor, temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map raw vectors of users and songs, (n, dim) each, to those whose products are logits.

        The temperature divides the users' vectors, which are fewer than the logits.
        """
        return self._with_length(users) / temperature, self._with_length(songs)

    def highest_logit(self, temperature: tf.Tensor) -> tf.Tensor | None:
        """Return the highest logit that there can be: of cosines; None for products."""
        return 1 / temperature if self.similarity == "cosine" else None

    def multiply(self, a: tf.Tensor, b: tf.Tensor, **transposed: bool) -> tf.Tensor:
        """Multiply two matrices, as `tf.matmul` does, in the precision of the computation: float32."""
        a, b = tf.cast(a, self.compute_dtype), tf.cast(b, self.compute_dtype)
        return tf.cast(tf.matmul(a, b, **transposed), tf.float32)

    def products(self, users: tf.Tensor, songs: tf.Tensor) -> tf.Tensor:
        """Multiply each user's vector (batch, dim) with songs (n, dim) or (batch, n, dim): (batch, n)."""
        if songs.shape.rank == 2:
            return self.multiply(users, songs, transpose_b=True)
        return tf.reduce_sum(users[:, None] * songs, axis=2)

    def known(self, users: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Return which user and song both have a vector: bool (batch, candidates)."""
        user = (users >= 0) & (users < self.n_users)
        return user[:, None] & (candidates >= 0) & (candidates < self.n_items)

    def _vectors(self, table: keras.Variable, codes: tf.Tensor) -> tf.Tensor:
        inside = tf.clip_by_value(codes, 0, table.shape[0] - 1)
        return self._with_length(tf.gather(table.value, inside))  # of the variable itself: a row-sparse gradient

    def _with_length(self, vectors: tf.Tensor) -> tf.Tensor:
        return of_length_one(vectors) if self.similarity == "cosine" else vectors

    def user_codes(self, ids: Sequence[Any]) -> np.ndarray:
        """Return the codes of raw user ids, int32 (n,). Raises KeyError naming the unknown ones."""
        return _codes(self.user_ids, ids, "user")

    def item_codes(self, ids: Sequence[Any]) -> np.ndarray:
        """Return the codes of raw song ids, int32 (n,). Raises KeyError naming the unknown ones."""
        return _codes(self.item_ids, ids, "song")

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return each user's score of every song, float32 (len(users), n_items); zeros for codes it does not know."""
        users = np.asarray(users)
        known = (users >= 0) & (users < self.n_users)
        vectors = np.asarray(self._vectors(self.user_embeddings, users))  # (users, dim)
        songs = np.asarray(self._with_length(self.item_embeddings.value.read_value()))  # (n_items, dim), not a copy
        scores = vectors @ songs.T
        scores[~known] = 0.0
        return scores

    def call_item_item(self, song: Any, k: int = 100) -> tuple[np.ndarray, np.ndarray]:
        """Return the author's neighbours of a raw song id: k raw ids and their scores by dot product, best first.

        Nothing keeps the song itself out, and long vectors lead. Fewer than k songs: all there are.
        """
        values, codes = tf.math.top_k(self._similarities(self.item_codes([song])[0], "dot"), min(k, self.n_items))
        return self.item_ids[codes.numpy()], values.numpy()

    def neighbours(self, item: int, k: int = 10, by: str = "cosine") -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of the k songs nearest to song code `item`, int32, and their similarities, float32.

        Best first, equal ones by code, never the song itself; fewer than k other songs: all there are.
        """
        if not 0 <= item < self.n_items:
            raise IndexError(f"song code: expected 0…{self.n_items - 1}, got {item}")
        others = tf.where(tf.range(self.n_items) == item, -np.inf, self._similarities(item, by))
        values, codes = tf.math.top_k(others, min(k, self.n_items - 1))
        return codes.numpy(), values.numpy()

    def _similarities(self, item: int, by: str) -> tf.Tensor:
        if by not in SIMILARITIES:
            raise ValueError(f"by: expected one of {', '.join(SIMILARITIES)}; got {by!r}")
        songs = self.item_embeddings.value
        songs = of_length_one(tf.convert_to_tensor(songs)) if by == "cosine" else songs
        return tf.linalg.matvec(songs, songs[item])

    def write(self, path: Path) -> None:
        """Save the model with its vocabularies to one `.keras` file, whole or not at all."""
        with write_atomically(path) as temporary:
            self.save(temporary)

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal model; vocabularies as JSON text, which Keras stores as it is, however long."""
        ids = {"user_ids": json.dumps(self.user_ids.tolist()), "item_ids": json.dumps(self.item_ids.tolist())}
        options = ("length_of_embedding", "similarity", "seed", "name")
        return ids | {name: getattr(self, name) for name in options}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Embeddings":
        """Make a model of what `get_config` returned."""
        ids = {name: json.loads(config[name]) for name in ("user_ids", "item_ids")}
        return cls(**(config | ids))


@tf.custom_gradient
def of_length_one(vectors: tf.Tensor) -> tf.Tensor:
    """Divide vectors (…, dim) by their lengths; the gradient is written out, as the graph's own takes more passes."""
    shrink = tf.math.rsqrt(tf.reduce_sum(tf.square(vectors), axis=-1, keepdims=True) + NO_LENGTH)
    units = vectors * shrink

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return shrink * (upstream - units * tf.reduce_sum(units * upstream, axis=-1, keepdims=True))

    return units, gradient


def load(folder: Path) -> Embeddings:
    """Load the model of a training's folder. Raises FileNotFoundError when there is none."""
    path = Path(folder) / "model.keras"
    if not path.exists():
        raise FileNotFoundError(f"{path.parent.name}/model.keras: expected a trained model, found none; train it first")
    return keras.models.load_model(path, safe_mode=True)


def write_rows(variable: tf.Variable, values: Callable[[int, tuple[int, int]], np.ndarray]) -> None:
    """Write a table some rows at a time, as there may be no room for a second one.

    `values` maps the number of the first row, and the shape of some, to what they are to be.
    """
    for each in tf.distribute.get_strategy().experimental_local_results(variable):
        n, dim = each.shape
        for first in range(0, n, ROWS_AT_ONCE):
            rows = np.arange(first, min(first + ROWS_AT_ONCE, n))
            each.scatter_update(tf.IndexedSlices(values(first, (len(rows), dim)), rows))


def _vocabulary(ids: Sequence[Any], what: str) -> np.ndarray:
    whole = pd.api.types.is_integer_dtype(getattr(ids, "dtype", None))  # millions of objects take time and memory
    raw = np.asarray(ids) if whole else pd.Index(ids, dtype=object).to_numpy()
    if not len(raw):
        raise ValueError(f"{what} ids: expected at least one, got none")
    kind = pd.api.types.infer_dtype(raw, skipna=False)
    if kind not in ("integer", "string"):
        raise ValueError(f"{what} ids: expected whole numbers or text, got {kind}")
    vocabulary = raw.astype(np.int64 if kind == "integer" else object)
    if len(twice := vocabulary[pd.Index(vocabulary, dtype=vocabulary.dtype).duplicated()].tolist()):
        raise ValueError(f"{what} ids: expected each once, got {len(twice)} again: {_some(twice)}")
    return vocabulary


def _codes(vocabulary: np.ndarray, ids: Sequence[Any], what: str) -> np.ndarray:
    ids = list(ids)
    kind = str if vocabulary.dtype == object else int | np.integer
    codes = pd.Index(vocabulary, dtype=vocabulary.dtype).get_indexer(pd.Index(ids, dtype=object))
    unknown = [each for each, code in zip(ids, codes, strict=True) if code < 0 or not isinstance(each, kind)]
    if unknown:
        raise KeyError(f"expected {what} ids of the model's vocabulary, got {len(unknown)} others: {_some(unknown)}")
    return codes.astype(np.int32)


def _some(ids: Sequence[Any]) -> str:
    return ", ".join(repr(each) for each in ids[:5]) + (", …" if len(ids) > 5 else "")
