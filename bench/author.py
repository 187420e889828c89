"""Rows per second of the recipe `author`, compared with the described row-wise pipeline."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bench import ROOT, interleaved, spread, zipf_rows
from recsys.data.split import Split
from recsys.training.recipes import RECIPES
from recsys.training.trainer import make_loop

sys.path.insert(0, str(ROOT / "tests"))
import rowwise  # noqa: E402

N_USERS, N_ITEMS, N_ROWS = 14_000, 10_000, 280_000  # about the size of 30Music
ROWWISE_ROWS = 40 * 1024


def recipe_epoch(split: Split, xla: bool) -> Callable[[], object]:
    """Return a function that trains the recipe for an epoch."""
    loop = make_loop(split, RECIPES["author"], xla=xla)
    loop.start(split.train, 1.0, 1.0, epochs=50)
    return loop.train_epoch


def rowwise_epoch(split: Split, parallel: int | None) -> Callable[[], object]:
    """Return a function that fits the row-wise model on some rows."""
    model, songs = rowwise.compiled([str(user) for user in range(N_USERS)], np.arange(N_ITEMS)), np.arange(N_ITEMS)
    rows = split.train[:ROWWISE_ROWS]
    dataset = rowwise.get_dataset(rows.user, rows.item, songs, parallel=parallel)
    return lambda: model.fit(dataset, shuffle=False, verbose=0)


def measure(full: bool) -> dict[str, Any]:
    """Time all of them in turn, several times."""
    rows = np.stack(zipf_rows(N_USERS, N_ITEMS, N_ROWS), axis=1)
    split = Split.from_arrays(rows, rows[:1024], rows[:1])
    epochs = {
        "row by row": rowwise_epoch(split, None),
        "row by row, mapped in parallel": rowwise_epoch(split, tf.data.AUTOTUNE),
        "author without XLA": recipe_epoch(split, xla=False),
        "author": recipe_epoch(split, xla=True),
    }
    speeds = 1 / interleaved(epochs, 7 if full else 5) * [ROWWISE_ROWS, ROWWISE_ROWS, N_ROWS, N_ROWS]
    facts = {"rows": N_ROWS, "users": N_USERS, "songs": N_ITEMS}
    facts |= {"rows per second": {name: spread(speeds[name]) for name in speeds}}
    return {"ratios": {"author_rows_vs_rowwise": spread(speeds["author"] / speeds["row by row"])}, "facts": facts}
