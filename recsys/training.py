"""Recipes, and the loop that trains them: integer codes, sampling and steps all inside the graph."""

import contextlib
import dataclasses
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recsys import losses
from recsys.model import SimpleRecommender, load
from recsys.runs import read_json, sha256, write_json
from recsys.split import Split

STEPS_PER_CALL = 256  # between two calls an interrupt is heard
ORDER, NEGATIVES, VALIDATION, SAMPLE = range(4)  # what is drawn: the first two each epoch, the others once


@dataclass(frozen=True)
class Recipe:
    """Settings: `negatives` a row from a `pool` ("all" songs or those of "train"), `learning_rate` of the batch's mean.

    Training stops after `epochs`, or once the validation loss has not improved for `patience` of them.
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
        if self.pool not in ("all", "train"):
            raise ValueError(f"pool of negatives: expected 'all' or 'train', got {self.pool!r}")
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

    With a `folder` its model.keras is always the best model so far (first the start), and its history.json tells what
    happened, interrupts included; a finished training of equal inputs is loaded. Equal seeds give equal bits on a CPU.
    An epoch's `loss` and `accuracy` are running means; `train_…` (a sample) and `val_…` are measured alike at its end.
    Raises ValueError for too few songs or no validation, FloatingPointError when the loss stops being finite.
    """
    pool = split.n_items_all if recipe.pool == "all" else split.n_items
    if pool < recipe.negatives + 1:
        raise ValueError(f"expected at least {recipe.negatives + 1} songs for {recipe.negatives} negatives, got {pool}")
    if not len(split.validation):
        raise ValueError("validation: expected at least one row, to know when to stop, got none")
    say = (lambda line: print(f"{recipe.name}: {line}", flush=True)) if verbose else (lambda line: None)
    inputs = _inputs(split, recipe, seed)
    folder = folder and Path(folder)
    complete = folder and all((folder / name).exists() for name in ("history.json", "model.keras"))
    history = read_json(folder / "history.json") if complete else {}
    if history.get("status") == "finished" and history["inputs"] == inputs:
        say(f"nothing has changed since {history['finished_at']}, that model is used again")
        return Trained(load(folder), history, reused=True)
    model = SimpleRecommender(split.users["user_id"], split.items["item_id"], recipe.dim, seed=seed)
    history = {"inputs": inputs, "seed": seed, "device": device(), "rows": len(split.train)}
    history |= {"learning_rate_per_row": recipe.learning_rate / recipe.batch_size, "n_parameters": model.count_params()}
    say(f"{history['n_parameters']:,} parameters, {history['rows']:,} rows an epoch, on {history['device']}")
    with _interrupts_wait(_Loop(model, split, recipe, pool, seed, xla)) as loop:
        _fit(loop, history, folder, say)
    return Trained(model, history)


