"""Recipes, and the loop that trains them: integer codes, sampling and steps all inside the graph."""

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recsys import losses
from recsys.model import SimpleRecommender
from recsys.runs import read_json, sha256, write_json
from recsys.split import Split

POOLS = ("all", "train")
STEPS_PER_CALL = 256  # between two calls an interrupt is heard
ROWS_PER_EVALUATION = 4096
ORDER, NEGATIVES, VALIDATION, SAMPLE = range(4)  # what is drawn
ONCE = 0  # the "epoch" of what is drawn for all epochs


@dataclass(frozen=True)
class Recipe:
    """Named settings of a training. `learning_rate` is of the mean over a batch of `batch_size` rows.

    `negatives` songs a row come from the `pool`: "all" songs of the split, or those of "train". Training stops when the
    validation loss has not improved for `patience` epochs, or after `epochs`.
    """

    name: str
    dim: int
    negatives: int
    pool: str
    batch_size: int
    learning_rate: float
    epochs: int
    patience: int

    def __post_init__(self):
        if self.pool not in POOLS:
            raise ValueError(f"pool of negatives: expected one of {', '.join(POOLS)}; got {self.pool!r}")
        for name, value in vars(self).items():
            if not isinstance(value, str) and not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value!r}")

    def override(self, **settings: Any) -> "Recipe":
        """Return the recipe with other settings; 0 and "" keep its own, and another batch keeps the step per row."""
        settings = {name: value for name, value in settings.items() if value}
        rate = self.learning_rate / self.batch_size * settings.get("batch_size", self.batch_size)
        return dataclasses.replace(self, **{"learning_rate": rate, **settings})


RECIPES = {"author": Recipe("author", 15, 20, "all", batch_size=1024, learning_rate=100.0, epochs=50, patience=3)}


@dataclass(frozen=True)
class Trained:
    """A trained model, the history of its training, and whether both were there already."""

    model: SimpleRecommender
    history: dict[str, Any]
    reused: bool = False


def train(
    split: Split, recipe: Recipe, *, seed: int = 0, folder: Path | None = None, verbose: bool = True, xla: bool = True
) -> Trained:
    """Train a model by a recipe and return it with the best epoch's weights.

    With a `folder` the best model so far is always in its model.keras, the facts in its history.json, also after
    an interrupt; a finished training of equal inputs is loaded instead. Equal seeds give equal weights on a CPU. An epoch's
    `loss` and `accuracy` are running means; those of `train_` (a sample) and `val_` are measured alike at its end.
    Raises ValueError for too few songs or an empty part, FloatingPointError when the loss stops being finite.
    """
    pool = split.n_items_all if recipe.pool == "all" else split.n_items
    if pool < recipe.negatives + 1:
        raise ValueError(f"expected at least {recipe.negatives + 1} songs for {recipe.negatives} negatives, got {pool}")
    for part in ("train", "validation"):
        if not len(getattr(split, part)):
            raise ValueError(f"{part}: expected at least one row to train with, got none")
    say = (lambda line: print(f"{recipe.name}: {line}", flush=True)) if verbose else (lambda line: None)
    inputs = _inputs(split, recipe, seed)
    folder = folder and Path(folder)
    history = read_json(folder / "history.json") if folder and (folder / "history.json").exists() else {}
    if history.get("status") == "finished" and history["inputs"] == inputs and (folder / "model.keras").exists():
        say(f"nothing has changed since {history['finished_at']}, that model is used again")
        return Trained(load(folder), history, reused=True)
    model = SimpleRecommender(split.users["user_id"], split.items["item_id"], recipe.dim, seed=seed)
    history = {
        "inputs": inputs,
        "device": device(),
        "seed": seed,
        "learning_rate_per_row": recipe.learning_rate / recipe.batch_size,
        "n_parameters": model.count_params(),
        "rows": len(split.train),
        "unknown_rows": int(((split.train.user >= model.n_users) | (split.train.item >= model.n_items)).sum()),
        "epochs": [],
        "best_epoch": None,
    }
    say(f"{history['n_parameters']:,} parameters, {history['rows']:,} rows an epoch, on {history['device']}")
    _fit(_Loop(model, split, recipe, pool, seed, xla), history, folder, say)
    return Trained(model, history)


def load(folder: Path) -> SimpleRecommender:
    """Load the model of a training's folder. Raises FileNotFoundError when there is none."""
    path = Path(folder) / "model.keras"
    if not path.exists():
        raise FileNotFoundError(f"{path.parent.name}/model.keras: expected a trained model, found none; train it first")
    return keras.models.load_model(path, safe_mode=True)


