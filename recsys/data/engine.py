"""DuckDB at work: one connection, a scratch folder whose name is safe, and what was decided while reading.

DuckDB takes `*`, `?` and `[` in a path for a pattern, and `user=5` for a column. It therefore gets only names without
such characters: a symbolic link leads to each file and folder of the user.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import psutil
from ibis import BaseBackend
from ibis.expr.types import Table

from recsys.data.errors import DataError
from recsys.files import temporary_folder

if TYPE_CHECKING:
    from recsys.data.readers.files import File

MEMORY = 10**9  # bytes; what does not fit is spilled to disk
THREADS = min(4, os.cpu_count() or 1)
BYTES_PER_ROW = 20  # of memory for groups of rows: about 10 are too few, as DuckDB cannot spill all that it needs
MOST_OF_FREE = 0.8  # of the memory that is free on this machine
SAFE = re.compile(r"[\w./-]+", re.ASCII)


@dataclass(frozen=True)
class DataWarning:
    """What looks odd and may be real: a sentence for the first page, and how many rows, ids or users it is about."""

    sentence: str
    count: int


@dataclass
class Engine:
    """A connection to DuckDB, its scratch folder, the folder of generated files, its bytes of memory, readers' notes.

    `decisions` are sentences on what a reader found by itself, such as the separator or the unit of the times.
    """

    connection: BaseBackend
    scratch: Path
    raw: Path
    memory: int = MEMORY
    decisions: list[str] = field(default_factory=list)
    warnings: list[DataWarning] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def decide(self, sentence: str) -> None:
        """Note a decision, once."""
        if sentence not in self.decisions:
            self.decisions.append(sentence)

    def warn(self, sentence: str, count: int) -> None:
        """Note a warning, unless its count is 0."""
        if count:
            self.warnings.append(DataWarning(sentence, count))

    def new_path(self, suffix: str = "") -> Path:
        """Return the path of a scratch file that does not exist yet."""
        return self.scratch / f"{next(self.numbers):08}{suffix}"

    def link(self, path: Path) -> Path:
        """Return a safe name for a file: a symbolic link in the scratch folder."""
        link = self.new_path()
        link.symlink_to(path.resolve())
        return link

    def open_address(self, address: str) -> "list[File]":
        """Raise DataError: only Spark reads what is not on this machine."""
        raise DataError(f"DATA_PATH: expected a file or folder of this machine, got {address}; set ENGINE=spark")

    def make_room(self, n_rows: int) -> None:
        """Let DuckDB use more memory if there are very many rows."""
        wanted = min(BYTES_PER_ROW * n_rows, MOST_OF_FREE * psutil.virtual_memory().available)
        if wanted > self.memory:
            self.connection.raw_sql(f"SET memory_limit = '{wanted / 1e6:.0f}MB'")

    def read_parquet(self, *paths: Path, **options: object) -> Table:
        """Open Parquet files by their safe names."""
        return self.connection.read_parquet([str(path) for path in paths], hive_partitioning=False, **options)

    def store(self, table: Table) -> Table:
        """Write a table to a scratch file and open it: later queries start from the file."""
        path = self.new_path(".parquet")
        table.to_parquet(path)
        return self.read_parquet(path)

    def write(self, table: Table, path: Path) -> None:
        """Write a table to one Parquet file, in its order."""
        table.to_parquet(path)


@contextlib.contextmanager
def safe_name(folder: Path) -> Iterator[Path]:
    """Yield the folder under a name that DuckDB cannot misread: its own, or that of a temporary symbolic link."""
    folder = folder.resolve()
    if SAFE.fullmatch(str(folder)):
        yield folder
        return
    with temporary_folder() as temporary:
        if not SAFE.fullmatch(str(temporary)):
            expected = "a folder named with letters, digits and ./_- only"
            raise DataError(f"TMPDIR: expected {expected}, got {str(temporary)!r}")
        link = temporary / "folder"
        link.symlink_to(folder, target_is_directory=True)
        yield link


@contextlib.contextmanager
def start_engine(
    scratch: Path, raw: Path | None = None, memory: int = MEMORY, threads: int = 0
) -> Iterator[Engine]:  # fmt: skip
    """Yield an engine that works in the folder `scratch`, which must exist, with so much memory, in bytes.

    With threads=0 it uses up to 4. Raises DataError if the memory is not enough.
    """
    with safe_name(scratch) as folder:
        limits: dict[str, Any] = {"memory_limit": f"{memory}B", "threads": threads or THREADS}
        connection = ibis.duckdb.connect(temp_directory=str(folder / "spill"), **limits)
        connection.raw_sql("SET enable_progress_bar = false")  # in a notebook it would print a widget's name
        try:
            yield Engine(connection, folder, raw or scratch, memory)
        except duckdb.OutOfMemoryException as error:
            remedy = "set USER_FRACTION=0.1 to keep a tenth of the users, or prepare on a cluster with ENGINE=spark"
            expected = "expected enough memory to prepare all rows"
            raise DataError(f"{expected}, got DuckDB's error: {str(error).splitlines()[0]}; {remedy}") from error
        finally:
            connection.disconnect()
