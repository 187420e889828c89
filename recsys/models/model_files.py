"""Reads a `.keras` file as data, ids and vectors: Keras' own loader can run code, read other files, fill the memory."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

REGISTERED = "recsys>SimpleRecommender"  # the class of a model in its file
MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]
TYPES = {"user_ids": str, "item_ids": str, "length_of_embedding": int, "similarity": str, "seed": int, "name": str}
TABLES = ("vars/0", "vars/1")  # of users and of songs


def read_model(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return the arguments that make the model, and its two tables of vectors: float32 (n, dim).

    Raises ValueError for anything that `Embeddings.write` does not write.
    """
    where = f"{path.parent.name}/{path.name}"
    try:
        with zipfile.ZipFile(path) as archive:
            config, weights = _members(archive)
        arguments = _arguments(json.loads(config))
        with h5py.File(io.BytesIO(weights)) as file:
            sizes = [len(arguments["user_ids"]), len(arguments["item_ids"])]
            shapes = [(n, arguments["length_of_embedding"]) for n in sizes]
            return arguments, [_table(file, name, shape) for name, shape in zip(TABLES, shapes, strict=True)]
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, RecursionError, zipfile.BadZipFile) as error:
        raise ValueError(f"{where}: expected a model of this project, got {error}; train it again") from error


def _members(archive: zipfile.ZipFile) -> tuple[bytes, bytes]:
    names = sorted(each.filename for each in archive.infolist())
    if names != MEMBERS:
        raise ValueError(f"the files {', '.join(names[:5])}")
    if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
        raise ValueError("compressed files")
    return archive.read("config.json"), archive.read("model.weights.h5")


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    if (kind := config["registered_name"]) != REGISTERED:
        raise ValueError(f"a model of the class {kind!r}")
    arguments = config["config"]
    if {name: type(value) for name, value in arguments.items()} != TYPES or config.get("compile_config"):
        raise ValueError(f"the settings {', '.join(arguments)}")
    ids = {name: json.loads(arguments[name]) for name in ("user_ids", "item_ids")}
    if any({*map(type, each)} not in ({int}, {str}) for each in ids.values()):
        raise ValueError("ids that are neither whole numbers nor text")
    return arguments | ids


def _table(file: h5py.File, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Return a table that lies in this file, as it is: nothing linked, nothing computed, no size without its bytes."""
    group, _, member = name.partition("/")
    links = [file.get(group, getlink=True), file[group].get(member, getlink=True)]
    if any(type(link) is not h5py.HardLink for link in links):
        raise ValueError("a link to another file")
    table = file[name]
    if table.external or table.is_virtual or table.compression or table.dtype != np.float32:
        raise ValueError(f"vectors of another kind, {table.dtype}")
    if table.shape != shape or table.id.get_storage_size() != 4 * shape[0] * shape[1]:
        raise ValueError(f"vectors {table.shape} in {table.id.get_storage_size()} bytes, for ids and length {shape}")
    return table[()]
