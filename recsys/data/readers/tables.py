"""Tables of files: text with a separator, JSON and Parquet, opened so that every value stays as it is written."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.dialect import UNKNOWN, Dialect, Form, as_utf8, find_dialect, find_names
from recsys.data.readers.files import PIECE, File

FILE = "file of this row"  # the column with the safe name of each row's file
NO_SEPARATOR = "\x1c\x1d\x1e\x1f"  # which no line has
N_OBJECTS = 1_000  # JSON objects that are read to find the names of the columns
JSON = (".json", ".jsonl", ".ndjson", ".listens")  # the last is that of ListenBrainz' dumps


@dataclass(frozen=True, eq=False)
class Opened:
    """Files of one form as one table. The values of text files are text; the columns have the names that were wanted.

    `dialect` is how text files are read, None for Parquet and JSON; `end` is what whole files must end with.
    """

    files: tuple[File, ...]
    table: Table
    dialect: Dialect | None = None
    end: bytes = b""

    @property
    def is_parquet(self) -> bool:
        """Whether the files are Parquet: their columns can be read several times at little cost."""
        return self.files[0].is_parquet

    def by_file(self, values: Mapping[File, str]) -> Column:
        """Return a column with a value for each file, such as the person whose file it is."""
        numbers = {int(file.opened.name): values[file] for file in self.files}
        first = min(numbers)
        by_number = ibis.array([numbers.get(number, "") for number in range(first, max(numbers) + 1)])
        return by_number[self.table[FILE].right(8).cast("int64") - first]

    def with_columns(self, **columns: Column) -> "Opened":
        """Return the same files with more columns, or other ones under the same names in upper or lower case."""
        lower = {name.lower() for name in columns}
        others = [name for name in self.table.columns if name.lower() not in lower]
        return dataclasses.replace(self, table=self.table.select(*others, **columns))


def open_tables(
    engine: Engine, files: Iterable[File], wanted: Sequence[str] = (), optional: Sequence[str] = (),
    form: Form = UNKNOWN, types: Mapping[str, str] | None = None, hint: str = "",
) -> list[Opened]:  # fmt: skip
    """Open the files: one table for those that are written alike. No rows are read yet, only headers.

    Every file must have the columns `wanted`; those of `optional` are looked for. A column is found by its name or, if
    only one is like it, by its name in another case or with spaces around it. `types` gives DuckDB's types for values
    of JSON that are no text, such as `STRUCT(artist VARCHAR)`; a column that has one may be missing. Raises DataError,
    whose message ends with `hint`, for a file that is no such table.
    """
    alike: dict[tuple, list[File]] = {}
    for file in files:
        if file.is_parquet:
            key: tuple = ("parquet", *_columns(file))
        elif file.suffix in JSON:
            key = ("json", *_json_form(file, types or {}))
        else:
            file = as_utf8(engine, file, form.encoding)
            key = ("text", find_dialect(file, wanted, form, hint), file.compression)
        alike.setdefault(key, []).append(file)
    opened = []
    for (kind, *facts), group in alike.items():
        dialect = facts[0] if kind == "text" else None
        names = list(dialect.names if dialect else facts[0] if kind == "parquet" else facts[1])
        _check_names(group[0], names, wanted, hint)
        try:
            table = READ[kind](engine, group, *facts)
        except duckdb.Error as error:
            text = str(error).splitlines()[0].replace(str(group[0].opened), group[0].name)
            raise DataError(f"{group[0].name}: expected a table, got: {text}") from error
        found = find_names([*wanted, *optional], names)
        for name, actual in found.items():
            if name != actual:
                engine.decide(f"The column {actual!r} is read as {name!r}.")
        renamed = {actual: name for name, actual in found.items()}
        columns = {renamed.get(name, name): table[name] for name in names}
        table = table.select(**columns, **{FILE: table[FILE]})
        end = b"]" if kind == "json" and facts[0] == "array" else b""
        opened.append(Opened(tuple(group), table, dialect, end))
    return opened


def open_lines(engine: Engine, file: File, encoding: str = "") -> Opened:
    """Open a text file as a table of its lines, in the column `text`: every character stays as it is.

    Where lines end with CR and LF, none may end with CR alone, as DuckDB would lose characters after it.
    """
    file = as_utf8(engine, file, encoding)
    table = engine.connection.read_csv(
        [str(file.opened)], columns={"text": "VARCHAR"}, header=False, delim=NO_SEPARATOR, quote="", escape="",
        auto_detect=False, strict_mode=_has_lone_cr(file), compression=file.compression or "none",
        hive_partitioning=False,
    )  # fmt: skip
    return Opened((file,), table)


def _has_lone_cr(file: File) -> bool:
    """Return whether the first line ends with CR and LF, and another with CR alone."""
    with file.stream() as stream:
        if not (piece := stream.readline(PIECE)).endswith(b"\r\n"):
            return False
        n_lone = 0
        while piece := stream.read(PIECE) + stream.readline():  # whole lines, so that no CR is parted from its LF
            n_lone += piece.count(b"\r") - piece.count(b"\r\n")
    return n_lone > 0


def _check_names(file: File, names: Sequence[str], wanted: Sequence[str], hint: str) -> None:
    arrived = f"got {', '.join(map(repr, names))}"
    if len({name.lower() for name in (*names, FILE)}) <= len(names):
        raise DataError(f"{file.name}: expected column names that differ by more than upper and lower case, {arrived}")
    for name in wanted:
        if not find_names([name], names):
            message = f"{file.name}: expected a column {name!r}, {arrived}{f'; {hint}' if hint else ''}"
            raise DataError(message, inspect_helps=True)


def _read_text(engine: Engine, files: Sequence[File], dialect: Dialect, compression: str) -> Table:
    codes = [f"c{number}" for number in range(len(dialect.names))]  # a name in a header may hold any character
    table = engine.connection.read_csv(
        [str(file.opened) for file in files], columns=dict.fromkeys(codes, "VARCHAR"), header=dialect.has_header,
        skip=dialect.skip, delim=dialect.separator, quote=dialect.quote, escape=dialect.quote, auto_detect=False,
        strict_mode=True, compression=compression or "none", hive_partitioning=False, filename=FILE,
    )  # fmt: skip
    return table.select(**dict(zip(dialect.names, (table[code] for code in codes), strict=True)), **{FILE: table[FILE]})


def _read_parquet(engine: Engine, files: Sequence[File], *_: object) -> Table:
    return engine.read_parquet(*(file.opened for file in files), filename=FILE)


def _read_json(engine: Engine, files: Sequence[File], layout: str, names: tuple[str, ...],
               types: tuple[tuple[str, str], ...], compression: str) -> Table:  # fmt: skip
    columns = dict.fromkeys(names, "VARCHAR") | dict(types)
    return engine.connection.read_json(
        [str(file.opened) for file in files], columns=columns, format=layout, filename=FILE,
        compression=compression or "uncompressed",
    )  # fmt: skip


READ: dict[str, Callable[..., Table]] = {"text": _read_text, "json": _read_json, "parquet": _read_parquet}


def _columns(file: File) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and types of a Parquet file, or the names alone of what only the engine opens."""
    if file.names:
        return file.names, ()
    try:
        schema = pq.read_schema(file.opened)
        return tuple(schema.names), tuple(map(str, schema.types))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: expected a complete Parquet file, got one that cannot be read") from error


