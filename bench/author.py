"""Rows a second of the author's recipe, beside his own row-wise pipeline."""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bench import ROOT, spread, zipf_rows
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training.recipes import RECIPES
from recsys.training.sampled_softmax import SampledLoop

sys.path.insert(0, str(ROOT / "tests"))
import rowwise  # noqa: E402

N_USERS, N_ITEMS, N_ROWS = 14_000, 10_000, 280_000  # as large as 30Music
ROWWISE_ROWS = 40 * 1024
RUNS = 7


def ours(split: Split, xla: bool) -> Callable[[], float]:
    """Return a function that trains one epoch and returns rows per second."""
    model = Embeddings(split.users["user_id"], split.items["item_id"])
    loop = SampledLoop(model, split, RECIPES["author"], seed=0, xla=xla)
    loop.start(split.train, 1.0, 1.0, epochs=50)
    return lambda: loop.learn()["rows_per_second"]


def theirs(split: Split, parallel: int | None) -> Callable[[], float]:
    """Return a function that fits the row-wise model on its rows and returns rows per second."""
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
    """Time all of them in turn, several times over."""
    rows = np.stack(zipf_rows(N_USERS, N_ITEMS, N_ROWS), axis=1)
    split = Split.from_arrays(rows, rows[:1024], rows[:1])
    timed = {
        "his pipeline, row by row": theirs(split, None),
        "the same, mapped in parallel": theirs(split, tf.data.AUTOTUNE),
        "ours without XLA": ours(split, xla=False),
        "ours": ours(split, xla=True),
    }
    speeds: dict[str, list[float]] = {name: [] for name in timed}
    for run in range(1 + (RUNS if full else 5)):
        for name, speed in timed.items():
            value = speed()
            if run:  # the first warms up
                speeds[name].append(value)
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["his pipeline, row by row"], strict=True)]
    facts: dict[str, Any] = {"rows": N_ROWS, "users": N_USERS, "songs": N_ITEMS}
    facts["rows a second"] = {name: spread(values) for name, values in speeds.items()}
    return {"ratios": {"author_rows_vs_rowwise": spread(ratios)}, "facts": facts}
