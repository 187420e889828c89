"""Checkpoints of a training: facts and arrays in one file, without pickles, written completely or not at all."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from recsys.runs import write_atomically

FACTS = "facts"  # name of the array that holds the facts as JSON


def write(path: Path, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write facts (any JSON) and arrays; an earlier checkpoint is replaced."""
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with write_atomically(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{FACTS: text})


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts and arrays of a checkpoint; empty ones if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(arrays.pop(FACTS).tobytes()), arrays
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return {}, {}
