"""Training by a recipe: what is checked, reused, gone on with, chosen, recorded and kept, and how it ends."""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.data.split import Split
from recsys.models.embeddings import Embeddings, load
from recsys.runs import read_json, sha256
from recsys.training.devices import device, set_up, strategy
from recsys.training.full_softmax import loop_of
from recsys.training.history import Record, interrupts_wait, recorded
from recsys.training.recipes import MOST_SONGS, RECIPES, Recipe
from recsys.training.selection import fit

__all__ = ["RECIPES", "Recipe", "Trained", "device", "load", "train"]
CODE = ("data/interactions", "evaluation/evaluate", "evaluation/metrics", "evaluation/ranking", "models/embeddings")
BITS = ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "XLA_FLAGS")  # of the environment, they change rounding


@dataclass(frozen=True)
class Trained:
    """A trained model, the history of its training, and whether both were there already."""

    model: Embeddings
    history: dict[str, Any]
    reused: bool = False


def train(
    split: Split, recipe: Recipe, *, seed: int = 0, folder: Path | None = None, verbose: bool = True, xla: bool = True,
    deterministic: bool = True,
) -> Trained:  # fmt: skip
    """Train a model by a recipe and return it with the best epoch's weights.

    With a `folder` its model.keras is always the best model so far (first the start), and its history.json tells what
    happened, interrupts included; a finished training of equal inputs is loaded, and one that was stopped, however,
    goes on from its last checkpoint. `deterministic` gives equal bits for equal seeds and devices, whether stopped or
    not; on a CPU that is so in any case. An epoch's `loss` and `accuracy` are running means, the latter against at most
    20 negatives; `train_…` (a sample) and `val_…` are measured alike at its end.
    A recipe with a refit chooses on validation (`trials`), trains on train (`epochs`), and returns the model refitted
    on both; it knows the users and songs of train alone, and rows of others count as misses.
    Raises ValueError for too few or too many songs or no validation, FloatingPointError when the loss stops being
    finite.
    """
    _check(split, recipe)
    say = (lambda line: print(f"{recipe.name}: {line}", flush=True)) if verbose else (lambda line: None)
    xla = set_up(recipe.precision, xla, deterministic)
    inputs = _inputs(split, recipe, seed, xla=xla, deterministic=deterministic)
    folder = Path(folder) if folder else None
    if folder and all((folder / name).exists() for name in ("history.json", "model.keras")):
        history = read_json(folder / "history.json")
        if history.get("status") == "finished" and history["inputs"] == inputs:
            say(f"nothing has changed since {history['finished_at']}, that model is used again")
            return Trained(load(folder), history, reused=True)
    users, items = split.users["user_id"], split.items["item_id"]
    if recipe.refit:
        users, items = users[: split.n_users], items[: split.n_items]
    with strategy().scope():
        kind = recipe.precision if recipe.precision.startswith("mixed") else "float32"
        model = Embeddings(users, items, recipe.dim, similarity=recipe.similarity, seed=seed, dtype=kind)
        loop = loop_of(model, split, recipe, seed, xla)
        history = {"inputs": inputs, "seed": seed, "device": device(), "rows": len(split.train)}
        per_row = recipe.learning_rate / recipe.batch_size if recipe.optimizer == "sgd" else None  # others have none
        history |= {"learning_rate_per_row": per_row, "n_parameters": model.count_params()}
        against = "all songs" if recipe.negatives == "full" else f"{recipe.n_negatives:,} {recipe.negatives} negatives"
        say(
            f"{history['n_parameters']:,} parameters, {history['rows']:,} rows an epoch against {against}, "
            f"on {history['device']}"
        )
        record = Record(loop, history, folder, say)
        with interrupts_wait(record), recorded(record):
            fit(loop, record, split)
    return Trained(model, history)


def _check(split: Split, recipe: Recipe) -> None:
    pool = split.n_items if recipe.refit or recipe.pool == "train" else split.n_items_all
    few = recipe.n_negatives + 1 if recipe.negatives == "uniform" else 2
    if not len(split.validation):
        raise ValueError("validation: expected at least one row, to know when to stop, got none")
    if pool < few:
        raise ValueError(f"expected at least {few} songs for {few - 1} negatives, got {pool}")
    if recipe.negatives == "full" and pool > MOST_SONGS:
        raise ValueError(
            f"{recipe.name}: expected at most {MOST_SONGS:,} songs, as each is compared with every user, got {pool:,}; "
            "take a recipe with sampled negatives, such as fast"
        )
    if recipe.refit and not split.relevant("validation").nnz:
        raise ValueError(
            "validation: expected users with a relevant song, to choose by, got none; try a larger VALIDATION_FRACTION"
        )


def _inputs(split: Split, recipe: Recipe, seed: int, **options: Any) -> dict[str, Any]:
    rows = hashlib.sha256()
    for part in (split.train, split.validation):
        for name in ("user", "item"):
            rows.update(np.ascontiguousarray(getattr(part, name)).data)
    package = Path(__file__).parents[1]
    files = [*(package / f"{name}.py" for name in CODE), *sorted(Path(__file__).parent.glob("*.py"))]
    code = [sha256(path)[:12] for path in files]
    facts = {"prepared": split.manifest.get("key"), "rows": rows.hexdigest()[:12], "code": code}
    threads, replicas = tf.config.threading.get_intra_op_parallelism_threads(), strategy().num_replicas_in_sync
    facts["machine"] = [tf.__version__, device(), threads, replicas, *(os.environ.get(name, "") for name in BITS)]
    return facts | {"recipe": json.loads(json.dumps(dataclasses.asdict(recipe))), "seed": seed} | options