def device() -> str:
    """Name the device that TensorFlow trains on: the first GPU, or the CPU with its number of cores."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU ({tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)})"
    return f"CPU ({os.cpu_count()} cores)"


def _inputs(split: Split, recipe: Recipe, seed: int) -> dict[str, Any]:
    codes = (codes for part in (split.train, split.validation) for codes in (part.user, part.item))
    rows = hashlib.sha256(b"".join(map(bytes, codes)))
    code = [sha256(Path(__file__).with_name(f"{module}.py"))[:12] for module in ("model", "losses", "training")]
    facts = {"prepared": split.manifest.get("key"), "rows": rows.hexdigest()[:12], "code": code}
    return facts | {"recipe": dataclasses.asdict(recipe), "seed": seed}


class _Loop:
    """A model, its data on the device, and passes over rows inside the graph."""

    def __init__(self, model: SimpleRecommender, split: Split, recipe: Recipe, pool: int, seed: int, xla: bool):
        self.started, self.interrupted = time.perf_counter(), False
        self.model, self.recipe, self.pool, self.seed = model, recipe, pool, seed
        sample = np.random.default_rng([seed, SAMPLE]).permutation(len(split.train))[: len(split.validation)]
        parts = (split.train, split.train[np.sort(sample)], split.validation)
        self.train, self.sample, self.validation = ((tf.constant(part.user), tf.constant(part.item)) for part in parts)
        self._steps = tf.function(self._take_steps, jit_compile=xla)
        for part, learn in ((self.train, True), (self.sample, False), (self.validation, False)):
            self._steps(*part, tf.range(len(part[0])), *map(tf.constant, (0, 0, 0)), learn)  # compiles, on no rows

    def learn(self, epoch: int) -> dict[str, float]:
        started = time.perf_counter()
        facts = self._pass("", self.train, epoch, NEGATIVES, learn=True)
        return facts | {"rows_per_second": round(len(self.train[0]) / (time.perf_counter() - started))}

    def judge(self, epoch: int) -> dict[str, float]:
        facts = self._pass("train_", self.sample, epoch, SAMPLE, learn=False)
        return facts | self._pass("val_", self.validation, epoch, VALIDATION, learn=False)

    def _pass(self, name: str, part: tuple, epoch: int, what: int, learn: bool) -> dict[str, float]:
        n, key = len(part[0]), losses.key(self.seed, epoch if learn else 0, what)
        order = losses.shuffled(n, losses.key(self.seed, epoch, ORDER)) if learn else tf.range(n)
        n_steps, sums = -(-n // self.recipe.batch_size), np.zeros(3)
        for first in range(0, n_steps, STEPS_PER_CALL):
            span = map(tf.constant, (key, first, min(first + STEPS_PER_CALL, n_steps)))
            more, bad = self._steps(*part, order, *span, learn)
            if bad >= 0:
                where = f"epoch {epoch}, step {bad + 1} of {n_steps} of {'training' if learn else 'evaluation'}"
                raise FloatingPointError(f"{where}: expected a finite loss, got none; a lower learning rate may help")
            if self.interrupted:
                raise KeyboardInterrupt
            sums += more.numpy()
        loss, hits, rows = sums.tolist()
        return {f"{name}loss": loss / rows, f"{name}accuracy": hits / rows, f"{name}unknown_rows": n - int(rows)}

    def _take_steps(self, users, items, order, key, step, last, learn):
        n, size = users.shape[0], self.recipe.batch_size
        tables = [table.value for table in self.model.trainable_variables]
        sums, bad = tf.zeros(3, tf.float64), -1
        while step < last:
            position = step * size + tf.range(size)
            rows = tf.gather(order, tf.minimum(position, n - 1))
            user, positive = tf.gather(users, rows), tf.gather(items, rows)  # (batch,)
            real = (position < n) & self.model.known(user, positive[:, None])[:, 0]  # the last batch may be short
            candidates = losses.uniform_candidates(positive, self.recipe.negatives, self.pool, key, step)
            with tf.GradientTape() as tape:
                logits = self.model((user, candidates))
                row_losses = losses.softmax(logits, real)
                loss = losses.mean(row_losses, real)
            if learn:
                for table, gradient in zip(tables, tape.gradient(loss, tables), strict=True):
                    table.scatter_sub(tf.IndexedSlices(self.recipe.learning_rate * gradient.values, gradient.indices))
            sums += losses.sums(row_losses, losses.hits(logits, real), real)
            bad = tf.where((bad < 0) & ~tf.math.is_finite(loss), step, bad)
            step += 1
        return sums, bad


@contextlib.contextmanager
def _interrupts_wait(loop: _Loop) -> Iterator[_Loop]:
    """Keep Ctrl-C out of TensorFlow's own code, which may crash on it; a second one is not kept waiting."""

    def wait(*_: Any) -> None:
        loop.interrupted = True
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, wait) if threading.current_thread() is threading.main_thread() else None
    try:
        yield loop
    finally:
        if usual is not None:
            signal.signal(signal.SIGINT, usual)


def _fit(loop: _Loop, history: dict[str, Any], folder: Path | None, say: Callable[[str], None]) -> None:
    """Run epochs until validation stops improving; the best weights end in the model, the facts in the history."""
    recipe, model = loop.recipe, loop.model
    best, best_loss, epochs = None, np.inf, history.setdefault("epochs", [])

    def note(**facts: Any) -> None:
        history.update(facts, seconds=round(time.perf_counter() - loop.started, 3))
        if folder:
            write_json(folder / "history.json", history)

    note(status="running", best_epoch=None)
    if folder:
        model.write(folder / "model.keras")
    try:
        for epoch in range(1, recipe.epochs + 1):
            began = time.perf_counter()
            now = {"epoch": epoch, **loop.learn(epoch), **loop.judge(epoch)}
            if now["val_loss"] < best_loss:
                if folder:
                    model.write(folder / "model.keras")
                best, best_loss, history["best_epoch"] = model.get_weights(), now["val_loss"], epoch
            epochs.append(now | {"seconds": round(time.perf_counter() - began, 3)})
            note()
            left = int((recipe.epochs - epoch) * sum(each["seconds"] for each in epochs) / epoch)
            say(
                f"epoch {epoch:2} of {recipe.epochs}, loss {now['loss']:.4f}, accuracy {now['accuracy']:.2%}, "
                f"validation {now['val_loss']:.4f}, {now['val_accuracy']:.2%}, {now['rows_per_second']:,} rows/s, "
                f"at most {left // 60}:{left % 60:02} left"
            )
            if epoch - history["best_epoch"] >= recipe.patience:
                break
    except BaseException as error:
        note(status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error=repr(error))
        say(f"stopped; best epoch so far: {history['best_epoch'] or 'none'}")
        raise
    model.set_weights(best)
    note(status="finished", finished_at=time.strftime("%Y-%m-%d %H:%M:%S"))
    say(f"best epoch {history['best_epoch']} of {epoch}, {history['seconds']:.1f} s in all")
