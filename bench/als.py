"""Time until the recipe `best` is as good as tuned ALS of `implicit`, compared with the time of ALS's own fit."""

import functools
import itertools
import time
from typing import Any

from bench import interleaved, spread
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.models import baselines
from recsys.models.baselines import factorisation
from recsys.training.recipes import RECIPES
from recsys.training.trainer import make_loop

EPOCHS, TEMPERATURES = (*range(1, 9), *range(10, 24, 2), 24, 28, 32, 48, 64, 96), (0.1, 0.15, 0.2)


def compare(split: Split, runs: int) -> dict[str, Any]:
    """Time ALS with its best settings, and the fewest epochs of the recipe that reach ALS's NDCG@20 on validation.

    Both train on train alone, with settings that were chosen on validation before. The time to compile the recipe is
    not part of the ratio, but reported.
    """
    settings = baselines.fit("als", split).settings
    fit_als = functools.partial(factorisation.fit_als, split, ("train",), 0, **settings)
    goal = validation_ndcg(fit_als(), split)
    recipe = RECIPES["best"].for_size(*split.size).override(dim=int(settings["factors"]))
    loop = make_loop(split, recipe, xla=True)

    def train(epochs: int, temperature: float) -> float:
        rows, started = split.pairs("train"), time.perf_counter()  # rows of its own, so that the warm start counts
        loop.start(rows, temperature, 1.0, epochs)
        while loop.epoch < epochs:
            loop.train_epoch()
        return time.perf_counter() - started

    first = train(1, TEMPERATURES[0])
    compiling = first - train(1, TEMPERATURES[0])
    for epochs, temperature in itertools.product(EPOCHS, TEMPERATURES):
        train(epochs, temperature)
        if (reached := validation_ndcg(loop.model, split)) >= goal:
            break
    else:
        raise RuntimeError(f"{split.name}: expected NDCG@20 of {goal:.4f} on validation, as ALS has, got {reached:.4f}")
    seconds = interleaved({"als": fit_als, "best": lambda: train(epochs, temperature)}, runs)
    facts = {
        "ALS": settings, "NDCG@20 of ALS": goal, "best": {"epochs": epochs, "temperature": temperature},
        "NDCG@20 of best": reached, "seconds": {name: spread(seconds[name]) for name in seconds},
        "seconds to compile, once": compiling,
    }  # fmt: skip
    return {"ratio": spread(seconds["best"] / seconds["als"]), "facts": facts}


def measure(full: bool, splits: dict[str, Split]) -> dict[str, Any]:
    """Compare on each data set, and return the highest ratio."""
    found = {name: compare(split, 7 if full else 3) for name, split in splits.items()}
    worst = max(found, key=lambda name: found[name]["ratio"]["median"])
    return {"ratios": {"time_to_als": found[worst]["ratio"]}, "facts": {"the ratio is of": worst, **found}}
