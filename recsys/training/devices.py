"""The devices of a training, and what each replica of a `tf.distribute` strategy holds and works on."""

import functools
import os

import tensorflow as tf


def device() -> str:
    """Name the device that TensorFlow trains on: the first GPU, or the CPU with its number of cores."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU ({tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)})"
    return f"CPU ({os.cpu_count()} cores)"


@functools.cache  # a second one would mistake the first one's messages for its own
def _mirrored() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy()


def strategy() -> tf.distribute.Strategy:
    """Return the strategy that the caller is in, or one over all GPUs where there are several."""
    several = len(tf.config.list_physical_devices("GPU")) > 1 and not tf.distribute.has_strategy()
    return _mirrored() if several else tf.distribute.get_strategy()


def set_up(precision: str, xla: bool, deterministic: bool) -> bool:
    """Set what holds for the whole process, and return whether XLA may be used: a GPU has it or equal bits."""
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    if not (deterministic and tf.config.list_physical_devices("GPU")):
        return xla
    tf.config.experimental.enable_op_determinism()
    return False


def local(variable: tf.Variable) -> tf.Variable:
    """Return the copy of a variable that belongs to the replica that asks."""
    return tf.distribute.get_strategy().experimental_local_results(variable)[replica()]


def replica() -> int:
    """Return the number of the replica that asks; 0 where there is one."""
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(number if isinstance(number, int) else tf.get_static_value(number))


def share(rows: tf.Tensor) -> tf.Tensor:
    """Return those rows of a batch that the replica that asks works on."""
    return rows[replica() :: n_replicas()] if n_replicas() > 1 else rows


def share_of_users(users: tf.Tensor, rows: tf.Tensor, *of_rows: tf.Tensor) -> list[tf.Tensor]:
    """Return the replica's share of a batch of users, of `rows`, each one's place among them, and of what is by row."""
    n = n_replicas()
    if n == 1:
        return [users, rows, *of_rows]
    own = rows % n == replica()
    return [share(users), *(tf.boolean_mask(each, own) for each in (rows // n, *of_rows))]


def over_replicas(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """Return the sum of a gradient over all replicas."""
    return tf.distribute.get_replica_context().all_reduce("sum", gradient) if n_replicas() > 1 else gradient


def n_replicas() -> int:
    """Return how many replicas there are."""
    return tf.distribute.get_strategy().num_replicas_in_sync
