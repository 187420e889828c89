"""Training by a recipe: what is checked, reused, chosen, recorded and kept, and how it ends."""

import contextlib
import dataclasses
import hashlib
import json
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

from recsys.evaluation import validation_ndcg
from recsys.loops import FullLoop, Loop
from recsys.model import SimpleRecommender, load
from recsys.recipes import RECIPES, FullRecipe, Recipe
from recsys.runs import read_json, sha256, write_json
from recsys.split import Split

__all__ = ["RECIPES", "FullRecipe", "Loop", "Recipe", "Trained", "device", "load", "train"]
MOST_SONGS = 200_000  # of a full recipe
NDCG, NDCG_EVERY = "ndcg@20", 4  # what choices are made on, and every how many epochs it is noted
CODE = ("evaluation", "losses", "loops", "model", "optimizers", "recipes", "training")  # what a result depends on


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
    A full recipe chooses on validation (`trials`), trains on train (`epochs`), and returns the model refitted on both;
    it knows the users and songs of train alone, and rows of others count as misses.
    Raises ValueError for too few or too many songs or no validation, FloatingPointError when the loss stops being
    finite.
    """
    full = isinstance(recipe, FullRecipe)
    pool = split.n_items if full or recipe.pool == "train" else split.n_items_all
    _check(split, recipe, pool)
    say = (lambda line: print(f"{recipe.name}: {line}", flush=True)) if verbose else (lambda line: None)
    inputs = _inputs(split, recipe, seed)
    folder = folder and Path(folder)
    complete = folder and all((folder / name).exists() for name in ("history.json", "model.keras"))
    history = read_json(folder / "history.json") if complete else {}
    if history.get("status") == "finished" and history["inputs"] == inputs:
        say(f"nothing has changed since {history['finished_at']}, that model is used again")
        return Trained(load(folder), history, reused=True)
    users, items = split.users["user_id"], split.items["item_id"]
    if full:
        users, items = users[: split.n_users], items[: split.n_items]
    model = SimpleRecommender(users, items, recipe.dim, similarity="cosine" if full else "dot", seed=seed)
    history = {"inputs": inputs, "seed": seed, "device": device(), "rows": len(split.train)}
    history["learning_rate_per_row"] = None if full else recipe.learning_rate / recipe.batch_size  # Adam has none
    history["n_parameters"] = model.count_params()
    say(f"{history['n_parameters']:,} parameters, {history['rows']:,} rows an epoch, on {history['device']}")
    loop = FullLoop(model, split, recipe, seed, xla) if full else Loop(model, split, recipe, pool, seed, xla)
    with _interrupts_wait(loop), _recorded(_Record(loop, history, folder, say)) as record:
        if full:
            _fit_full(loop, record, split)
        else:
            _fit_sampled(loop, record)
    return Trained(model, history)


def _check(split: Split, recipe: Recipe | FullRecipe, pool: int) -> None:
    if not len(split.validation):
        raise ValueError("validation: expected at least one row, to know when to stop, got none")
    if not isinstance(recipe, FullRecipe):
        if pool < recipe.negatives + 1:
            raise ValueError(
                f"expected at least {recipe.negatives + 1} songs for {recipe.negatives} negatives, got {pool}"
            )
    elif pool > MOST_SONGS:
        raise ValueError(
            f"{recipe.name}: expected at most {MOST_SONGS:,} songs, as each is compared with every user, got {pool:,}; "
            "take a recipe with sampled negatives, such as author"
        )
    elif not split.relevant("validation").nnz:
        raise ValueError(
            "validation: expected users with a relevant song, to choose by, got none; try a larger VALIDATION_FRACTION"
        )


def device() -> str:
    """Name the device that TensorFlow trains on: the first GPU, or the CPU with its number of cores."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU ({tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)})"
    return f"CPU ({os.cpu_count()} cores)"


def _inputs(split: Split, recipe: Recipe, seed: int) -> dict[str, Any]:
    codes = (codes for part in (split.train, split.validation) for codes in (part.user, part.item))
    rows = hashlib.sha256(b"".join(map(bytes, codes)))
    code = [sha256(Path(__file__).with_name(f"{module}.py"))[:12] for module in CODE]
    facts = {"prepared": split.manifest.get("key"), "rows": rows.hexdigest()[:12], "code": code}
    return facts | {"recipe": json.loads(json.dumps(dataclasses.asdict(recipe))), "seed": seed}


@contextlib.contextmanager
def _interrupts_wait(loop: Loop) -> Iterator[Loop]:
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


