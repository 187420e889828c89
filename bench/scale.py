"""How time and memory grow with the data: python -m bench.scale [ROWS=<most rows>], or make bench GROWTH=1

Each point is measured in a process of its own. Lines through the points, in logarithms, give the exponents, and what
larger data would take. The tables go into docs/scale.md. Where PySpark is installed, its ALS is measured too.
"""

import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench import ROOT, in_process, peak_memory, zipf_rows
from bench.growth import Enough, measure_size, write
from bench.large import Watch, write_log
from bench.pages import write_between
from bench.ranking import Dot, drawn_case
from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.evaluation.ranking import rank
from recsys.training.recipes import RECIPES
from recsys.training.trainer import make_loop

PAGE = ROOT / "docs" / "scale.md"
COMMAND = "make bench GROWTH=1"
ROWS = (1_000_000, 3_000_000, 10_000_000, 50_000_000, 100_000_000)
ROWS_PER_SONG, ROWS_PER_USER = 50, 100
MOST_TRAINED, MOST_FULL = 50_000_000, 10_000_000  # rows of `fast`; of `best`, with 200,000 songs
RANKED = ((2000, 200_000), (2000, 500_000), (2000, 1_000_000), (2000, 2_000_000))  # users and songs: some seconds each
PREPARE, FAST, FULL = "prepare", "an epoch of `fast`", "an epoch of `best`, which compares with all songs"
ALS, ALS_ROWS = "ten iterations of Spark's ALS", (1_000_000, 3_000_000, 10_000_000)
DIM = 64
STEPS = 12  # of the full softmax that are timed
PRICE = 0.0816  # dollars an hour for two cores: docs/scale.md says whose
LARGER = ((10**9, 10**6, 5 * 10**6), (5 * 10**9, 10**6, 10**7))  # rows, users and songs that nobody measured


@dataclass(frozen=True)
class Point:
    """One measurement: its size in words, what time grows with, seconds and peak memory in GB."""

    words: str
    size: float
    seconds: float
    memory: float


@dataclass(frozen=True)
class Line:
    """A straight line through logarithms: seconds = exp(intercept) · size ^ exponent, and the error of the exponent."""

    points: Sequence[Point]
    exponent: float
    error: float
    intercept: float

    @classmethod
    def through(cls, points: Sequence[Point]) -> "Line":
        """Fit the line to at least three points by least squares."""
        found = stats.linregress(*np.log([(each.size, each.seconds) for each in points]).T)
        return cls(points, found.slope, found.stderr, found.intercept)

    def predict(self, size: float) -> tuple[float, float, float]:
        """Return the seconds at a size, and the ends of their 95 % prediction interval."""
        x, y = np.log([(each.size, each.seconds) for each in self.points]).T
        n, at = len(x), math.log(size)
        middle = self.intercept + self.exponent * at
        spread = math.sqrt(((y - self.intercept - self.exponent * x) ** 2).sum() / (n - 2))
        leverage = 1 / n + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
        reach = stats.t.ppf(0.975, n - 2) * spread * math.sqrt(1 + leverage)
        return math.exp(middle), math.exp(middle - reach), math.exp(middle + reach)


