"""Lists for all listeners as a Spark job: each worker has the vectors, and makes the lists of some batches of users."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys.data.spark import explained, spark_session
from recsys.evaluation.ranking import batches_of_users
from recsys.files import replace_folder, working_folder, write_json
from recsys.lists import Lists

FACTS = "_facts.json"  # readers of Parquet folders leave out what begins with a line
GROUP = "recommend"  # the name of the job, by which it is stopped
SECONDS = 2.0  # between two lines of progress


def write_on_spark(
    lists: Lists, path: Path, k: int, repeats: str, facts: dict[str, str], log: Callable[[str], None] = print
) -> None:
    """Write k songs for every listener into the Parquet folder `path`, or leave what is there if anything fails.

    The rows are those of `Lists.by_code`, batch by batch in the same batches, so the scores are the same.
    """
    n_users, n_items = lists.known.shape
    batches = [(int(users[0]), int(users[-1]) + 1) for users in batches_of_users(np.arange(n_users), n_items)]
    schema = lists.schema(k, repeats)
    with working_folder(path.parent) as work, spark_session() as session, explained():
        from pyspark.sql.pandas.types import from_arrow_schema

        context = session.sparkContext
        shared, done = context.broadcast(lists), context.accumulator(0)

        def make(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in (each for batch in numbers for each in batch.column(0).to_pylist()):
                users = np.arange(*batches[number])
                rows = shared.value.by_code(users, k, repeats)
                yield from pa.Table.from_pandas(rows, schema, preserve_index=False).to_batches()
                done.add(len(users))

        def run() -> None:
            context.setJobGroup(GROUP, "lists for all listeners", interruptOnCancel=True)
            numbers = session.range(0, len(batches), 1, len(batches))
            numbers.mapInArrow(make, from_arrow_schema(schema)).write.parquet(str(work / "lists"))

        _watch(run, lambda: done.value, n_users, log, lambda: context.cancelJobGroup(GROUP))
        shared.destroy()
        write_json(work / "lists" / FACTS, facts)
        replace_folder(path, work / "lists")


def _watch(
    run: Callable[[], None], count: Callable[[], int], n: int, log: Callable[[str], None], stop: Callable[[], None]
) -> None:
    """Call `run` in a thread and log how many of the n listeners are done; if anything fails here, stop it."""
    started, shown = time.perf_counter(), 0
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(run)
        try:
            while True:
                is_over = bool(wait([job], SECONDS).done)
                if (done := count()) > shown:
                    left = (time.perf_counter() - started) * (n - done) / done
                    log(f"{done:,} of {n:,} listeners, {left // 60:.0f}:{left % 60:02.0f} left")
                    shown = done
                if is_over:
                    return job.result()
        except BaseException:
            stop()
            raise
