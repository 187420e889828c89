"""How a training goes on record: its history, the model to keep, checkpoints, interrupts, and how it ends."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from recsys.data.interactions import Interactions, Stored
from recsys.runs import write_json
from recsys.training import checkpoints
from recsys.training.sampled_softmax import SampledLoop

CHECKPOINT = "checkpoint"
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 30.0, 0.05  # at least so far apart; at most so much of the time


@contextlib.contextmanager
def interrupts_wait(record: "Record") -> Iterator[None]:
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


class Record:
    """A training's history and folder: what happened, the model to keep and the checkpoint, written as it goes."""

    def __init__(self, loop: SampledLoop, history: dict[str, Any], folder: Path | None, say: Callable[[str], None]):
        self.loop, self.history, self.folder, self.say = loop, history, folder, say
        self.phase, self.best, self.interrupted, self.pause_seconds = "", [], False, CHECKPOINT_SECONDS
        self.began = dict.fromkeys(("all", "phase", "epoch", "pause"), time.perf_counter())
        self.facts, self.arrays = checkpoints.read(folder / CHECKPOINT) if folder else ({}, {})
        loop.pause, loop.hear = self.pause, self.hear
        if self.facts and self.facts["history"]["inputs"] != history["inputs"]:
            say("the checkpoint in its folder is of other settings, data or code, and is not used")
            self.facts = {}
        if self.facts:
            history.update(self.facts["history"])
            self.phase, self.best = self.facts["phase"], [self.arrays[name] for name in self.arrays if "best" in name]
            self.began["all"] -= self.facts["seconds"]["all"]
        self.epochs = history.setdefault("epochs", [])

    def since(self, what: str) -> float:
        """Return the seconds since all, this phase or this epoch began, or since the last checkpoint."""
        return round(time.perf_counter() - self.began[what], 3)

    def begin(self, phase: str, rows: Interactions | Stored, settings: dict[str, float], epochs: int) -> None:
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
        """Take the loop's next epoch, or the rest of one that was stopped."""
        if self.loop.step == 0:
            self.began["epoch"] = time.perf_counter()
        return self.loop.learn()

    def pause(self) -> None:
        """Write a checkpoint where it is time for one, or at an interrupt, which is raised then."""
        if self.folder and (self.interrupted or self.since("pause") >= self.pause_seconds):
            before, (facts, arrays) = time.perf_counter(), self.loop.state()
            seconds = {name: self.since(name) for name in self.began}
            facts = {"loop": facts, "phase": self.phase, "history": self.history, "seconds": seconds}
            best = {f"best {i}": table for i, table in enumerate(self.best)}
            checkpoints.write(self.folder / CHECKPOINT, facts, arrays | best)
            self.began["pause"] = time.perf_counter()
            self.pause_seconds = max(CHECKPOINT_SECONDS, (self.began["pause"] - before) / CHECKPOINT_SHARE)
        self.hear()

    def hear(self) -> None:
        """Raise KeyboardInterrupt if there was one."""
        if self.interrupted:
            raise KeyboardInterrupt

    def note(self, **facts: Any) -> None:
        """Add facts to the history, and write it."""
        self.history.update(facts, seconds=self.since("all"))
        if self.folder:
            write_json(self.folder / "history.json", self.history)

    def keep(self) -> None:
        """Write the model as it is now."""
        if self.folder:
            self.loop.model.write(self.folder / "model.keras")

    def end_epoch(self, now: dict[str, Any], line: str) -> None:
        """Add an epoch's figures to the history and say them, `line` being what is said of validation."""
        self.epochs.append(now | {"seconds": self.since("epoch")})
        self.note()
        n = self.loop.recipe.epochs
        left = int((n - now["epoch"]) * sum(each["seconds"] for each in self.epochs) / now["epoch"])
        self.say(
            f"epoch {now['epoch']:2} of {n}, loss {now['loss']:.4f}, accuracy {now['accuracy']:.2%}, "
            f"validation {line}, {now['rows_per_second']:,} rows/s, at most {left // 60}:{left % 60:02} left"
        )


@contextlib.contextmanager
def recorded(record: Record) -> Iterator[None]:
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
    if record.folder:
        for rest in (record.folder / CHECKPOINT, *record.folder.glob(".*")):  # and what a kill left half written
            rest.unlink(missing_ok=True)
    best, n = record.history["best_epoch"], len(record.epochs)
    record.say(f"best epoch {best} of {n}, {record.history['seconds']:.1f} s in all")
