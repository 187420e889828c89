"""Time per row, and memory, of the recipe `fast` as the numbers of rows and songs grow."""

import contextlib
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench import in_process, mapped_memory, peak_memory, spread, zipf_rows
from recsys.data.interactions import Interactions, read_interactions
from recsys.data.split import Split
from recsys.training.recipes import RECIPES
from recsys.training.sampled_softmax import SampledLoop
from recsys.training.trainer import make_loop

SIZES = ((10**6, 20_000), (5 * 10**6, 100_000), (50 * 10**6, 1_000_000))  # rows and songs
ROWS_PER_USER = 100
ROWS_PER_GROUP = 122_880  # of the Parquet file, as DuckDB writes those of a run
CALLS = 6  # calls that are timed at each size, of 262,144 rows each


class Enough(Exception):
    """Ends an epoch once enough calls were timed."""


def write(path: Path, n_users: int, n_items: int, n_rows: int) -> None:
    """Write rows to a Parquet file."""
    rows = pa.table(zipf_rows(n_users, n_items, n_rows), ["user", "item"])
    pq.write_table(rows, path, row_group_size=ROWS_PER_GROUP)


def time_per_row(n_rows: int, n_items: int, path: Path) -> dict[str, Any]:
    """Return nanoseconds per row of several calls, the share of shuffling among them, and memory in GB."""
    n_users = n_rows // ROWS_PER_USER
    tables = [pd.DataFrame({name: np.arange(n)}) for name, n in (("user_id", n_users), ("item_id", n_items))]
    few = Interactions(np.arange(1024, dtype=np.int32), np.arange(1024, dtype=np.int32))
    split, recipe = Split("zipf", read_interactions(path), few, few[:1], *tables), RECIPES["fast"]
    loop = make_loop(split, recipe, xla=True)
    assert isinstance(loop, SampledLoop)
    loop.start(split.train, *recipe.grid[0], epochs=1)
    calls: list[tuple[float, float]] = []  # when each ended, and how many rows were done

    def note() -> None:
        calls.append((time.perf_counter(), loop.totals[2]))
        if len(calls) > CALLS:
            raise Enough

    loop.after_call = note
    with contextlib.suppress(Enough):
        while True:
            loop.train_epoch()
    seconds = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in itertools.pairwise(calls) if b[1] > a[1]]
    epoch, windows = loop.epoch + 2, []
    for place in (0, n_rows - 1):  # the first window, for which the rows of all windows are counted, and the last
        began = time.perf_counter()
        loop.rows.take(epoch, place, 1)
        windows.append(time.perf_counter() - began)
    shuffling = (windows[0] + (loop.rows.n_windows - 1) * windows[1]) / n_rows
    tables_and_slots = loop.model.count_params() * 4 * 3 / 1e9  # Adam has two slots
    costs = [1e9 * (each + shuffling) for each in seconds]
    return {
        "rows": n_rows, "songs": n_items, "users": n_users, "nanoseconds a row": spread(costs), "costs": costs,
        "of these for the order": 1e9 * shuffling, "tables and slots, GB": tables_and_slots,
        "peak memory, GB": peak_memory(), "of these libraries, GB": mapped_memory(),
    }  # fmt: skip


def measure_size(n_rows: int, n_items: int) -> dict[str, Any]:
    """Measure one size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        in_process(write, path, n_rows // ROWS_PER_USER, n_items, n_rows)
        return in_process(time_per_row, n_rows, n_items, path)


def measure(full: bool) -> dict[str, Any]:
    """Compare the largest size with the smallest. They are not timed in turn: memory would have to hold both."""
    small, *between, large = (measure_size(*size) for size in SIZES[: 3 if full else 2])
    ratios = [b / a for a, b in zip(small["costs"], large["costs"], strict=False)]
    sizes = [{key: value for key, value in each.items() if key != "costs"} for each in (small, *between, large)]
    return {"ratios": {"cost_per_row_growth": spread(ratios)}, "facts": {"sizes": sizes}}
