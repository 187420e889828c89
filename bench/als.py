"""Seconds until our recipe is as good as tuned implicit ALS, beside ALS's own fit, at equal dimension."""

import itertools
import time
from typing import Any

from bench import interleaved, spread
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.models import baselines
from recsys.models.baselines import factorisation
from recsys.models.embeddings import Embeddings
from recsys.training.full_softmax import FullLoop
from recsys.training.recipes import RECIPES

DIM = 64
EPOCHS, TEMPERATURES = (*range(1, 9), *range(10, 24, 2), 24, 28, 32, 48, 64, 96), (0.1, 0.15, 0.2)


def compared(split: Split, runs: int) -> dict[str, Any]:
    """Fit ALS with the best of its settings, and ours with the fewest epochs that reach its NDCG@20 on validation.

    Both learn from train alone, with settings chosen beforehand on validation. What ours takes to be compiled is not
    in the ratio, but beside it.
    """
    settings = baselines.fit("als", split).settings
    als = factorisation.fit_als(split, ("train",), 0, **settings)
    goal = validation_ndcg(als, split)
    recipe = RECIPES["best"].fitting(split.n_users, split.n_items).override(dim=DIM)
    users, items = split.users["user_id"][: split.n_users], split.items["item_id"][: split.n_items]
    model = Embeddings(users, items, DIM, similarity=recipe.similarity)
    loop, rows = FullLoop(model, split, recipe, xla=True), split.pairs("train")

    def learn(epochs: int, temperature: float) -> float:
        started = time.perf_counter()
        loop.start(rows, temperature, 1.0, epochs)
        while loop.epoch < epochs:
            loop.learn()
        return time.perf_counter() - started

    first = learn(1, TEMPERATURES[0])
    compiling = first - learn(1, TEMPERATURES[0])
    for epochs, temperature in itertools.product(EPOCHS, TEMPERATURES):
        learn(epochs, temperature)
        if (ours := validation_ndcg(model, split)) >= goal:
            break
    else:
        raise RuntimeError(f"{split.name}: expected NDCG@20 of ALS on validation, {goal:.4f}, got {ours:.4f} at most")
    fits = {
        "als": lambda: factorisation.fit_als(split, ("train",), 0, **settings),
        "ours": lambda: learn(epochs, temperature),
    }
    seconds = interleaved(fits, runs)
    facts = {"als": settings, "its ndcg@20": goal, "ours": {"epochs": epochs, "temperature": temperature}}
    facts |= {"our ndcg@20": ours, "seconds": {name: spread(seconds[name]) for name in seconds}}
    ratio = spread(seconds["ours"] / seconds["als"])
    return {"ratio": ratio, "facts": facts | {"seconds to compile, once": compiling}}


def measure(full: bool, splits: dict[str, Split]) -> dict[str, Any]:
    """Compare on each data set; the ratio is that of the one where it is highest."""
    found = {name: compared(split, 7 if full else 3) for name, split in splits.items()}
    worst = max(found, key=lambda name: found[name]["ratio"]["median"])
    return {"ratios": {"time_to_als": found[worst]["ratio"]}, "facts": {"the ratio is of": worst, **found}}
