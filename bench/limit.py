"""Rows per second of the recipe `fast`, compared with the bare matrix products and gathers that it needs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bench import interleaved, spread, zipf_rows
from recsys.data.split import Split
from recsys.training.recipes import RECIPES, Recipe
from recsys.training.trainer import make_loop

N_USERS, N_ITEMS, N_ROWS = 14_000, 20_000, 2**19


def bare_epoch(split: Split, recipe: Recipe) -> Callable[[], object]:
    """Return a function that runs only the products and gathers of an epoch.

    The gathers are those of codes, vectors and their two slots; the products are the logits and the two of their
    gradient.
    """
    sizes = (split.n_users, split.n_items)
    tables, *slots = ([tf.Variable(tf.random.normal((n, recipe.dim))) for n in sizes] for _ in range(3))
    users, items = tf.constant(split.train.user), tf.constant(split.train.item)
    size, n_negatives = recipe.batch_size, recipe.n_negatives
    order = tf.constant(np.random.default_rng(0).permutation(len(split.train)), tf.int32)
    drawn = tf.random.uniform((len(split.train) // size, n_negatives), 0, split.n_items, tf.int32)

    @tf.function
    def epoch() -> tf.Tensor:
        total = 0.0
        for step in tf.range(len(split.train) // size):
            rows = order[step * size : (step + 1) * size]
            codes = (tf.gather(users, rows), tf.concat([tf.gather(items, rows), drawn[step]], 0))
            own, songs = (tf.gather(table, code) for table, code in zip(tables, codes, strict=True))
            negatives = songs[size:]  # (negatives, dim)
            logits = tf.matmul(own, negatives, transpose_b=True)  # (batch, negatives)
            found = [tf.matmul(logits, negatives), tf.matmul(logits, own, transpose_a=True), songs]
            found += [tf.gather(slot[i], code) for slot in slots for i, code in enumerate(codes)]
            total += tf.add_n([each[0, 0] for each in found])
        return total

    return lambda: epoch().numpy()


def measure(full: bool) -> dict[str, Any]:
    """Time both in turn, several times."""
    rows = np.stack(zipf_rows(N_USERS, N_ITEMS, N_ROWS), axis=1)
    split, recipe = Split.from_arrays(rows, rows[:1024], rows[:1]), RECIPES["fast"]
    loop = make_loop(split, recipe, xla=True)
    loop.start(split.train, *recipe.grid[0], epochs=1000)
    epochs = {"bare": bare_epoch(split, recipe), "fast": loop.train_epoch}
    speeds = N_ROWS / interleaved(epochs, 15 if full else 7)
    facts = {"dim": recipe.dim, "negatives": recipe.n_negatives, "batch": recipe.batch_size}
    facts |= {"rows per second": {name: spread(speeds[name]) for name in speeds}}
    return {"ratios": {"best_vs_limit": spread(speeds["fast"] / speeds["bare"])}, "facts": facts}
