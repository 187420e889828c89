"""Training by a recipe: what is checked, reused, gone on with, chosen, recorded and kept, and how it ends."""

import contextlib
import dataclasses
import functools
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

from recsys import checkpoints
from recsys.evaluation import validation_ndcg
from recsys.latest import latest_weights, pulled
from recsys.loops import FullLoop, Loop
from recsys.model import SimpleRecommender, load
from recsys.recipes import MOST_SONGS, RECIPES, Recipe
from recsys.runs import read_json, sha256, write_json
from recsys.split import Interactions, Split

__all__ = ["RECIPES", "Loop", "Recipe", "Trained", "device", "load", "train"]
NDCG = "ndcg@20"  # what choices are made on
GAIN = 1.01  # another gamma has to bring so much in a trial, as its few epochs flatter a large one
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 30.0, 0.05  # at least so far apart; at most so much of the time
CODE = (
    "checkpoints", "evaluation", "latest", "losses", "loops", "model", "optimizers", "ranking", "recipes", "training",
)  # what a result depends on  # fmt: skip


BITS = ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "XLA_FLAGS")  # of the environment, they change rounding


@dataclass(frozen=True)
class Trained:
    """A trained model, the history of its training, and whether both were there already."""

    model: SimpleRecommender
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
    xla = _set_up(recipe.precision, xla, deterministic)
    inputs = _inputs(split, recipe, seed, xla=xla, deterministic=deterministic)
    folder = folder and Path(folder)
    complete = folder and all((folder / name).exists() for name in ("history.json", "model.keras"))
    history = read_json(folder / "history.json") if complete else {}
    if history.get("status") == "finished" and history["inputs"] == inputs:
        say(f"nothing has changed since {history['finished_at']}, that model is used again")
        return Trained(load(folder), history, reused=True)
    users, items = split.users["user_id"], split.items["item_id"]
    if recipe.refit:
        users, items = users[: split.n_users], items[: split.n_items]
    with _strategy().scope():
        kind = recipe.precision if recipe.precision.startswith("mixed") else "float32"
        model = SimpleRecommender(users, items, recipe.dim, similarity=recipe.similarity, seed=seed, dtype=kind)
        loop = (FullLoop if recipe.negatives == "full" else Loop)(model, split, recipe, seed, xla)
        history = {"inputs": inputs, "seed": seed, "device": device(), "rows": len(split.train)}
        per_row = recipe.learning_rate / recipe.batch_size if recipe.optimizer == "sgd" else None  # others have none
        history |= {"learning_rate_per_row": per_row, "n_parameters": model.count_params()}
        against = "all songs" if recipe.negatives == "full" else f"{recipe.n_negatives:,} {recipe.negatives} negatives"
        say(
            f"{history['n_parameters']:,} parameters, {history['rows']:,} rows an epoch against {against}, "
            f"on {history['device']}"
        )
        record = _Record(loop, history, folder, say)
        with _interrupts_wait(record), _recorded(record):
            _fit(loop, record, split)
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


def device() -> str:
    """Name the device that TensorFlow trains on: the first GPU, or the CPU with its number of cores."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU ({tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)})"
    return f"CPU ({os.cpu_count()} cores)"


@functools.cache  # a second one would mistake the first one's messages for its own
def _mirrored() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy()


def _strategy() -> tf.distribute.Strategy:
    """Return the strategy that the caller is in, or one over all GPUs where there are several."""
    several = len(tf.config.list_physical_devices("GPU")) > 1 and not tf.distribute.has_strategy()
    return _mirrored() if several else tf.distribute.get_strategy()


def _set_up(precision: str, xla: bool, deterministic: bool) -> bool:
    """Set what holds for the whole process, and return whether XLA may be used: a GPU has it or equal bits."""
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    if not (deterministic and tf.config.list_physical_devices("GPU")):
        return xla
    tf.config.experimental.enable_op_determinism()
    return False


def _inputs(split: Split, recipe: Recipe, seed: int, **options: Any) -> dict[str, Any]:
    codes = (codes for part in (split.train, split.validation) for codes in (part.user, part.item))
    rows = hashlib.sha256(b"".join(map(bytes, codes)))
    code = [sha256(Path(__file__).with_name(f"{module}.py"))[:12] for module in CODE]
    facts = {"prepared": split.manifest.get("key"), "rows": rows.hexdigest()[:12], "code": code}
    threads, replicas = tf.config.threading.get_intra_op_parallelism_threads(), _strategy().num_replicas_in_sync
    facts["machine"] = [tf.__version__, device(), threads, replicas, *(os.environ.get(name, "") for name in BITS)]
    return facts | {"recipe": json.loads(json.dumps(dataclasses.asdict(recipe))), "seed": seed} | options


@contextlib.contextmanager
def _interrupts_wait(record: "_Record") -> Iterator[None]:
    """Keep Ctrl-C out of TensorFlow's own code, which may crash on it; a second one is not kept waiting."""

    def wait(*_: Any) -> None:
        record.interrupted = True
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, wait) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if usual is not None:
            signal.signal(signal.SIGINT, usual)


