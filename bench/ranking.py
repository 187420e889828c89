"""Seconds and memory of ranking, beside a flat faiss index, and of the bootstrap."""

import os
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from bench import interleaved, peak_memory, spread
from recsys.evaluation import bootstrap, evaluate, metrics, ranking

N_ITEMS, DIM, K = 450_000, 64, 100
N_USERS, RUNS = 426, 5  # six batches
THREADS = os.cpu_count()


class Dot:
    """A scorer of two tables."""

    def __init__(self, users: np.ndarray, items: np.ndarray):
        self.users, self.items = users, items

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.users[users] @ self.items.T


def histories(rng: np.random.Generator, n_users: int, n_items: int, songs: int) -> sparse.csr_matrix:
    """Return `songs` songs of each user, drawn uniformly: 0/1 (n_users, n_items)."""
    pairs = (np.repeat(np.arange(n_users), songs), rng.integers(0, n_items, n_users * songs))
    matrix = sparse.csr_matrix((np.ones(len(pairs[0]), np.float32), pairs), shape=(n_users, n_items))
    matrix.data[:] = 1
    return matrix


def told(seconds: pd.DataFrame, scale: float = 1.0, first: str = "") -> str:
    """Return median, least and most of each task, and the median of its ratio to the first task in the same run."""
    table = (scale * seconds).agg(["median", "min", "max"]).T
    if first:
        table[f"of the {first}"] = seconds.div(seconds[first], axis=0).median()
    return table.round(2).to_string()


def search(rng: np.random.Generator, runs: int) -> pd.DataFrame:
    """Time the 100 best of 450,000 songs, by whom and with what: seconds (runs, tasks)."""
    users, items = (rng.normal(size=(n, DIM)).astype(np.float32) for n in (N_USERS, N_ITEMS))
    scorer, everyone = Dot(users, items), np.arange(N_USERS)
    seen, relevant = histories(rng, N_USERS, N_ITEMS, 50), histories(rng, N_USERS, N_ITEMS, 5)
    relevant = (relevant - relevant.multiply(seen)).tocsr()
    batches = list(ranking.batches_of_users(everyone, N_ITEMS))

    def scored(then: Callable[[np.ndarray], object]) -> None:
        for batch in batches:  # none is kept
            then(scorer.scores(batch))

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatIP(DIM)
    index.add(items)
    tasks = {
        "bare product": lambda: scored(len),
        "product and top_k": lambda: scored(lambda scores: ranking.top_k(scores, K)),
        "rank: seen removed, tie-fair ranks": lambda: ranking.rank(scorer, everyone, seen, relevant, K),
        "flat faiss index": lambda: index.search(users, K),
    }
    seconds = interleaved(tasks, runs)
    print(f"\nmilliseconds a user, {K} best of {N_ITEMS:,} songs, dim {DIM}, {N_USERS:,} users, {runs} runs in turn:")
    print(told(seconds, 1000 / N_USERS, "bare product"))
    return seconds


def popular(rng: np.random.Generator) -> None:
    """Time a ranking where many songs tie: one popularity for all users."""
    n_users, n_items = 2_000, 17_000
    row = rng.zipf(1.6, n_items).clip(max=5_000).astype(np.float32)
    seen, relevant = histories(rng, n_users, n_items, 50), histories(rng, n_users, n_items, 5)
    relevant = (relevant - relevant.multiply(seen)).tocsr()
    same = type("Same", (), {"scores": lambda self, users: np.broadcast_to(row, (len(users), n_items))})()
    tasks = {f"popularity of {n_items:,} songs": lambda: ranking.rank(same, np.arange(n_users), seen, relevant, K)}
    print("\nmilliseconds a user, many ties:")
    print(told(interleaved(tasks, RUNS), 1000 / n_users))


def resampling(rng: np.random.Generator) -> None:
    """Time the bootstrap of 100,000 users and all metrics."""
    columns = (len(metrics.BY_USER) + 2) * len(evaluate.CUTOFFS)
    values = rng.random((100_000, columns))
    tasks = {f"100,000 users, {columns} metrics, 1,000 resamples": lambda: bootstrap.bootstrap(values, 1_000)}
    print("\nseconds of the bootstrap:")
    print(told(interleaved(tasks, 3)))


def memory(rng: np.random.Generator) -> None:
    """Tell the peak memory of this process after ranking 20,000 users; so it has to be the first."""
    n_users = 20_000
    scorer = Dot(*(rng.normal(size=(n, DIM)).astype(np.float32) for n in (n_users, N_ITEMS)))
    seen, relevant = histories(rng, n_users, N_ITEMS, 50), histories(rng, n_users, N_ITEMS, 5)
    relevant = (relevant - relevant.multiply(seen)).tocsr()
    start = time.perf_counter()
    ranking.rank(scorer, np.arange(n_users), seen, relevant, K)
    seconds = time.perf_counter() - start
    print(f"\n{n_users:,} users × {N_ITEMS:,} songs: {seconds:.0f} s, peak memory {peak_memory():.2f} GB")


def measure(full: bool) -> dict[str, Any]:
    """Time the search, and when in full all that this file can measure."""
    with threadpool_limits(THREADS):
        for part in (memory, popular, resampling) if full else ():
            part(np.random.default_rng(0))
        seconds = search(np.random.default_rng(0), 9 if full else RUNS)
    ours, bare, flat = "rank: seen removed, tie-fair ranks", "bare product", "flat faiss index"
    ratios = {
        "ranking_vs_product": spread(seconds[ours] / seconds[bare]),
        "faiss_vs_ranking": spread(seconds[flat] / seconds[ours]),
    }
    a_user = {name: spread(1000 / N_USERS * seconds[name]) for name in seconds}
    facts = {"songs": N_ITEMS, "dim": DIM, "users": N_USERS, "threads": THREADS, "milliseconds a user": a_user}
    return {"ratios": ratios, "facts": facts}
