"""What `make bench` and `make ablation` share. The package recsys imports nothing from here."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
STATUS = Path("/proc/self/status")  # exists on Linux only; elsewhere memory is not measured


def interleaved(tasks: dict[str, Callable[[], object]], runs: int) -> pd.DataFrame:
    """Run each task once to warm up, then all tasks in turn, and return seconds (runs, tasks)."""
    seconds = {name: [] for name in tasks}
    for run, name in itertools.product(range(runs + 1), tasks):
        start = time.perf_counter()
        tasks[name]()
        if run:
            seconds[name].append(time.perf_counter() - start)
    return pd.DataFrame(seconds)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, minimum, maximum and number of several runs."""
    values = [float(value) for value in values]
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "runs": len(values)}


def peak_memory() -> float:
    """Return the peak memory of this process in GB; NaN if the system does not report it."""
    return _status("VmHWM")


def mapped_memory() -> float:
    """Return how much of this process's memory holds files, such as libraries, in GB; NaN if it is not reported."""
    return _status("RssFile")


def _status(name: str) -> float:
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) / 1e6 for line in lines if line.startswith(name)), float("nan"))


def in_process(work: Callable, *arguments: object) -> object:
    """Call a function in a process of its own, so that its memory can be measured, and return its result."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def zipf_ranks(rng: np.random.Generator, n_items: int, n: int) -> np.ndarray:
    """Draw n ranks from 0 to n_items − 1 by Zipf's law."""
    cumulative = np.cumsum(1 / np.arange(1, n_items + 1))
    return np.minimum(np.searchsorted(cumulative, rng.random(n) * cumulative[-1]), n_items - 1)


def zipf_rows(n_users: int, n_items: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return users and songs, int32 (n_rows,) each: songs follow Zipf's law, and every user and song occurs."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, n_users, n_rows, dtype=np.int32)
    item = np.empty(n_rows, np.int32)
    for start in range(0, n_rows, 2**20):
        piece = item[start : start + 2**20]
        piece[:] = zipf_ranks(rng, n_items, len(piece))
    item = rng.permutation(n_items).astype(np.int32)[item]
    user[:n_users], item[-n_items:] = np.arange(n_users), np.arange(n_items)
    return user, item
