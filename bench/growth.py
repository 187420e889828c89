"""Cost per row, and memory, of the recipe fast as rows and songs grow."""

import itertools
import time
from typing import Any

import numpy as np
import pandas as pd

from bench import peak_memory, spread, zipf_rows
from recsys.loops import Loop
from recsys.model import SimpleRecommender
from recsys.recipes import RECIPES
from recsys.split import Interactions, Split

SIZES = ((10**6, 20_000), (5 * 10**6, 100_000), (50 * 10**6, 1_000_000))  # rows and songs
ROWS_OF_A_USER = 100
CALLS = 6  # of 262,144 rows each, that are timed at each size


class Enough(Exception):
    """Stops an epoch that has been timed for long enough."""


def cost(n_rows: int, n_items: int) -> dict[str, Any]:
    """Return nanoseconds a row of several calls of steps, the shuffle's share among them, and memory in GB."""
    users, items = zipf_rows(n_rows // ROWS_OF_A_USER, n_items, n_rows)
    tables = [pd.DataFrame({name: np.arange(n)}) for name, n in (("user_id", users.max() + 1), ("item_id", n_items))]
    part = Interactions(users, items)
    split, recipe = Split("zipf", part, part[:1024], part[:1], *tables), RECIPES["fast"]
    model = SimpleRecommender(tables[0]["user_id"], tables[1]["item_id"], recipe.dim, similarity=recipe.similarity)
    loop, times = Loop(model, split, recipe, xla=True), []
    loop.start(split.train, *recipe.grid[0], epochs=1)

    def note() -> None:
        times.append((time.perf_counter(), loop.sums[2]))
        if len(times) > CALLS:
            raise Enough

    loop.pause, began = note, time.perf_counter()
    try:
        while True:
            loop.learn()
    except Enough:
        pass
    calls = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in itertools.pairwise(times) if b[1] > a[1]]
    shuffle = max(times[0][0] - began - calls[0] * times[0][1], 0) / n_rows  # of an epoch, on each of its rows
    held = model.count_params() * 4 * 3 / 1e9  # with Adam's two slots
    costs = [1e9 * (call + shuffle) for call in calls]
    facts = {"rows": n_rows, "songs": n_items, "users": n_rows // ROWS_OF_A_USER, "nanoseconds a row": spread(costs)}
    facts |= {"of these for the shuffle": 1e9 * shuffle, "tables and slots, GB": held, "peak memory, GB": peak_memory()}
    return facts | {"costs": costs}


def measure(full: bool) -> dict[str, Any]:
    """Compare the largest size with the smallest; not in turn, as both would have to be in memory."""
    small, *between, large = (cost(*size) for size in SIZES[: 3 if full else 2])
    ratios = [b / a for a, b in zip(small["costs"], large["costs"], strict=False)]
    sizes = [{key: value for key, value in each.items() if key != "costs"} for each in (small, *between, large)]
    return {"ratios": {"cost_per_row_growth": spread(ratios)}, "facts": {"sizes": sizes}}
