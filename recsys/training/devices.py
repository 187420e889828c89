"""The devices of a training, and a replica's share of the work under a `tf.distribute` strategy."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def device() -> str:
    """Return the name of the device that TensorFlow trains on: the first GPU, or the CPU with its number of cores."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU ({tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)})"
    return f"CPU ({os.cpu_count()} cores)"


@functools.cache  # only one: two strategies in a process mix up their messages
def _mirrored_strategy() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy()


def choose_strategy() -> tf.distribute.Strategy:
    """Return the strategy in whose scope the caller is; outside any, one over all GPUs if there are several."""
    several = len(tf.config.list_physical_devices("GPU")) > 1 and not tf.distribute.has_strategy()
    return _mirrored_strategy() if several else tf.distribute.get_strategy()


def configure(precision: str, xla: bool, deterministic: bool) -> bool:
    """Set TensorFlow's options for the whole process, and return whether to use XLA, which varies on a GPU."""
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    if not (deterministic and tf.config.list_physical_devices("GPU")):
        return xla
    tf.config.experimental.enable_op_determinism()
    return False


def graph(function: Callable, signature: Sequence[Any] | None = None, xla: bool = False) -> Callable:
    """Return a function that runs as a graph. AutoGraph is off: its translations take a fifth of a training's start."""
    return tf.function(function, signature, jit_compile=xla, autograph=False)


def compiled(function: Callable, xla: bool) -> Callable:
    """Return a part of a graph that is compiled with XLA; without `xla`, the function as it is."""
    return graph(function, xla=True) if xla else function


def n_replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica() -> int:
    """Return the number, from 0, of the replica whose code calls this."""
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(number if isinstance(number, int) else tf.get_static_value(number))


def local(variable: tf.Variable) -> tf.Variable:
    """Return the replica's copy of a variable."""
    copies = tf.distribute.get_strategy().experimental_local_results(variable)
    return copies[replica() % len(copies)]  # another worker's copies are not here


def share(rows: tf.Tensor) -> tf.Tensor:
    """Return the replica's share of the rows of a batch."""
    return rows[replica() :: n_replicas()] if n_replicas() > 1 else rows


def share_of_users(users: tf.Tensor, rows: tf.Tensor, *by_row: tf.Tensor) -> list[tf.Tensor]:
    """Return the replica's share of a batch of users, of their positives' `rows` in the batch (n,), and of `by_row`."""
    if (n := n_replicas()) == 1:
        return [users, rows, *by_row]
    own = rows % n == replica()
    return [share(users), *(tf.boolean_mask(each, own) for each in (rows // n, *by_row))]


def over_replicas(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """Return the sum of a gradient over all replicas."""
    return tf.distribute.get_replica_context().all_reduce("sum", gradient) if n_replicas() > 1 else gradient
