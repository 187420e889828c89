"""Time and memory of ranking, compared with a flat faiss index, and time of the bootstrap."""

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
N_USERS, RUNS = 426, 5  # users: six batches
THREADS = os.cpu_count()


class Dot:
    """A scorer that multiplies two tables of vectors."""

    def __init__(self, users: np.ndarray, items: np.ndarray):
        self.users, self.items = users, items

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.users[users] @ self.items.T


def histories(rng: np.random.Generator, n_users: int, n_items: int, songs: int) -> sparse.csr_matrix:
    """Draw some songs for each user, uniformly: 0/1 (n_users, n_items)."""
    pairs = (np.repeat(np.arange(n_users), songs), rng.integers(0, n_items, n_users * songs))
    matrix = sparse.csr_matrix((np.ones(len(pairs[0]), np.float32), pairs), shape=(n_users, n_items))
    matrix.data[:] = 1
    return matrix


def drawn_case(rng: np.random.Generator, n_users: int, n_items: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Draw 50 seen and about 5 relevant songs for each user, with no song in both."""
    seen, relevant = histories(rng, n_users, n_items, 50), histories(rng, n_users, n_items, 5)
    return seen, (relevant - relevant.multiply(seen)).tocsr()


def as_table(seconds: pd.DataFrame, scale: float = 1.0, first: str = "") -> str:
    """Return each task's median, minimum and maximum, and its ratio to the first task: the median over the runs."""
    table = (scale * seconds).agg(["median", "min", "max"]).T
    if first:
        table[f"/ {first}"] = seconds.div(seconds[first], axis=0).median()
    return table.round(2).to_string()


def search(rng: np.random.Generator, runs: int) -> pd.DataFrame:
    """Time finding the 100 best of 450,000 songs in four ways: seconds (runs, tasks)."""
    users, items = (rng.normal(size=(n, DIM)).astype(np.float32) for n in (N_USERS, N_ITEMS))
    scorer, everyone = Dot(users, items), np.arange(N_USERS)
    seen, relevant = drawn_case(rng, N_USERS, N_ITEMS)
    batches = list(ranking.batches_of_users(everyone, N_ITEMS))

    def score_and(use: Callable[[np.ndarray], object]) -> None:
        for batch in batches:
            use(scorer.scores(batch))

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatIP(DIM)
    index.add(items)
    tasks = {
        "bare product": lambda: score_and(len),
        "product and top_k": lambda: score_and(lambda scores: ranking.top_k(scores, K)),
        "rank: seen removed, tie-fair ranks": lambda: ranking.rank(scorer, everyone, seen, relevant, K),
        "flat faiss index": lambda: index.search(users, K),
    }
    seconds = interleaved(tasks, runs)
    print(f"\nmilliseconds per user, {K} best of {N_ITEMS:,} songs, dim {DIM}, {N_USERS:,} users, {runs} runs:")
    print(as_table(seconds, 1000 / N_USERS, "bare product"))
    return seconds


def many_ties(rng: np.random.Generator) -> None:
    """Time ranking by popularity, where many songs are tied."""
    n_users, n_items = 2_000, 17_000
    row = rng.zipf(1.6, n_items).clip(max=5_000).astype(np.float32)
    seen, relevant = drawn_case(rng, n_users, n_items)
    same = type("Same", (), {"scores": lambda self, users: np.broadcast_to(row, (len(users), n_items))})()
    tasks = {f"popularity of {n_items:,} songs": lambda: ranking.rank(same, np.arange(n_users), seen, relevant, K)}
    print("\nmilliseconds per user, many ties:")
    print(as_table(interleaved(tasks, RUNS), 1000 / n_users))


def resampling(rng: np.random.Generator) -> None:
    """Time the bootstrap for 100,000 users and all metrics."""
    columns = (len(metrics.BY_USER) + len(metrics.BY_LIST)) * len(evaluate.CUTOFFS)
    values = rng.random((100_000, columns))
    tasks = {f"100,000 users, {columns} metrics, 1,000 resamples": lambda: bootstrap.resampled_sums(values, 1_000)}
    print("\nseconds of the bootstrap:")
    print(as_table(interleaved(tasks, 3)))


def memory(rng: np.random.Generator) -> None:
    """Print this process's peak memory after ranking 20,000 users. It must run first."""
    n_users = 20_000
    scorer = Dot(*(rng.normal(size=(n, DIM)).astype(np.float32) for n in (n_users, N_ITEMS)))
    seen, relevant = drawn_case(rng, n_users, N_ITEMS)
    start = time.perf_counter()
    ranking.rank(scorer, np.arange(n_users), seen, relevant, K)
    seconds = time.perf_counter() - start
    print(f"\n{n_users:,} users × {N_ITEMS:,} songs: {seconds:.0f} s, peak memory {peak_memory():.2f} GB")


def measure(full: bool) -> dict[str, Any]:
    """Time the search; with `full`, more often, and everything else that this file measures."""
    with threadpool_limits(THREADS):
        for part in (memory, many_ties, resampling) if full else ():
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
