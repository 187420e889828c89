"""The described system's model: two vocabularies, two tables of vectors, and their dot product as the score."""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from recsys.files import check_file, read_json, write_atomically
from recsys.models.model_files import REGISTERED, read_model

INITIAL_RANGE = 0.05  # vectors start uniform in ±0.05, as in Keras; the described learning rate of 100 depends on it
Ids = Sequence[Any] | np.ndarray
TINY = 1e-12  # keeps the gradient of a zero vector finite
ROWS_AT_ONCE = 2**13  # rows of a table that are written at once


@keras.saving.register_keras_serializable(*REGISTERED.split(">"))  # the name in saved files
class Embeddings(keras.Model):
    """The described system's `SimpleRecommender`: a vector per user and per song, and their dot product as the score.

    `user_ids` and `item_ids` are the two vocabularies: n_users and n_items distinct raw ids, whole numbers or text. The
    id at position i has code i, and its vector is row i of `user_embeddings` (n_users, dim) or `item_embeddings`
    (n_items, dim), where dim is `length_of_embedding`. Raises ValueError for other ids.

    Not in the described system: `similarity="cosine"`, which divides each vector by its length; a `seed`; and codes
    outside the vocabulary, which never get another id's vector: their logit is −inf, their score 0.
    """

    def __init__(
        self, user_ids: Ids, item_ids: Ids, length_of_embedding: int = 15, *,
        similarity: str = "dot", seed: int = 0, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if similarity not in ("dot", "cosine"):
            raise ValueError(f"similarity: expected dot or cosine, got {similarity!r}")
        self.user_ids, self.item_ids = _vocabulary(user_ids, "user"), _vocabulary(item_ids, "song")
        self.n_users, self.n_items = len(self.user_ids), len(self.item_ids)
        self.length_of_embedding, self.similarity, self.seed = length_of_embedding, similarity, seed
        self.user_embeddings = self.add_weight((self.n_users, length_of_embedding), initializer="zeros", name="users")
        self.item_embeddings = self.add_weight((self.n_items, length_of_embedding), initializer="zeros", name="items")
        self.built = True
        self.initialise()

    def initialise(self) -> None:
        """Fill both tables with their initial values: uniform in ±`INITIAL_RANGE`, determined by the seed."""

        def uniform(table: int, first: int, shape: tuple[int, int]) -> np.ndarray:
            values = np.random.default_rng([self.seed, table, first]).random(shape, np.float32)
            return INITIAL_RANGE * (2 * values - 1)

        for number, table in enumerate(self.trainable_variables):
            write_rows(table.value, functools.partial(uniform, number))

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Return the logits (batch, candidates) for codes of users (batch,) and candidates (batch, candidates)."""
        users, candidates = inputs
        user = self._vectors(self.user_embeddings, users)  # (batch, dim)
        songs = self._vectors(self.item_embeddings, candidates)  # (batch, candidates, dim)
        return tf.where(self.known(users, candidates), self.products(user, songs), -np.inf)

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Return each user's score of every song: float32 (len(users), n_items), zeros for unknown codes."""
        users = np.asarray(users)
        known = (users >= 0) & (users < self.n_users)
        vectors = np.asarray(self._vectors(self.user_embeddings, users))  # (users, dim)
        songs = np.asarray(self.normalised(self.item_embeddings.value.read_value()))  # (n_items, dim), not a copy
        scores = vectors @ songs.T
        scores[~known] = 0.0
        return scores

    def call_item_item(self, song: Any, k: int = 100) -> tuple[np.ndarray, np.ndarray]:
        """Return the described system's neighbours of a song: k raw ids and their dot products, best first.

        Unlike in `neighbours.nearest`, the song itself can be in its list. Raises KeyError for an unknown id.
        """
        songs = self.item_embeddings.value
        products = tf.linalg.matvec(songs, songs[self.item_codes([song])[0]])
        values, codes = tf.math.top_k(products, min(k, self.n_items))
        return self.item_ids[codes.numpy()], values.numpy()

    def user_codes(self, ids: Sequence[Any]) -> np.ndarray:
        """Return the codes of raw user ids: int32 (n,). Raises KeyError with the ids that are unknown."""
        return _codes(self.user_ids, ids, "user")

    def item_codes(self, ids: Sequence[Any]) -> np.ndarray:
        """Return the codes of raw song ids: int32 (n,). Raises KeyError with the ids that are unknown."""
        return _codes(self.item_ids, ids, "song")

    def known(self, users: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Return where both the user and the song have a vector: bool (batch, candidates)."""
        user = (users >= 0) & (users < self.n_users)
        return user[:, None] & (candidates >= 0) & (candidates < self.n_items)

    def products(self, users: tf.Tensor, songs: tf.Tensor) -> tf.Tensor:
        """Return the dot products of users (batch, dim) with songs (n, dim) or (batch, n, dim): (batch, n)."""
        if songs.shape.rank == 2:
            return self.multiply(users, songs, transpose_b=True)
        return tf.reduce_sum(users[:, None] * songs, axis=2)

    def multiply(self, a: tf.Tensor, b: tf.Tensor, **transposed: bool) -> tf.Tensor:
        """Multiply two matrices like `tf.matmul`, in the model's compute precision; the result is float32."""
        a, b = tf.cast(a, self.compute_dtype), tf.cast(b, self.compute_dtype)
        return tf.cast(tf.matmul(a, b, **transposed), tf.float32)

    def scaled(self, users: tf.Tensor, songs: tf.Tensor, temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return vectors whose products are logits, from rows of the tables: users (n, dim) and songs (m, dim)."""
        return self.normalised(users) / temperature, self.normalised(songs)  # users have fewer numbers than logits

    def highest_logit(self, temperature: tf.Tensor) -> tf.Tensor | None:
        """Return the highest possible logit: 1 / temperature for cosines, None for dot products."""
        return 1 / temperature if self.similarity == "cosine" else None

    def _vectors(self, table: keras.Variable, codes: tf.Tensor) -> tf.Tensor:
        inside = tf.clip_by_value(codes, 0, table.shape[0] - 1)
        return self.normalised(tf.gather(table.value, inside))  # gathers from the variable: the gradient has few rows

    def normalised(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return vectors (…, dim) as the score takes them: of length one for cosines."""
        return normalise(vectors) if self.similarity == "cosine" else vectors

    def write(self, path: Path) -> None:
        """Save the model with its vocabularies to a `.keras` file, atomically."""
        with write_atomically(path) as temporary:
            self.save(temporary)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal model. The ids are JSON text, which Keras stores at any length."""
        ids = {name: json.dumps(getattr(self, name).tolist()) for name in ("user_ids", "item_ids")}
        return ids | {name: getattr(self, name) for name in ("length_of_embedding", "similarity", "seed", "name")}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Embeddings":
        """Make a model from the result of `get_config`."""
        ids = {name: json.loads(config[name]) for name in ("user_ids", "item_ids")}
        return cls(**(config | ids))


def load(folder: Path) -> Embeddings:
    """Load the model from a training's folder. Raises FileNotFoundError if there is none.

    Raises ValueError if it is not the model that the training has left, or no model of this project.
    """
    path, history = Path(folder) / "model.keras", Path(folder) / "history.json"
    if not path.exists():
        raise FileNotFoundError(f"{path.parent.name}/model.keras: expected a trained model, found none; train it first")
    check_file(path, read_json(history).get("model") if history.exists() else None)
    arguments, tables = read_model(path)
    model = Embeddings(**arguments)
    model.set_weights(tables)
    return model


@tf.custom_gradient
def normalise(vectors: tf.Tensor) -> tf.Tensor:
    """Divide vectors (…, dim) by their lengths. The gradient is written by hand, because TensorFlow's own is slower."""
    shrink = tf.math.rsqrt(tf.reduce_sum(tf.square(vectors), axis=-1, keepdims=True) + TINY)
    units = vectors * shrink

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return shrink * (upstream - units * tf.reduce_sum(units * upstream, axis=-1, keepdims=True))

    return units, gradient


def write_rows(variable: tf.Variable, values: Callable[[int, tuple[int, int]], np.ndarray]) -> None:
    """Fill a table with `values(first row, shape)`, some rows at a time: memory may be too small for a second table."""
    for each in tf.distribute.get_strategy().experimental_local_results(variable):
        n, dim = each.shape
        for first in range(0, n, ROWS_AT_ONCE):
            rows = np.arange(first, min(first + ROWS_AT_ONCE, n))
            each.scatter_update(tf.IndexedSlices(values(first, (len(rows), dim)), rows))


def _vocabulary(ids: Ids, what: str) -> np.ndarray:
    whole = pd.api.types.is_integer_dtype(getattr(ids, "dtype", None))  # saves making millions of Python objects
    raw = np.asarray(ids) if whole else pd.Index(ids, dtype=object).to_numpy()
    if not len(raw):
        raise ValueError(f"{what} ids: expected at least one, got none")
    kind = pd.api.types.infer_dtype(raw, skipna=False)
    if kind not in ("integer", "string"):
        raise ValueError(f"{what} ids: expected whole numbers or text, got {kind}")
    vocabulary = raw.astype(np.int64 if kind == "integer" else object)
    if len(repeated := vocabulary[pd.Index(vocabulary, dtype=vocabulary.dtype).duplicated()].tolist()):
        raise ValueError(f"{what} ids: expected each id once, got {len(repeated)} again: {_first_five(repeated)}")
    return vocabulary


def _codes(vocabulary: np.ndarray, ids: Sequence[Any], what: str) -> np.ndarray:
    ids = list(ids)
    kind, words = (str, "text") if vocabulary.dtype == object else (int | np.integer, "whole numbers")
    codes = pd.Index(vocabulary, dtype=vocabulary.dtype).get_indexer(pd.Index(ids, dtype=object))
    if unknown := [each for each, code in zip(ids, codes, strict=True) if code < 0 or not isinstance(each, kind)]:
        found = f"{len(unknown)} unknown: {_first_five(unknown)}"
        raise KeyError(f"{what} ids: expected ids that the model knows, which are {words}; got {found}")
    return codes.astype(np.int32)


def _first_five(ids: Sequence[Any]) -> str:
    plain = [each.item() if isinstance(each, np.generic) else each for each in ids[:5]]
    return ", ".join(map(repr, plain)) + (", …" if len(ids) > 5 else "")