def prepare_log(log: Path, root: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory of preparing a log."""
    start = time.perf_counter()
    prepare("csv", log, root=root)
    return time.perf_counter() - start, peak_memory()


def of_preparation(n_rows: int) -> Point:
    """Measure the preparation of a folder of Parquet files."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        in_process(write_log, log, n_rows, n_rows // ROWS_PER_SONG, n_rows // ROWS_PER_USER)
        seconds, memory = in_process(prepare_log, log, Path(folder))
    return Point(f"{n_rows:,} rows", n_rows, seconds, memory)


def of_fast(n_rows: int) -> Point:
    """Measure an epoch of `fast`."""
    found = measure_size(n_rows, n_rows // ROWS_PER_SONG)
    seconds = found["nanoseconds a row"]["median"] * n_rows / 1e9
    return Point(f"{n_rows:,} rows, {n_rows // ROWS_PER_SONG:,} songs", n_rows, seconds, found["peak memory, GB"])


def full_epoch(n_rows: int) -> tuple[float, float]:
    """Return the seconds of an epoch of the full softmax, from some of its steps, and the peak memory."""
    n_users, n_items = n_rows // ROWS_PER_USER, n_rows // ROWS_PER_SONG
    rows = np.stack(zipf_rows(n_users, n_items, n_rows), axis=1)
    split, recipe = Split.from_arrays(rows, rows[:1], rows[:1]), RECIPES["best"].override(dim=DIM)
    loop, times = make_loop(split, recipe, xla=True), [0.0]

    def note() -> None:
        times.append(time.perf_counter())
        if len(times) > STEPS + 2:
            raise Enough

    loop.start(split.train, *recipe.grid[0], epochs=1)
    loop.after_call = note
    with contextlib.suppress(Enough):
        loop.train_epoch()
    n_steps = math.ceil(n_users / recipe.users_per_batch(n_users, n_items))
    return float(np.median(np.diff(times[2:]))) * n_steps, peak_memory()


def of_best(n_rows: int) -> Point:
    """Measure an epoch of `best`'s full softmax."""
    seconds, memory = in_process(full_epoch, n_rows)
    n_users, n_items = n_rows // ROWS_PER_USER, n_rows // ROWS_PER_SONG
    return Point(f"{n_users:,} listeners, {n_items:,} songs", n_users * n_items, seconds, memory)


def rank_some(n_users: int, n_items: int) -> tuple[float, float]:
    """Return the seconds of ranking all songs for some users, and the peak memory."""
    rng = np.random.default_rng(0)
    scorer = Dot(*(rng.normal(size=(n, DIM)).astype(np.float32) for n in (n_users, n_items)))
    seen, relevant = drawn_case(rng, n_users, n_items)
    rank(scorer, np.arange(10), seen, relevant)
    start = time.perf_counter()
    rank(scorer, np.arange(n_users), seen, relevant)
    return time.perf_counter() - start, peak_memory()


def of_ranking(n_users: int, n_items: int) -> Point:
    """Measure lists of 100 songs for some users."""
    seconds, memory = in_process(rank_some, n_users, n_items)
    return Point(f"{n_users:,} listeners, {n_items:,} songs", n_users * n_items, seconds, memory)


def iterate_als(n_rows: int) -> tuple[float, float]:
    """Return the seconds of ten iterations of Spark's ALS, and the peak memory of Python and Java together."""
    from pyspark.ml.recommendation import ALS as SparkALS
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import lit

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        in_process(write, path, n_rows // ROWS_PER_USER, n_rows // ROWS_PER_SONG, n_rows)
        settings = {"spark.driver.memory": "8g", "spark.ui.showConsoleProgress": "false"}
        session = SparkSession.builder.config(map=settings).getOrCreate()
        pairs = session.read.parquet(str(path)).distinct().withColumn("rating", lit(1.0))
        pairs = pairs.coalesce(os.cpu_count() or 1).cache()
        pairs.count()
        watch, start = Watch(os.getpid()), time.perf_counter()
        watch.start()
        SparkALS(rank=DIM, maxIter=10, implicitPrefs=True, userCol="user", itemCol="item").fit(pairs)
        seconds = time.perf_counter() - start
        session.stop()
    return seconds, watch.peak / 1e9


def of_als(n_rows: int) -> Point:
    """Measure ten iterations of Spark's ALS."""
    seconds, memory = in_process(iterate_als, n_rows)
    return Point(f"{n_rows:,} rows, {n_rows // ROWS_PER_SONG:,} songs", n_rows, seconds, memory)


def measure(most_rows: int) -> Iterator[tuple[str, list[Point]]]:
    """Yield each stage with its points."""
    rows = [n for n in ROWS if n <= most_rows]
    stages: dict[str, tuple[Callable[..., Point], list[Any]]] = {
        PREPARE: (of_preparation, [(n,) for n in rows]),
        FAST: (of_fast, [(n,) for n in rows if n <= MOST_TRAINED]),
        FULL: (of_best, [(n,) for n in rows if n <= MOST_FULL]),
        "lists of 100 songs": (of_ranking, list(RANKED)),
        ALS: (of_als, [(n,) for n in ALS_ROWS if find_spec("pyspark")]),
    }  # fmt: skip
    for stage, (of_size, sizes) in stages.items():
        points = []
        for size in sizes:
            points.append(of_size(*size))
            print(f"{stage}: {points[-1].words}: {points[-1].seconds:.1f} s, {points[-1].memory:.2f} GB", flush=True)
        if points:
            yield stage, points


def clock(seconds: float) -> str:
    """Return seconds in words of two digits: s, min, h or days."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"


def in_words(seconds: float, low: float, high: float) -> str:
    """Return a predicted time with its interval, and what it costs."""
    return f"{clock(seconds)} ({clock(low)} to {clock(high)}), {seconds / 3600 * PRICE:.2f} dollars"


def tables(stages: dict[str, list[Point]]) -> str:
    """Return what was measured, the exponents, and what larger data would take, in Markdown."""
    lines = ["Measured:", "", "| stage | size | time | peak memory |", "|---|---|---:|---:|"]
    lines += [f"| {stage} | {each.words} | {clock(each.seconds)} | {each.memory:.2f} GB |"
              for stage, points in stages.items() for each in points]  # fmt: skip
    heads = [f"{rows / 1e9:g} billion rows, {users:,} listeners, {songs:,} songs" for rows, users, songs in LARGER]
    cost = f"the cost at {PRICE} dollars an hour"
    lines += ["", f"Predicted from these, on the same machine, with 95 % prediction intervals, and {cost}:", ""]
    lines += [f"| stage | grows with | exponent | {' | '.join(heads)} |", "|---|---|---:|---:|---:|"]
    for stage, points in stages.items():
        line, by_rows = Line.through(points), stage in (PREPARE, FAST, ALS)
        sizes = [rows if by_rows else users * songs for rows, users, songs in LARGER]
        cells = [in_words(*line.predict(size)) for size in sizes]
        cells = ["draws negatives, as `fast`"] * len(sizes) if stage == FULL else cells
        grows = "rows" if by_rows else "listeners × songs"
        lines.append(f"| {stage} | {grows} | {line.exponent:.2f} ± {line.error:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Measure all stages, and write the tables."""
    given = dict(each.partition("=")[::2] for each in arguments)
    found = tables(dict(measure(int(given.get("ROWS", ROWS[-1])))))
    write_between(PAGE, COMMAND, found)
    print(found)


if __name__ == "__main__":
    main(sys.argv[1:])
