"""Seconds from the start of Python to the end of a recipe's first step."""

import subprocess
import sys
import time
from typing import Any

from bench import ROOT, spread
from recsys.training.recipes import RECIPES

FIRST_STEP = """
import sys
import numpy as np
from recsys.full import loop_of
from recsys.model import SimpleRecommender
from recsys.recipes import RECIPES
from recsys.split import Split

recipe, rows = RECIPES[sys.argv[1]], np.argwhere(np.add.outer(np.arange(200), np.arange(200)) % 4 == 0)
split = Split.from_arrays(rows, rows, rows)
model = SimpleRecommender(split.users["user_id"], split.items["item_id"], recipe.dim, similarity=recipe.similarity)
loop = loop_of(model, split, recipe, xla=True)
loop.start(split.pairs("train"), *recipe.grid[0], epochs=1)
loop.pause = sys.exit
loop.learn()
"""


def first_step(recipe: str) -> float:
    """Return the seconds that a process of its own takes to the end of the recipe's first step."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_STEP, recipe], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(full: bool) -> dict[str, Any]:
    """Time each recipe several times over."""
    seconds = {name: spread([first_step(name) for _ in range(5 if full else 2)]) for name in RECIPES}
    for name, each in seconds.items():
        print(f"start-up to the first step of {name}: {each['median']:.1f} s (target: at most 10)")
    return {"ratios": {}, "facts": {"seconds": seconds}}
