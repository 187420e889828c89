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
from recsys.data.split import Split
from recsys.training.recipes import RECIPES
from recsys.training.trainer import make_loop

recipe, rows = RECIPES[sys.argv[1]], np.argwhere(np.add.outer(np.arange(200), np.arange(200)) % 4 == 0)
split = Split.from_arrays(rows, rows, rows)
loop = make_loop(split, recipe, xla=True)
loop.start(split.pairs("train"), *recipe.grid[0], epochs=1)
loop.after_call = sys.exit
loop.train_epoch()
"""


def first_step(recipe: str) -> float:
    """Return the seconds that a new process takes until the recipe's first step ends."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_STEP, recipe], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(full: bool) -> dict[str, Any]:
    """Time each recipe several times."""
    seconds = {name: spread([first_step(name) for _ in range(5 if full else 2)]) for name in RECIPES}
    for name, each in seconds.items():
        print(f"start of Python to the first step of {name}: {each['median']:.1f} s (target: at most 10)")
    return {"ratios": {}, "facts": {"seconds": seconds}}