class _Record:
    """A training's history and folder: what happened, the model to keep and the checkpoint, written as it goes."""

    def __init__(self, loop: Loop, history: dict[str, Any], folder: Path | None, say: Callable[[str], None]):
        self.loop, self.history, self.folder, self.say = loop, history, folder, say
        self.phase, self.best, self.interrupted, self.pause_seconds = "", [], False, CHECKPOINT_SECONDS
        self.began = dict.fromkeys(("all", "phase", "epoch", "pause"), time.perf_counter())
        self.facts, self.arrays = checkpoints.read(self.path) if folder else ({}, {})
        loop.pause, loop.hear = self.pause, self.hear
        if self.facts and self.facts["history"]["inputs"] != history["inputs"]:
            say("the checkpoint in its folder is of other settings, data or code, and is not used")
            self.facts = {}
        if self.facts:
            history.update(self.facts["history"])
            self.phase, self.best = self.facts["phase"], [self.arrays[name] for name in self.arrays if "best" in name]
            self.began["all"] -= self.facts["seconds"]["all"]
        self.epochs = history.setdefault("epochs", [])

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint"

    def since(self, what: str) -> float:
        return round(time.perf_counter() - self.began[what], 3)

    def begin(self, phase: str, rows: Any, settings: dict[str, float], epochs: int) -> None:
        """Start the loop on a phase, or where the checkpoint left it."""
        self.phase, self.began["phase"] = phase, time.perf_counter()
        self.loop.start(rows, **settings, epochs=epochs, name=phase)
        if self.facts:
            self.loop.restore(self.facts["loop"], self.arrays)
            self.began |= {name: time.perf_counter() - self.facts["seconds"][name] for name in ("phase", "epoch")}
            place = f"epoch {self.loop.epoch + 1}, step {self.loop.step + 1}"
            self.say(f"goes on from {phase}{', ' if phase else ''}{place}")
            self.facts, self.arrays = {}, {}

    def learn(self) -> dict[str, float]:
        if self.loop.step == 0:
            self.began["epoch"] = time.perf_counter()
        return self.loop.learn()

    def pause(self) -> None:
        if self.folder and (self.interrupted or self.since("pause") >= self.pause_seconds):
            before, (facts, arrays) = time.perf_counter(), self.loop.state()
            seconds = {name: self.since(name) for name in self.began}
            facts = {"loop": facts, "phase": self.phase, "history": self.history, "seconds": seconds}
            checkpoints.write(self.path, facts, arrays | {f"best {i}": table for i, table in enumerate(self.best)})
            self.began["pause"] = time.perf_counter()
            self.pause_seconds = max(CHECKPOINT_SECONDS, (self.began["pause"] - before) / CHECKPOINT_SHARE)
        self.hear()

    def hear(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def note(self, **facts: Any) -> None:
        self.history.update(facts, seconds=self.since("all"))
        if self.folder:
            write_json(self.folder / "history.json", self.history)

    def keep(self) -> None:
        if self.folder:
            self.loop.model.write(self.folder / "model.keras")

    def end_epoch(self, now: dict[str, Any], line: str) -> None:
        self.epochs.append(now | {"seconds": self.since("epoch")})
        self.note()
        n = self.loop.recipe.epochs
        left = int((n - now["epoch"]) * sum(each["seconds"] for each in self.epochs) / now["epoch"])
        self.say(
            f"epoch {now['epoch']:2} of {n}, loss {now['loss']:.4f}, accuracy {now['accuracy']:.2%}, "
            f"validation {line}, {now['rows_per_second']:,} rows/s, at most {left // 60}:{left % 60:02} left"
        )


@contextlib.contextmanager
def _recorded(record: _Record) -> Iterator[None]:
    """Note how a training ends, whichever way it does."""
    record.note(status="running", best_epoch=record.history.get("best_epoch"))
    if record.folder and not (record.facts and (record.folder / "model.keras").exists()):
        record.keep()
    try:
        yield
    except BaseException as error:
        record.note(status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error=repr(error))
        record.say(f"stopped; best epoch so far: {record.history['best_epoch'] or 'none'}")
        raise
    record.history.pop("error", None)
    record.note(status="finished", finished_at=time.strftime("%Y-%m-%d %H:%M:%S"))
    for rest in (record.path, *record.folder.glob(".*")) if record.folder else ():  # and what a kill left half written
        rest.unlink(missing_ok=True)
    best, n = record.history["best_epoch"], len(record.epochs)
    record.say(f"best epoch {best} of {n}, {record.history['seconds']:.1f} s in all")


def _fit(loop: Loop, record: _Record, split: Split) -> None:
    """Choose on validation, train until it stops improving, and where the recipe says so once more on both parts."""
    recipe, history = loop.recipe, record.history
    rows = split.seen("train") if recipe.refit else split.train
    if len(recipe.grid) + len(recipe.gammas) > 1:
        _try_out(loop, record, split, rows)
    settings = dict(zip(("temperature", "gamma"), recipe.grid[0], strict=True))
    if trials := history.get("trials"):
        best = max(trials, key=lambda trial: trial[NDCG] / (1 if trial in trials[: len(recipe.grid)] else GAIN))
        settings = {name: best[name] for name in settings}
    record.note(settings=settings)
    if record.phase != "refit":
        _run(loop, record, split, rows, settings)
        _choose_pull(loop, record, split)
    if not recipe.refit:
        loop.model.set_weights(record.best)
        return
    record.begin("refit", split.seen("train", "validation"), settings, recipe.epochs)
    history.setdefault("refit_losses", [])
    while loop.epoch < history["best_epoch"]:
        history["refit_losses"].append(record.learn()["loss"])
    with loop.averaged():
        if history["latest"]:
            _pull(loop.model, split.warm("train", "validation"), **history["latest"])
        record.keep()
        final = loop.model.get_weights()
    loop.model.set_weights(final)
    record.note(refit=True, refit_seconds=record.since("phase"))
    last, seconds = history["refit_losses"][-1], history["refit_seconds"]
    record.say(f"refitted on train and validation, loss {last:.4f}, {seconds:.1f} s")


def _try_out(loop: Loop, record: _Record, split: Split, rows: Any) -> None:
    """Try each pair of temperature and gamma for a few epochs, then the best temperature with the other gammas."""
    recipe, trials = loop.recipe, record.history.setdefault("trials", [])
    n, epochs = len(recipe.grid) + len(recipe.gammas), min(recipe.trial_epochs, recipe.epochs)
    while len(trials) < n:
        if len(trials) < len(recipe.grid):
            temperature, gamma = recipe.grid[len(trials)]
        else:
            temperature = max(trials[: len(recipe.grid)], key=lambda trial: trial[NDCG])["temperature"]
            gamma = recipe.gammas[len(trials) - len(recipe.grid)]
        settings = {"temperature": temperature, "gamma": gamma}
        record.begin(f"trial {len(trials) + 1} of {n}", rows, settings, epochs)
        while loop.epoch < epochs:
            record.learn()
        with loop.averaged():
            ndcg = validation_ndcg(loop.model, split)
        trials.append(settings | {"epochs": epochs, NDCG: ndcg, "seconds": record.since("phase")})
        record.note()
        record.say(f"{record.phase}, temperature {temperature}, gamma {gamma}: {NDCG} on validation {ndcg:.4f}")


def _choose_pull(loop: Loop, record: _Record, split: Split) -> None:
    """Note the pull towards the latest songs, and its half-life, that are best on validation; none may be best."""
    record.note(latest={}, pulls=[])
    rows = split.warm("train")
    if not loop.recipe.latest or rows.timestamp is None:
        return
    with loop.averaged():
        plain = loop.model.get_weights()
        tried = [{NDCG: validation_ndcg(loop.model, split)}]
        for pull, half_life in loop.recipe.latest:
            loop.model.set_weights(plain)
            _pull(loop.model, rows, pull, half_life)
            tried.append({"pull": pull, "half_life": half_life, NDCG: validation_ndcg(loop.model, split)})
            record.hear()
    best = max(tried, key=lambda each: each[NDCG])
    record.note(latest={name: value for name, value in best.items() if name != NDCG}, pulls=tried)
    how = f"pulled by {best['pull']} with a half-life of {best['half_life']} listens" if len(best) > 1 else "not pulled"
    record.say(
        f"users {how}: {NDCG} on validation {best[NDCG]:.4f}, {tried[0][NDCG]:.4f} without a pull to their latest songs"
    )


def _pull(model: SimpleRecommender, rows: Interactions, pull: float, half_life: float) -> None:
    users, songs = model.get_weights()
    weights = latest_weights(rows, model.n_users, model.n_items, half_life)
    model.set_weights([pulled(users, songs, weights, pull), songs])


def _run(loop: Loop, record: _Record, split: Split, rows: Any, settings: dict[str, float]) -> None:
    """Run epochs until validation stops improving; the best epoch's model is kept, or the last of a whole schedule."""
    recipe, history = loop.recipe, record.history
    record.begin("", rows, settings, recipe.epochs)
    while loop.epoch < recipe.epochs and loop.epoch - (history["best_epoch"] or loop.epoch) < recipe.patience:
        now = {"epoch": loop.epoch + 1, **record.learn()}
        with loop.averaged():
            now |= loop.judge()
            line = f"{now['val_accuracy']:.2%}"
            if not recipe.refit:
                line, worth = f"{now['val_loss']:.4f}, {line}", -now["val_loss"]
            elif loop.epoch % recipe.every == 0 or loop.epoch == recipe.epochs:
                now[f"val_{NDCG}"] = worth = validation_ndcg(loop.model, split)
                line += f", {NDCG} {worth:.4f}"
            else:
                worth = -np.inf
            if worth > (history.get("best_worth", -np.inf) if recipe.patience < recipe.epochs else -np.inf):
                record.keep()
                history |= {"best_epoch": loop.epoch, "best_worth": worth}
                record.best = [] if recipe.refit else loop.model.get_weights()
        record.end_epoch(now, line)