def device() -> str:
    """Name the device that TensorFlow trains on: the first GPU, or the CPU with its number of cores."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU ({tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)})"
    return f"CPU ({os.cpu_count()} cores)"


def _inputs(split: Split, recipe: Recipe, seed: int) -> dict[str, Any]:
    rows = hashlib.sha256()
    for part in (split.train, split.validation):
        rows.update(part.user.tobytes() + part.item.tobytes())
    return {
        "prepared": split.manifest.get("key"),
        "rows": rows.hexdigest()[:12],
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "code": [sha256(Path(__file__).with_name(f"{name}.py"))[:12] for name in ("model", "losses", "training")],
    }


class _Loop:
    """A model, its data on the device, and passes over rows inside the graph."""

    def __init__(self, model: SimpleRecommender, split: Split, recipe: Recipe, pool: int, seed: int, xla: bool):
        self.model, self.recipe, self.pool, self.seed = model, recipe, pool, seed
        sample = np.random.default_rng([seed, SAMPLE]).permutation(len(split.train))[: len(split.validation)]
        parts = (split.train, split.train[np.sort(sample)], split.validation)
        self.train, self.sample, self.validation = ((tf.constant(part.user), tf.constant(part.item)) for part in parts)
        self._steps = tf.function(self._take_steps, jit_compile=xla)

    def compile(self) -> None:
        for part, learn in ((self.train, True), (self.sample, False), (self.validation, False)):
            self._steps(*part, tf.range(len(part[0])), *map(tf.constant, (0, 0, 0)), learn)

    def learn(self, epoch: int) -> dict[str, float]:
        started = time.perf_counter()
        n, seed = len(self.train[0]), [self._key(epoch, ORDER), 0]
        order = tf.random.experimental.stateless_shuffle(tf.range(n), seed, "philox")
        loss, accuracy = self._pass(self.train, order, self._key(epoch, NEGATIVES), True, f"epoch {epoch}")
        return {"loss": loss, "accuracy": accuracy, "rows_per_second": round(n / (time.perf_counter() - started))}

    def judge(self, epoch: int) -> dict[str, float]:
        facts = {}
        for name, part, what in (("train", self.sample, SAMPLE), ("val", self.validation, VALIDATION)):
            order, key = tf.range(len(part[0])), self._key(ONCE, what)
            loss, facts[f"{name}_accuracy"] = self._pass(part, order, key, False, f"epoch {epoch}, judging {name}")
            facts[f"{name}_loss"] = loss
        return facts

    def _key(self, epoch: int, what: int) -> int:
        return int(np.random.SeedSequence([self.seed, epoch, what]).generate_state(1)[0] >> 1)

    def _pass(self, part: tuple, order: tf.Tensor, key: int, learn: bool, where: str) -> tuple[float, float]:
        n_steps = -(-len(order) // (self.recipe.batch_size if learn else ROWS_PER_EVALUATION))
        loss = hits = 0.0
        for first in range(0, n_steps, STEPS_PER_CALL):
            span = map(tf.constant, (key, first, min(first + STEPS_PER_CALL, n_steps)))
            more_loss, more_hits, bad = self._steps(*part, order, *span, learn)
            if bad >= 0:
                raise FloatingPointError(f"{where}, step {bad + 1} of {n_steps}: expected a finite loss, got another")
            loss, hits = loss + float(more_loss), hits + float(more_hits)
        return loss / len(order), hits / len(order)

    def _take_steps(self, users, items, order, key, step, last, learn):
        n, size = users.shape[0], self.recipe.batch_size if learn else ROWS_PER_EVALUATION
        tables = [table.value for table in self.model.trainable_variables]
        total, hits, bad = 0.0, 0, -1
        while step < last:
            position = step * size + tf.range(size)
            real = position < n  # the last batch may be short
            rows = tf.gather(order, tf.minimum(position, n - 1))
            user, positive = tf.gather(users, rows), tf.gather(items, rows)  # (batch,)
            candidates = losses.uniform_candidates(positive, self.recipe.negatives, self.pool, key, step)
            with tf.GradientTape() as tape:
                logits = self.model((user, candidates))
                row_losses = losses.softmax(logits, real)
                loss = losses.mean(row_losses, real)
            if learn:
                for table, gradient in zip(tables, tape.gradient(loss, tables), strict=True):
                    table.scatter_sub(tf.IndexedSlices(self.recipe.learning_rate * gradient.values, gradient.indices))
            total += tf.reduce_sum(row_losses)
            hits += tf.reduce_sum(tf.cast(losses.hits(logits, real), tf.int32))
            bad = tf.where((bad < 0) & ~tf.math.is_finite(loss), step, bad)
            step += 1
        return total, hits, bad


def _fit(loop: _Loop, history: dict[str, Any], folder: Path | None, say: Callable[[str], None]) -> None:
    """Run epochs until validation stops improving; the best weights end in the model, the facts in the history."""
    recipe, model, started = loop.recipe, loop.model, time.perf_counter()
    best, best_loss = None, np.inf

    def note(**facts: Any) -> None:
        history.update(facts, seconds=round(time.perf_counter() - started, 3))
        if folder:
            write_json(folder / "history.json", history)

    if folder:
        (folder / "model.keras").unlink(missing_ok=True)
    note(status="running")
    try:
        loop.compile()
        for epoch in range(1, recipe.epochs + 1):
            epoch_started = time.perf_counter()
            now = {"epoch": epoch, **loop.learn(epoch), **loop.judge(epoch)}
            if now["val_loss"] < best_loss:
                best, best_loss, history["best_epoch"] = model.get_weights(), now["val_loss"], epoch
                if folder:
                    model.write(folder / "model.keras")
            history["epochs"].append(now | {"seconds": round(time.perf_counter() - epoch_started, 3)})
            note()
            say(_line(history["epochs"], recipe.epochs))
            if epoch - history["best_epoch"] >= recipe.patience:
                break
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        if interrupted and folder and best is None:
            model.write(folder / "model.keras")
        note(status="interrupted" if interrupted else "failed", error=repr(error))
        say(f"stopped; best epoch so far: {history['best_epoch'] or 'none'}")
        raise
    model.set_weights(best)
    note(status="finished", finished_at=time.strftime("%Y-%m-%d %H:%M:%S"))
    say(f"best epoch {history['best_epoch']} of {epoch}, {history['seconds']:.1f} s in all")


def _line(epochs: list[dict[str, float]], most: int) -> str:
    now = epochs[-1]
    left = int((most - len(epochs)) * sum(each["seconds"] for each in epochs) / len(epochs))
    return (
        f"epoch {now['epoch']:2} of {most}, loss {now['loss']:.4f}, accuracy {now['accuracy']:.2%}, validation "
        f"{now['val_loss']:.4f}, {now['val_accuracy']:.2%}, {now['rows_per_second']:,} rows/s, "
        f"at most {left // 60}:{left % 60:02} left"
    )
