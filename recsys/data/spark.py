"""Spark at work: the tables of an Engine that are large stay there; text, JSON and zips are read by DuckDB.

A table that was read by DuckDB goes to Spark when it is stored. Everything else is the same in both engines.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import ibis.expr.operations as ops
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.schema import Schema
from ibis.expr.types import Table

from recsys.data.engine import Engine, start_engine
from recsys.data.errors import DataError
from recsys.data.readers.files import File
from recsys.data.spark_sql import HALF, connect

MASTER = "SPARK_MASTER"  # the variable of the environment that names the cluster
ROW_GROUP = 122_880  # rows, as DuckDB writes them
NEEDED = "ENGINE=spark: expected PySpark 4.0 and Java 17 or later, got {}; `make spark` says what is missing"


@dataclass(frozen=True, eq=False)
class Remote(File):
    """What only Spark reads: an address such as s3a://bucket/listens, or a table of its catalogue."""

    address: str = ""
    parts: tuple[tuple[str, int, int], ...] = ()  # the address, bytes and time of each file

    @property
    def name(self) -> str:
        """The address."""
        return self.address

    def place(self, home: Path) -> str:
        """Return the address."""
        return self.address

    def stamp(self) -> list[tuple[str, int, int]]:
        """Return what changes if a file does."""
        return list(self.parts)

    def described(self, name: str) -> list[dict[str, Any]]:
        """Return the name and size of each file. They are too large and too far away for a hash."""
        several = len(self.parts) > 1
        return [
            {"name": f"{name}, {PurePosixPath(part).name}" if several else name, "bytes": size, "sha256": ""}
            for part, size, _ in self.parts
        ]


@dataclass
class SparkEngine(Engine):
    """An engine whose stored tables are on Spark. Its `connection` to DuckDB reads text and JSON."""

    spark: Any = None
    frames: dict[Path, Any] = field(default_factory=dict)  # those of remote files

    @property
    def session(self) -> Any:
        """The Spark session."""
        return self.spark._session

    def make_room(self, n_rows: int) -> None:
        """Do nothing: Spark has its own settings for memory."""

    def read_parquet(self, *paths: Path, **options: Any) -> Table:
        """Open Parquet files, and remote ones whatever they are, on Spark."""
        from pyspark.sql.functions import col, lit, regexp_replace

        name = options.get("filename")
        with explained():
            if paths[0] in self.frames:
                frame = self.frames[paths[0]]
                return self._view(frame.withColumn(name, lit(str(paths[0]))) if name else frame)
            frame = self.session.read.parquet(*map(str, paths))
            if name:
                frame = frame.select("*", regexp_replace(col("_metadata.file_path"), "^file:(//)?", "").alias(name))
            return self._view(frame)

    def open_address(self, address: str) -> list[File]:
        """Find the files of an address or of a table. Raises DataError if Spark does not."""
        with explained():
            if "://" not in address:
                if not self.session.catalog.tableExists(address):
                    expected = "expected a file, a folder or a pattern, or a table of Spark's catalogue"
                    raise DataError(f"DATA_PATH: {expected}, got {str(address)!r}, which is none")
                frame = self.session.table(address)
            elif address.rstrip("/").endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
                separator = "\t" if ".tsv" in address else ","
                strict = self.session.read.option("columnPruning", "false").option("mode", "FAILFAST")
                frame = strict.csv(address, sep=separator, header=True, quote='"', escape='"', multiLine=True)
            else:
                frame = self.session.read.parquet(address)
            parts = tuple(sorted(self._stamp(each) for each in frame.inputFiles()))
        if not parts:
            raise DataError(f"DATA_PATH: expected a table that is stored in files, got {str(address)!r}")
        opened = self.new_path()
        self.frames[opened] = frame
        names, inside = tuple(frame.columns), PurePosixPath(address)
        return [Remote(Path(address), inside, opened, is_parquet=True, names=names, address=str(address), parts=parts)]

    def _stamp(self, uri: str) -> tuple[str, int, int]:
        """Return the address, the bytes and the time of a file that Hadoop's file systems know."""
        context = self.session.sparkContext
        path = context._jvm.org.apache.hadoop.fs.Path(context._jvm.java.net.URI(uri))
        status = path.getFileSystem(context._jsc.hadoopConfiguration()).getFileStatus(path)
        return uri, status.getLen(), status.getModificationTime()

    def store(self, table: Table) -> Table:
        """Compute a table and keep it on the workers: later queries start from it."""
        schema = table.schema()
        sources = {id(each): each for each in table._find_backends()[0]}
        if len(sources) > 1:
            raise DataError(
                "DATA_PATH: expected Parquet files or text files, got both; with ENGINE=spark, use one kind"
            )
        with explained():
            if next(iter(sources.values())) is self.connection:
                path = self.new_path(".parquet")
                table.to_parquet(path)
                return self._view(self._signed(self.session.read.parquet(str(path)), schema), schema)
            frame = self.spark.frame(table)
            kept = frame.checkpoint() if self.session.sparkContext.getCheckpointDir() else frame.localCheckpoint()
            return self._view(kept, schema)

    def _signed(self, frame: Any, schema: Schema) -> Any:
        """Return the rows of a file with unsigned numbers as `spark_sql` holds them."""
        from pyspark.sql.functions import expr

        unsigned = {name for name, type_ in schema.items() if type_.is_unsigned_integer() and type_.nbytes == 8}
        return frame.select(*(
            expr(f"CAST(`{name}` - {HALF} AS BIGINT)").alias(name) if name in unsigned else f"`{name}`"
            for name in frame.columns
        ))  # fmt: skip

    def _view(self, frame: Any, schema: Schema | None = None) -> Table:
        """Return a frame as a table of Ibis; `schema` has the types that Spark lacks."""
        name = f"table_{next(self.numbers)}"
        frame.createOrReplaceTempView(name)
        found = self.spark.table(name)
        if schema is None:
            return found
        return ops.DatabaseTable(name=name, schema=schema, source=self.spark, namespace=found.op().namespace).to_expr()

    def write(self, table: Table, path: Path) -> None:
        """Write a table to one Parquet file, in its order. The rows come here one partition at a time."""

        def as_bytes(batches):
            for batch in batches:
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, batch.schema) as stream:
                    stream.write_batch(batch)
                yield pa.RecordBatch.from_pydict({"piece": [sink.getvalue().to_pybytes()]})

        schema = table.schema().to_pyarrow()
        with explained(), pq.ParquetWriter(path, schema) as file:
            waiting: list[pa.Table] = []
            for row in self.spark.frame(table).mapInArrow(as_bytes, "piece binary").toLocalIterator():
                waiting.append(pa.ipc.open_stream(row.piece).read_all().cast(schema))
                if sum(map(len, waiting)) >= ROW_GROUP:
                    file.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting:
                file.write_table(pa.concat_tables(waiting))


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise DataError, with the line of what Spark says that gives the reason, where Spark fails."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise DataError(f"Spark: {_reason(error)}") from error


