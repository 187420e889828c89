"""Rows per second of the recipe `author`, compared with the described row-wise pipeline."""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bench import ROOT, spread, zipf_rows
from recsys.data.split import Split
from recsys.training.recipes import RECIPES
from recsys.training.trainer import make_loop

sys.path.insert(0, str(ROOT / "tests"))
import rowwise  # noqa: E402

N_USERS, N_ITEMS, N_ROWS = 14_000, 10_000, 280_000  # about the size of 30Music
ROWWISE_ROWS = 40 * 1024
RUNS = 7


def recipe_epoch(split: Split, xla: bool) -> Callable[[], float]:
    """Return a function that trains the recipe for an epoch and returns rows per second."""
    loop = make_loop(split, RECIPES["author"], xla=xla)
    loop.start(split.train, 1.0, 1.0, epochs=50)
    return lambda: loop.train_epoch()["rows_per_second"]


def rowwise_epoch(split: Split, parallel: int | None) -> Callable[[], float]:
    """Return a function that fits the row-wise model on some rows and returns rows per second."""
    model = rowwise.compiled([str(user) for user in range(N_USERS)], np.arange(N_ITEMS))
    rows = rowwise.get_dataset(
        split.train.user[:ROWWISE_ROWS], split.train.item[:ROWWISE_ROWS], np.arange(N_ITEMS), parallel=parallel
    )

    def fit() -> float:
        started = time.perf_counter()
        model.fit(rows, shuffle=False, verbose=0)
        return ROWWISE_ROWS / (time.perf_counter() - started)

    return fit


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
    speeds: dict[str, list[float]] = {name: [] for name in epochs}
    for run in range(1 + (RUNS if full else 5)):
        for name, epoch in epochs.items():
            speed = epoch()
            if run:  # the first run warms up
                speeds[name].append(speed)
    ratios = [a / b for a, b in zip(speeds["author"], speeds["row by row"], strict=True)]
    facts: dict[str, Any] = {"rows": N_ROWS, "users": N_USERS, "songs": N_ITEMS}
    facts["rows per second"] = {name: spread(values) for name, values in speeds.items()}
    return {"ratios": {"author_rows_vs_rowwise": spread(ratios)}, "facts": facts}
