"""Rows a second of the author's recipe, beside his own row-wise pipeline: python tests/bench_author.py"""

import os
import statistics
import time

import numpy as np
import rowwise
import tensorflow as tf

from recsys import training
from recsys.model import SimpleRecommender
from recsys.split import Split

N_USERS, N_ITEMS, N_ROWS = 14_000, 10_000, 280_000  # as large as 30Music
ROWWISE_ROWS = 40 * 1024
RUNS = 7


def data() -> Split:
    """Listens drawn by Zipf, every user and song at least once."""
    rng = np.random.default_rng(0)
    zipf = 1 / np.arange(1, N_ITEMS + 1)
    user = np.concatenate([np.arange(N_USERS), rng.integers(0, N_USERS, N_ROWS - N_USERS)])
    item = np.concatenate([np.arange(N_ITEMS), rng.choice(N_ITEMS, N_ROWS - N_ITEMS, p=zipf / zipf.sum())])
    rows = np.stack([user, rng.permutation(item)], axis=1)
    return Split.from_arrays(rows, rows[:1024], rows[:1])


def ours(split: Split, xla: bool):
    """Return a function that trains one epoch and returns rows per second."""
    model = SimpleRecommender(split.users["user_id"], split.items["item_id"])
    loop = training.Loop(model, split, training.RECIPES["author"], seed=0, xla=xla)
    loop.start(split.train, 1.0, 1.0, epochs=50)
    return lambda: loop.learn()["rows_per_second"]


def theirs(split: Split, parallel: int | None):
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


def main() -> None:
    """Time all of them in turn, several times over, and print medians, spread and ratios."""
    split = data()
    timed = {
        "his pipeline, row by row": theirs(split, None),
        "the same, mapped in parallel": theirs(split, tf.data.AUTOTUNE),
        "ours without XLA": ours(split, xla=False),
        "ours": ours(split, xla=True),
    }
    speeds = {name: [] for name in timed}
    for run in range(RUNS + 1):
        for name, measure in timed.items():
            speed = measure()
            if run:  # the first warms up
                speeds[name].append(speed)
    print(f"{N_ROWS:,} rows, {N_USERS:,} users, {N_ITEMS:,} songs, {os.cpu_count()} cores, {RUNS} runs in turn")
    for name, each in speeds.items():
        print(f"{name:30} {statistics.median(each):12,.0f} rows/s ({min(each):,.0f} to {max(each):,.0f})")
    for name in list(speeds)[:2]:
        ratios = [a / b for a, b in zip(speeds["ours"], speeds[name], strict=True)]
        print(f"ours / {name:30} {statistics.median(ratios):5.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