def _reason(error: Any) -> str:
    """Return the first line of the first cause or, if that is an error of Python, the last line of its traceback."""
    cause = getattr(error, "java_exception", None)
    while cause is not None and cause.getCause() is not None:
        cause = cause.getCause()
    text = str(error if cause is None else cause.toString())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "\t"))]
    return lines[-1 if "Traceback" in text else 0]


@contextlib.contextmanager
def spark_session() -> Iterator[Any]:
    """Yield a Spark session of our own: of the application that runs, or of one that is stopped at the end.

    The cluster is that of SPARK_MASTER or of Spark's own settings, otherwise this machine. Raises DataError without
    PySpark or Java.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise DataError(NEEDED.format("no PySpark")) from error
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers need the same packages
    running = SparkSession.getActiveSession()
    builder = SparkSession.builder.appName("recsys").config("spark.ui.showConsoleProgress", "false")
    if master := os.environ.get(MASTER):
        builder = builder.master(master)
    try:
        session = running or builder.getOrCreate()
    except PySparkException as error:
        raise DataError(NEEDED.format(f"the error {str(error).splitlines()[0]}")) from error
    if not running:
        session.sparkContext.setLogLevel("ERROR")
    own = session.newSession()
    own.conf.set("spark.sql.ansi.enabled", "false")  # what cannot be read is null
    own.conf.set("spark.sql.caseSensitive", "true")
    try:
        yield own
    finally:
        if not running:
            session.stop()


@contextlib.contextmanager
def start_spark(scratch: Path, raw: Path | None = None) -> Iterator[SparkEngine]:
    """Yield an engine on Spark that works in the folder `scratch`. Raises DataError without PySpark or Java."""
    with spark_session() as session, start_engine(scratch, raw) as duck:
        yield SparkEngine(duck.connection, duck.scratch, duck.raw, spark=connect(session))
