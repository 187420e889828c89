"""What a training leaves in its folder while it runs (history.json, the best model, a checkpoint), and its log."""

import contextlib
import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recsys.data.interactions import Interactions, Stored
from recsys.files import sha256, write_atomically, write_json
from recsys.models.embeddings import Embeddings
from recsys.training.loop import Loop

CHECKPOINT = "checkpoint"
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 30.0, 0.05  # the least time between checkpoints; the most of the time they take
DIGEST = 32  # bytes of a SHA-256, the last ones of a checkpoint
LOG_WIDTH = 135  # characters; each line covers the one before it
INPUTS = {
    "prepared": "the data", "rows": "the data", "code": "the code", "machine": "the machine", "recipe": "the recipe",
    "seed": "SEED", "xla": "XLA", "deterministic": "DETERMINISTIC",
}  # fmt: skip


def print_line(name: str, text: str, moving: bool = False) -> None:
    """Print a line of a recipe's log. The next line is printed over a `moving` one."""
    print(f"{name}: {text}".ljust(LOG_WIDTH), end="\r" if moving else "\n", flush=True)


def changed_inputs(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words which inputs of a training differ from those `before`; "" if none does."""
    return ", ".join(dict.fromkeys(INPUTS[name] for name in now if before.get(name) != now[name]))


def write_checkpoint(path: Path, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write facts (any JSON) and arrays into one file, without pickles, completely or not at all."""
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with write_atomically(path) as temporary, open(temporary, "w+b") as file:
        np.savez(file, allow_pickle=False, **arrays, facts=text)
        file.flush()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.write(digest)  # at the end


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts and arrays of a checkpoint; empty ones if it is missing or damaged."""
    if not (path.exists() and _is_whole(path)):
        return {}, {}
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("facts").tobytes()), arrays


def _is_whole(checkpoint: Path) -> bool:
    digest, left = hashlib.sha256(), checkpoint.stat().st_size - DIGEST
    with open(checkpoint, "rb") as file:
        while left > 0:
            digest.update(block := file.read(min(left, 2**20)))
            left -= len(block)
        return digest.digest() == file.read()


class TrainingHistory:
    """The history (`facts`) of a training, its best model and its checkpoint, written to its folder as it runs.

    Without a folder nothing is written. `log(text, moving=False)` prints a line.
    """

    def __init__(self, loop: Loop, facts: dict[str, Any], folder: Path | None, log: Callable[..., None]):
        self.facts, self.folder, self.log = facts, folder, log
        self.phase, self.best_weights, self.interrupted, self.checkpoint_seconds = "", [], False, CHECKPOINT_SECONDS
        self.started = dict.fromkeys(("training", "phase", "epoch", "checkpoint"), time.perf_counter())
        self.checkpoint, self.arrays = read_checkpoint(folder / CHECKPOINT) if folder else ({}, {})
        self.attach(loop)
        self.model = loop.model
        if folder and (folder / CHECKPOINT).exists() and not self.checkpoint:
            log(f"starts again: {CHECKPOINT} is damaged, or of an earlier version")
        if self.checkpoint and (changed := changed_inputs(self.checkpoint["history"]["inputs"], facts["inputs"])):
            log(f"starts again without its checkpoint, because these have changed: {changed}")
            self.checkpoint = {}
        if self.checkpoint:
            facts.update(self.checkpoint["history"])
            self.phase = self.checkpoint["phase"]
            self.best_weights = [self.arrays[name] for name in self.arrays if name.startswith("best")]
            self.started["training"] -= self.checkpoint["seconds"]["training"]
        facts.setdefault("epochs", [])

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The figures of each epoch of the training."""
        return self.facts["epochs"]

    def attach(self, loop: Loop) -> None:
        """Follow a loop: its phases, epochs and state are those of the training from now on."""
        self.loop = loop
        loop.after_call, loop.check_interrupt = self.after_call, self.check_interrupt

    def since(self, what: str) -> float:
        """Return the seconds since the start of the training, the phase or the epoch, or since the last checkpoint."""
        return round(time.perf_counter() - self.started[what], 3)

    def begin(self, phase: str, rows: Interactions | Stored, settings: dict[str, float], epochs: int) -> None:
        """Start a phase of the loop, and continue it from the checkpoint if there is one."""
        self.phase, self.started["phase"] = phase, time.perf_counter()
        self.loop.start(rows, **settings, epochs=epochs, name=phase)
        if self.checkpoint:
            self.loop.restore(self.checkpoint["loop"], self.arrays)
            seconds = self.checkpoint["seconds"]
            self.started |= {name: time.perf_counter() - seconds[name] for name in ("phase", "epoch")}
            place = f"epoch {self.loop.epoch + 1}, step {self.loop.step + 1}"
            self.log(f"continues from its checkpoint: {phase}{', ' if phase else ''}{place}")
            self.checkpoint, self.arrays = {}, {}

    def train_epoch(self) -> dict[str, float]:
        if self.loop.step == 0:
            self.started["epoch"] = time.perf_counter()
        return self.loop.train_epoch()

    def after_call(self) -> None:
        """Write a checkpoint if it is time for one or the user interrupts; an interrupt is then raised."""
        if self.folder and (self.interrupted or self.since("checkpoint") >= self.checkpoint_seconds):
            before, (loop, arrays) = time.perf_counter(), self.loop.state()
            seconds = {name: self.since(name) for name in self.started}
            facts = {"loop": loop, "phase": self.phase, "history": self.facts, "seconds": seconds}
            best = {f"best {i}": table for i, table in enumerate(self.best_weights)}
            write_checkpoint(self.folder / CHECKPOINT, facts, arrays | best)
            self.started["checkpoint"] = time.perf_counter()
            self.checkpoint_seconds = max(CHECKPOINT_SECONDS, (self.started["checkpoint"] - before) / CHECKPOINT_SHARE)
        self.check_interrupt()

    def check_interrupt(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def note(self, **facts: Any) -> None:
        """Add facts to the history, and write it."""
        self.facts.update(facts, seconds=self.since("training"))
        if self.folder:
            write_json(self.folder / "history.json", self.facts)

    def write_model(self, model: Embeddings | None = None) -> None:
        """Write the model in training, or another one, as the best so far."""
        if self.folder:
            (model or self.model).write(self.folder / "model.keras")

    def model_hash(self) -> dict[str, str]:
        """Return the SHA-256 of model.keras, to be noted when the training ends: later this must be the same file."""
        return {"model": sha256(self.folder / "model.keras")} if self.folder else {}

    def end_epoch(self, epoch: dict[str, Any], validation: str) -> None:
        """Add an epoch's figures to the history, and log them; `validation` holds those of validation as text."""
        self.epochs.append(epoch | {"seconds": self.since("epoch")})
        self.note()
        number, n = epoch["epoch"], self.loop.epochs
        left = int((n - number) * sum(each["seconds"] for each in self.epochs) / number)
        text = f"epoch {number:2} of {n}: loss {epoch['loss']:.4f}, accuracy {epoch['accuracy']:.2%}; validation "
        text += f"{validation}; {epoch['rows_per_second']:,} rows/s; {left // 60}:{left % 60:02} to epoch {n}"
        self.log(text, moving=True)


@contextlib.contextmanager
def defer_interrupts(history: TrainingHistory) -> Iterator[None]:
    """Let Ctrl-C wait until TensorFlow's current call ends, as it may crash inside; a second Ctrl-C stops at once."""

    def defer(*_: Any) -> None:
        history.interrupted = True
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, defer) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if usual is not None:
            signal.signal(signal.SIGINT, usual)


def remove_leftovers(folder: Path) -> None:
    """Remove what a finished training does not need: its checkpoint, and the temporary files that a kill left."""
    for rest in (*folder.glob(CHECKPOINT), *folder.glob(".*")):
        rest.unlink(missing_ok=True)


@contextlib.contextmanager
def record_outcome(history: TrainingHistory) -> Iterator[None]:
    """Note in the history how a training ends: finished, interrupted or failed."""
    history.note(status="running", best_epoch=history.facts.get("best_epoch"))
    if history.folder and not (history.checkpoint and (history.folder / "model.keras").exists()):
        history.write_model()
    try:
        yield
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        history.note(status=status, error=repr(error), **history.model_hash())
        history.log(f"stopped. Best epoch so far: {history.facts['best_epoch'] or 'none'}")
        raise
    history.facts.pop("error", None)
    history.note(status="finished", finished_at=time.strftime("%Y-%m-%d %H:%M:%S"), **history.model_hash())
    if history.folder:
        remove_leftovers(history.folder)
    best, n, seconds = history.facts["best_epoch"], len(history.epochs), history.facts["seconds"]
    history.log(f"finished after {seconds:.1f} s. Best epoch: {best} of {n}")
