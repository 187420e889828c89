"""Cost per row, and memory, of the recipe fast as rows and songs grow."""

import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench import apart, mapped_memory, peak_memory, spread, zipf_rows
from recsys.data.interactions import Interactions, read_interactions
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training.recipes import RECIPES
from recsys.training.sampled_softmax import SampledLoop

SIZES = ((10**6, 20_000), (5 * 10**6, 100_000), (50 * 10**6, 1_000_000))  # rows and songs
ROWS_OF_A_USER = 100
ROWS_OF_A_GROUP = 122_880  # as DuckDB writes those of a run
CALLS = 6  # of 262,144 rows each, that are timed at each size


class Enough(Exception):
    """Stops an epoch that has been timed for long enough."""


def write(path: Path, n_users: int, n_items: int, n_rows: int) -> None:
    """Write rows to a Parquet file."""
    rows = pa.table(zipf_rows(n_users, n_items, n_rows), ["user", "item"])
    pq.write_table(rows, path, row_group_size=ROWS_OF_A_GROUP)


def cost(n_rows: int, n_items: int, path: Path) -> dict[str, Any]:
    """Return nanoseconds a row of several calls of steps, the order's share among them, and memory in GB.

    The rows lie in the file at `path`, and stay there if they are many, as those of a run do.
    """
    n_users = n_rows // ROWS_OF_A_USER
    tables = [pd.DataFrame({name: np.arange(n)}) for name, n in (("user_id", n_users), ("item_id", n_items))]
    train, few = read_interactions(path), Interactions(np.arange(1024, dtype=np.int32), np.arange(1024, dtype=np.int32))
    split, recipe = Split("zipf", train, few, few[:1], *tables), RECIPES["fast"]
    model = Embeddings(tables[0]["user_id"], tables[1]["item_id"], recipe.dim, similarity=recipe.similarity)
    loop, times = SampledLoop(model, split, recipe, xla=True), []
    loop.start(split.train, *recipe.grid[0], epochs=1)

    def note() -> None:
        times.append((time.perf_counter(), loop.sums[2]))
        if len(times) > CALLS:
            raise Enough

    loop.pause = note
    try:
        while True:
            loop.learn()
    except Enough:
        pass
    calls = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in itertools.pairwise(times) if b[1] > a[1]]
    epoch, seconds = loop.epoch + 2, []
    for place in (0, n_rows - 1):  # of the first window, for which all are counted, and of the last
        began = time.perf_counter()
        loop.rows.take(epoch, place, 1)
        seconds.append(time.perf_counter() - began)
    order = (seconds[0] + (loop.rows.n_windows - 1) * seconds[1]) / n_rows
    held = model.count_params() * 4 * 3 / 1e9  # with Adam's two slots
    costs = [1e9 * (call + order) for call in calls]
    facts = {"rows": n_rows, "songs": n_items, "users": n_users, "nanoseconds a row": spread(costs)}
    facts |= {"of these for the order": 1e9 * order, "tables and slots, GB": held}
    facts |= {"peak memory, GB": peak_memory(), "of these libraries, GB": mapped_memory()}
    return facts | {"costs": costs}


def grown(n_rows: int, n_items: int) -> dict[str, Any]:
    """Return the cost of so many rows and songs, found apart."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        apart(write, path, n_rows // ROWS_OF_A_USER, n_items, n_rows)
        return apart(cost, n_rows, n_items, path)


def measure(full: bool) -> dict[str, Any]:
    """Compare the largest size with the smallest; not in turn, as both would have to be in memory."""
    small, *between, large = (grown(*size) for size in SIZES[: 3 if full else 2])
    ratios = [b / a for a, b in zip(small["costs"], large["costs"], strict=False)]
    sizes = [{key: value for key, value in each.items() if key != "costs"} for each in (small, *between, large)]
    return {"ratios": {"cost_per_row_growth": spread(ratios)}, "facts": {"sizes": sizes}}
