"""Several workers, processes or machines, that train one model together: how they meet, and what they agree on.

All workers run the same training step by step, each on its share of every batch. The first one evaluates, chooses and
writes; the others get its figures. Outside a `tf.distribute` strategy over workers every function here does nothing.
"""

import contextlib
import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg as own_ndcg
from recsys.evaluation.evaluate import validation_ndcg_by_user as own_ndcg_by_user
from recsys.evaluation.ranking import Scorer
from recsys.models.embeddings import ROWS_AT_ONCE
from recsys.training.devices import graph

SAME = {"prepared": "data", "rows": "data", "code": "code", "recipe": "recipe", "seed": "SEED"}  # on all workers


def meet() -> tf.distribute.Strategy:
    """Return the strategy over the workers that TF_CONFIG names; this waits until all have started.

    Raises OSError if this worker's port is in use, ValueError if it has several GPUs.
    """
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.UnknownError as error:
        raise OSError(f"TF_CONFIG: expected a free port for this worker, got {error.message}") from error
    n_local = len(strategy.experimental_local_results(tf.constant(0)))
    if n_local > 1:
        raise ValueError(f"expected one GPU for each worker, got {n_local}; set CUDA_VISIBLE_DEVICES of each to one")
    return strategy


@contextlib.contextmanager
def loss_of_another() -> Iterator[None]:
    """Raise RuntimeError where TensorFlow's error says that another worker has ended."""
    lost = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError
    try:
        yield
    except lost as error:
        reason = next((line for line in error.message.splitlines() if "aborted by" in line), type(error).__name__)
        raise RuntimeError(f"worker {number()} stops, as another worker has ended ({reason})") from error


def n_workers() -> int:
    """Return the number of workers that train together, 1 outside a strategy over workers."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    return resolver.cluster_spec().num_tasks("worker") + _n_chiefs(resolver) if resolver else 1


def number() -> int:
    """Return this worker's number, from 0."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    return resolver.task_id + (_n_chiefs(resolver) if resolver.task_type == "worker" else 0) if resolver else 0


def _n_chiefs(resolver: Any) -> int:
    return int("chief" in resolver.cluster_spec().jobs)


def of_first(make: Callable[[], Any]) -> Any:
    """Return what `make` returns on the first worker, an array or JSON; the others do not call it, but wait."""
    if n_workers() == 1:
        return make()
    value = make() if number() == 0 else None
    is_array = bool(_sum(np.array([isinstance(value, np.ndarray)], np.int32))[0])
    buffer = io.BytesIO()
    if number() == 0:
        np.save(buffer, np.asarray(value if is_array else json.dumps(value)), allow_pickle=False)
    size = int(_sum(np.array([len(buffer.getvalue())], np.int32))[0])
    words = np.zeros(-(-size // 4), np.int32)
    words.view(np.uint8)[: len(buffer.getvalue())] = np.frombuffer(buffer.getvalue(), np.uint8)
    found = np.load(io.BytesIO(_sum(words).tobytes()[:size]), allow_pickle=False)
    return found if is_array else json.loads(str(found))


def copy_from_first(tables: Sequence[tf.Variable]) -> None:
    """Give the tables of all workers the values that they have on the first one."""
    if n_workers() == 1:
        return
    for table in map(_own, tables):
        for start in range(0, table.shape[0], ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, table.shape[0]))
            values = tf.gather(table, rows).numpy()
            words = values.view(np.int32).ravel() if number() == 0 else np.zeros(values.size, np.int32)
            table.scatter_update(tf.IndexedSlices(_sum(words).view(np.float32).reshape(values.shape), rows))


def check_equal(tables: Sequence[tf.Variable]) -> None:
    """Raise RuntimeError unless the tables of all workers are equal in every bit."""
    if n_workers() == 1:
        return
    digest = hashlib.sha256()
    for table in map(_own, tables):
        digest.update(np.ascontiguousarray(table.numpy()).data)
    digests = np.zeros((n_workers(), 8), np.int32)
    digests[number()] = np.frombuffer(digest.digest(), np.int32)
    found = _sum(digests.ravel()).reshape(digests.shape)
    if different := np.flatnonzero((found != found[0]).any(axis=1)).tolist():
        raise RuntimeError(f"expected equal vectors on all workers, got others on workers {different} than on 0")


def same_inputs(inputs: dict[str, Any], checkpoint: str) -> dict[str, Any]:
    """Return the first worker's inputs of a training.

    Raises ValueError if this worker has other data, code or settings, or sees another checkpoint, given by its SHA-256.
    """
    first = of_first(lambda: [inputs, checkpoint])
    different = dict.fromkeys(what for name, what in SAME.items() if inputs[name] != first[0][name])
    if different:
        expected = f"the same {' and '.join(different)} as on worker 0"
        raise ValueError(f"worker {number()}: expected {expected}, got others; all must see one project folder")
    if checkpoint != first[1]:
        raise ValueError(f"worker {number()}: expected the checkpoint that worker 0 sees; share the folder data/runs")
    return first[0]


def validation_ndcg(scorer: Scorer, split: Split) -> float:
    """Return `evaluate.validation_ndcg` of the first worker."""
    return of_first(lambda: own_ndcg(scorer, split))


def validation_ndcg_by_user(scorer: Scorer, split: Split) -> np.ndarray:
    """Return `evaluate.validation_ndcg_by_user` of the first worker."""
    return of_first(lambda: own_ndcg_by_user(scorer, split))


def _own(table: tf.Variable) -> tf.Variable:
    return tf.distribute.get_strategy().experimental_local_results(table)[0]


def _sum(values: np.ndarray) -> np.ndarray:
    """Return the sum of the workers' values: int32 (n,)."""
    return _summation(tf.distribute.get_strategy())(tf.constant(values)).numpy()


@functools.cache
def _summation(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    def over_workers(values):
        return strategy.reduce("sum", strategy.run(tf.identity, (values,)), axis=None)

    return graph(over_workers, [tf.TensorSpec((None,), tf.int32)])