class _Record:
    """A training's history and folder: what happened and the model to keep, written as it goes."""

    def __init__(self, loop: Loop, history: dict[str, Any], folder: Path | None, say: Callable[[str], None]):
        self.loop, self.history, self.folder, self.say = loop, history, folder, say
        self.epochs = history.setdefault("epochs", [])

    def note(self, **facts: Any) -> None:
        self.history.update(facts, seconds=round(time.perf_counter() - self.loop.started, 3))
        if self.folder:
            write_json(self.folder / "history.json", self.history)

    def keep(self) -> None:
        if self.folder:
            self.loop.model.write(self.folder / "model.keras")

    def end_epoch(self, now: dict[str, Any], began: float, line: str) -> None:
        self.epochs.append(now | {"seconds": round(time.perf_counter() - began, 3)})
        self.note()
        n = self.loop.recipe.epochs
        left = int((n - now["epoch"]) * sum(each["seconds"] for each in self.epochs) / now["epoch"])
        self.say(
            f"epoch {now['epoch']:2} of {n}, loss {now['loss']:.4f}, accuracy {now['accuracy']:.2%}, "
            f"validation {line}, {now['rows_per_second']:,} rows/s, at most {left // 60}:{left % 60:02} left"
        )


@contextlib.contextmanager
def _recorded(record: _Record) -> Iterator[_Record]:
    """Note how a training ends, whichever way it does."""
    record.note(status="running", best_epoch=None)
    record.keep()
    try:
        yield record
    except BaseException as error:
        record.note(status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error=repr(error))
        record.say(f"stopped; best epoch so far: {record.history['best_epoch'] or 'none'}")
        raise
    record.note(status="finished", finished_at=time.strftime("%Y-%m-%d %H:%M:%S"))
    best, n = record.history["best_epoch"], len(record.epochs)
    record.say(f"best epoch {best} of {n}, {record.history['seconds']:.1f} s in all")


def _fit_sampled(loop: Loop, record: _Record) -> None:
    """Run epochs until validation stops improving; the best weights end in the model."""
    best, best_loss = None, np.inf
    for epoch in range(1, loop.recipe.epochs + 1):
        began = time.perf_counter()
        now = {"epoch": epoch, **loop.learn(epoch), **loop.judge(epoch)}
        if now["val_loss"] < best_loss:
            record.keep()
            best, best_loss, record.history["best_epoch"] = loop.model.get_weights(), now["val_loss"], epoch
        record.end_epoch(now, began, f"{now['val_loss']:.4f}, {now['val_accuracy']:.2%}")
        if epoch - record.history["best_epoch"] >= loop.recipe.patience:
            break
    loop.model.set_weights(best)


def _fit_full(loop: FullLoop, record: _Record, split: Split) -> None:
    """Choose temperature and gamma on validation, train with them, then again on train and validation."""
    recipe, train, trials = loop.recipe, split.seen("train"), []
    for i, (temperature, gamma) in enumerate(recipe.grid, 1):
        began, name = time.perf_counter(), f"trial {i} of {len(recipe.grid)}"
        facts = {"temperature": temperature, "gamma": gamma, "epochs": min(recipe.trial_epochs, recipe.epochs)}
        loop.start(train, **facts, name=f"{name}, ")
        for epoch in range(1, facts["epochs"] + 1):
            loop.learn(epoch)
        ndcg = validation_ndcg(loop.model, split)
        trials.append(facts | {NDCG: ndcg, "seconds": round(time.perf_counter() - began, 3)})
        record.note(trials=trials)
        record.say(f"{name}, temperature {temperature}, gamma {gamma}: {NDCG} on validation {ndcg:.4f}")
    best = max(trials, key=lambda trial: trial[NDCG])
    chosen = {name: best[name] for name in ("temperature", "gamma")}
    record.note(settings=chosen)
    loop.start(train, **chosen, epochs=recipe.epochs)
    for epoch in range(1, recipe.epochs + 1):
        began = time.perf_counter()
        now = {"epoch": epoch, **loop.learn(epoch), **loop.judge(epoch)}
        line = f"{now['val_accuracy']:.2%}"
        if epoch % NDCG_EVERY == 0 or epoch == recipe.epochs:
            now[f"val_{NDCG}"] = validation_ndcg(loop.model, split)
            line += f", {NDCG} {now[f'val_{NDCG}']:.4f}"
            record.keep()
            record.history["best_epoch"] = epoch
        record.end_epoch(now, began, line)
    began = time.perf_counter()
    loop.start(split.seen("train", "validation"), **chosen, epochs=recipe.epochs, name="refit, ")
    refitted = [loop.learn(epoch)["loss"] for epoch in range(1, recipe.epochs + 1)]
    record.keep()
    record.note(refit=True, refit_losses=refitted, refit_seconds=round(time.perf_counter() - began, 3))
    record.say(f"refitted on train and validation, loss {refitted[-1]:.4f}, {record.history['refit_seconds']:.1f} s")