def _json_form(file: File, types: Mapping[str, str]) -> tuple[str, tuple[str, ...], tuple, str]:
    """Return how a JSON file is laid out, its names, those with a type, and its compression."""
    with file.stream() as stream:
        sample = stream.read(2**22)
    try:
        text = sample.decode("utf-8-sig", errors="ignore").lstrip()
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: expected JSON in UTF-8, got other bytes") from error
    if text[:1] not in ("[", "{"):
        raise DataError(f"{file.name}: expected JSON, a list of objects or an object a line, got {text[:60]!r}")
    layout = "array" if text.startswith("[") else "newline_delimited"
    names: dict[str, None] = dict.fromkeys(types)
    decoder, position = json.JSONDecoder(), int(layout == "array")
    for number in range(N_OBJECTS):
        while position < len(text) and text[position] in ", \t\r\n":
            position += 1
        if position >= len(text) or text[position] == "]":
            break
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            if number:  # the sample ends within an object; DuckDB reports what is wrong after it
                break
            expected = "expected JSON, a list of objects or an object a line"
            raise DataError(f"{file.name}: {expected}, got {error}") from error
        if not isinstance(value, dict):
            raise DataError(f"{file.name}: expected JSON objects, got {str(value)[:60]!r}")
        if layout != "array" and "\n" in text[position:end].strip():
            layout = "unstructured"
        names |= dict.fromkeys(value)
        position = end
    if not names:
        raise DataError(f"{file.name}: expected JSON objects with named values, got an empty list")
    return layout, tuple(names), tuple(types.items()), file.compression
