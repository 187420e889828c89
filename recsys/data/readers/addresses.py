"""What DATA_PATH names: a path of this machine, or an address or a table that only Spark reads."""

import os
import re
from pathlib import Path

from recsys.data.errors import DataError

DATA_SETS = ("30music", "csv", "dsg17", "yambda")  # a table with a row for each listen, whatever it is stored as


class Address(str):
    """An address with a scheme, such as s3a://bucket/listens, or the name of a table such as logs.listens."""


def locate(text: Path | str, engine: str, root: Path = Path()) -> Path | Address:
    """Return the path or address that is meant; a relative path starts at `root`.

    With the engine `spark`, a name that no file or folder has is that of a table.
    """
    if isinstance(text, Address):
        return text
    if re.match(r"[A-Za-z][\w+.-]+://", str(text)):
        return Address(text)
    path = Path(os.path.normpath(root / text))  # as the user sees it: /tmp/x, not /tmp/project/../x
    is_name = re.fullmatch(r"\w+(\.\w+){0,2}", str(text), re.ASCII)
    return Address(text) if engine == "spark" and is_name and not path.exists() else path


def nothing_there(path: Path | str) -> DataError:
    """Return the error of a path without a file or folder."""
    return DataError(f"DATA_PATH: expected a file or a folder at {path}, got nothing there")


def is_missing(place: Path | Address) -> bool:
    """Return whether a path has no file or folder. What an address or a pattern names is not looked up."""
    return isinstance(place, Path) and not place.exists() and not {"*", "?"} & {*str(place)}


def as_typed(text: Path | str, root: Path) -> str:
    """Return a path as users type it: as it is, but from the file system's top where it leads out of `root`."""
    return os.path.normpath(root / text) if str(text).startswith(os.pardir) else str(text)
