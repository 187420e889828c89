"""Train a model by a recipe: check the data, use a finished training again, continue a stopped one, or start."""

import dataclasses
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.data.split import Split
from recsys.files import read_json, sha256
from recsys.models.embeddings import Embeddings, load
from recsys.training import workers
from recsys.training.additions import ADDITIONS
from recsys.training.devices import choose_strategy, configure, device
from recsys.training.full_softmax import FullLoop
from recsys.training.history import (
    CHECKPOINT,
    TrainingHistory,
    changed_inputs,
    defer_interrupts,
    print_line,
    record_outcome,
    remove_leftovers,
)
from recsys.training.loop import Loop
from recsys.training.recipes import MAX_SONGS_FOR_FULL, Recipe
from recsys.training.sampled_softmax import SampledLoop
from recsys.training.selection import fit

__all__ = ["Recipe", "Trained", "device", "load", "make_loop", "train"]
MODELS = ("embeddings", "recency", "baselines/scorers")
# files outside this package that affect the result of a training
CODE = {"data": ("interactions", "split"), "evaluation": ("evaluate", "metrics", "ranking"), "models": MODELS}
ROUNDING = ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "XLA_FLAGS")  # environment variables that change it


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model, the history of its training, and whether it was used again instead of trained."""

    model: Embeddings
    history: dict[str, Any]
    reused: bool = False


def train(
    split: Split, recipe: Recipe, *, seed: int = 0, folder: Path | None = None, verbose: bool = True, xla: bool = True,
    deterministic: bool = True,
) -> Trained:  # fmt: skip
    """Train a model by a recipe, and return it with the weights of the best epoch.

    In `folder`, model.keras is always the best model so far, and history.json tells what happened. A finished training
    of the same inputs is loaded; one that was stopped continues. With `deterministic`, equal seeds and devices give
    equal bits; on a CPU they always do. With a refit only users and songs of train have vectors.
    Raises ValueError if songs or validation do not suffice, FloatingPointError if the loss is no longer finite.
    """
    _check_data(split, recipe)
    log = functools.partial(print_line, recipe.name) if verbose else lambda text, moving=False: None
    xla = configure(recipe.precision, xla, deterministic)
    folder = Path(folder) if folder else None
    inputs = _inputs(split, recipe, seed, xla=xla, deterministic=deterministic)
    if workers.n_workers() > 1:
        inputs = workers.same_inputs(inputs, _checkpoint(folder))
    if folder and all((folder / name).exists() for name in ("history.json", "model.keras")):
        before = read_json(folder / "history.json")
        if before["status"] == "finished":
            several = before.get("workers", 1) > 1 and workers.n_workers() == 1  # that model is used on any machine
            as_before = {name: before["inputs"][name] for name in ("machine", "xla")} if several else {}
            changed = changed_inputs(before["inputs"], inputs | as_before)
            if not changed:
                log(f"nothing has changed since {before['finished_at']}: that model is used again")
                if workers.number() == 0:
                    remove_leftovers(folder)  # a kill came after the end of the training
                return Trained(load(folder), before, reused=True)
            log(f"trains again, because these have changed since {before['finished_at']}: {changed}")
    with choose_strategy().scope():
        loop = make_loop(split, recipe, seed, xla)
        n_parameters, rows = loop.model.count_params(), len(split.train)
        per_row = recipe.learning_rate / recipe.batch_size if recipe.optimizer == "sgd" else None
        facts = {"inputs": inputs, "seed": seed, "device": device(), "rows": rows, "learning_rate_per_row": per_row}
        facts |= {"workers": workers.n_workers()} if workers.n_workers() > 1 else {}
        facts |= {"n_parameters": n_parameters} | {name: {} for name in ADDITIONS}
        facts |= {f"{name}_trials": [] for name in ADDITIONS}
        against = "all songs" if recipe.negatives == "full" else f"{recipe.n_negatives:,} {recipe.negatives} negatives"
        log(f"{n_parameters:,} parameters; {rows:,} rows per epoch, compared with {against}; {device()}")
        history = TrainingHistory(loop, facts, folder, log)
        if workers.number() > 0:
            history.folder = None  # the first worker writes for all
        with defer_interrupts(history), record_outcome(history):
            model = fit(loop, history, split)
    return Trained(model, history.facts)


def make_loop(split: Split, recipe: Recipe, seed: int = 0, xla: bool = False) -> Loop:
    """Make a recipe's model, with its first weights, and the loop that trains it."""
    users, items = split.users["user_id"], split.items["item_id"]
    if recipe.refit:
        users, items = users[: split.n_users], items[: split.n_items]
    dtype = recipe.precision if recipe.precision.startswith("mixed") else "float32"
    model = Embeddings(users, items, recipe.dim, similarity=recipe.similarity, seed=seed, dtype=dtype)
    return (FullLoop if recipe.negatives == "full" else SampledLoop)(model, split, recipe, seed, xla)


def _check_data(split: Split, recipe: Recipe) -> None:
    pool = split.n_items if recipe.refit or recipe.pool == "train" else split.n_items_all
    least = recipe.n_negatives + 1 if recipe.negatives == "uniform" else 2
    if not len(split.validation):
        raise ValueError("validation: expected at least one row, to choose the best epoch by, got none")
    if pool < least:
        raise ValueError(f"expected at least {least} songs, to draw {least - 1} negatives from, got {pool}")
    if recipe.negatives == "full" and pool > MAX_SONGS_FOR_FULL:
        expected = f"at most {MAX_SONGS_FOR_FULL:,} songs, as each is compared with every user, got {pool:,}"
        raise ValueError(f"{recipe.name}: expected {expected}; use a recipe that draws negatives, such as fast")
    if recipe.refit and not split.relevant("validation").nnz:
        expected = "users with a relevant song, to choose by, got none"
        raise ValueError(f"validation: expected {expected}; try a larger VALIDATION_FRACTION")


def _checkpoint(folder: Path | None) -> str:
    """Return the SHA-256 of the checkpoint in a training's folder, "" if there is none."""
    path = folder / CHECKPOINT if folder else None
    return sha256(path) if path and path.exists() else ""


def _inputs(split: Split, recipe: Recipe, seed: int, **options: Any) -> dict[str, Any]:
    """Return everything that a training's result depends on, as JSON."""
    rows = hashlib.sha256()
    for part in (split.train, split.validation):
        for name in ("user", "item"):
            rows.update(np.ascontiguousarray(getattr(part, name)).data)
    here = Path(__file__).parent
    others = [here.parent / package / f"{name}.py" for package, names in CODE.items() for name in names]
    files = [*others, *sorted(here.glob("*.py"))]
    threads, replicas = tf.config.threading.get_intra_op_parallelism_threads(), choose_strategy().num_replicas_in_sync
    return {
        "prepared": split.manifest.get("key"), "rows": rows.hexdigest()[:12],
        "code": [sha256(path)[:12] for path in files],
        "machine": [tf.__version__, device(), threads, replicas, *(os.environ.get(name, "") for name in ROUNDING)],
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))), "seed": seed, **options,
    }  # fmt: skip
