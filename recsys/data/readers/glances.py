"""What a path holds, seen from outside: the names of its files, and how the first of them begin. No rows are read."""

import codecs
import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.dialect import BOMS, SAMPLE, find_names
from recsys.data.readers.files import File, find_files
from recsys.data.readers.options import Options
from recsys.data.readers.tables import JSON

TABLES = ("*.csv", "*.tsv", "*.txt", "*.dat", "*.parquet", "*.json", "*.jsonl", "*.ndjson", "*.listens")
SEPARATORS = (",", "\t", ";", "|", "::")
WRITTEN = {"tab": "\t", "\\t": "\t"}  # how a user may write a tab
N_FILES = 40  # files that are opened; files whose names differ by digits only count as one
N_ROWS = 20


@dataclass(frozen=True)
class Glance:
    """The start of one file. `columns` and `rows` are those of the likeliest table, empty if the file is none.

    `lines` are the first lines of a text file, `kind` is "text", "json" or "parquet", `others` are the columns that
    other separators lead to.
    """

    file: File
    kind: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    separator: str = ""
    others: tuple[tuple[str, ...], ...] = ()

    @property
    def base(self) -> str:
        """The file's name without folders and without the suffix of its compression, in lower case."""
        return re.sub(r"\.(gz|zst)$", "", self.file.inside.name.lower())

    def has_columns(self, names: tuple[str, ...]) -> bool:
        """Whether the file has a header with these names, and possibly others."""
        return any(len(find_names(names, each)) == len(names) for each in (self.columns, *self.others))

    @property
    def has_header(self) -> bool:
        """Whether the first line of a text file looks like names: all different, and none a number or a time."""
        names = [name.strip() for name in self.columns]
        return all(names) and len({*names}) == len(names) and not any(re.match(r"[-+]?\d", each) for each in names)


@contextmanager
def glance_at(engine: Engine, path: Path, options: Options) -> Iterator[list[Glance]]:
    """Yield a glance at each file of the path. What a zip holds is extracted while the block runs.

    Files whose names differ by digits only are alike: the first of them is opened. Raises DataError if there is no file
    that could be a table.
    """
    scratch = engine.new_path()
    scratch.mkdir()
    try:
        files = find_files(dataclasses.replace(engine, scratch=scratch), path, TABLES)
        seen: set[str] = set()
        glances = []
        for file in files:
            sort = re.sub(r"\d+", "0", file.inside.name)
            glances.append(_look(file, options) if sort not in seen and len(seen) < N_FILES else Glance(file, ""))
            seen.add(sort)
        yield glances
    finally:
        shutil.rmtree(scratch)


def _look(file: File, options: Options) -> Glance:
    if file.names:
        return Glance(file, "parquet", file.names)
    if file.is_parquet:
        return _look_at_parquet(file)
    with file.stream() as stream:
        sample = stream.read(SAMPLE)
    if sample[257:262] == b"ustar":
        raise DataError(f"{file.name}: expected a table, or a zip of tables, got a tar archive; extract it first")
    known = next((name for bom, name in BOMS.items() if sample.startswith(bom)), options.encoding or "utf-8")
    try:
        text = codecs.getincrementaldecoder(known)(errors="replace").decode(sample)
    except (LookupError, UnicodeError) as error:
        raise DataError(f"ENCODING: expected an encoding such as 'latin-1' or 'utf-16', got {known!r}") from error
    text = text.removeprefix("\ufeff")
    if file.suffix in JSON or text.lstrip()[:1] in ("[", "{"):
        return _look_at_json(file, text)
    return _look_at_text(file, text, len(sample) < SAMPLE, options)


def _look_at_parquet(file: File) -> Glance:
    try:
        opened = pq.ParquetFile(file.opened, buffer_size=SAMPLE)
        batch = next(opened.iter_batches(batch_size=N_ROWS), None)
        rows = [tuple(map(_text, row.values())) for row in (batch.to_pylist() if batch else [])]
        return Glance(file, "parquet", tuple(opened.schema_arrow.names), tuple(rows))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: expected a complete Parquet file, got one that cannot be read") from error


def _look_at_json(file: File, text: str) -> Glance:
    """Return the first objects of a list, or of lines, as rows; values that are objects themselves are JSON."""
    decoder, position = json.JSONDecoder(), 0
    found: list[dict] = []
    while len(found) < N_ROWS and (begin := re.compile(r"[\s,\[]*(?=\{)").match(text, position)):
        try:
            value, position = decoder.raw_decode(text, begin.end())
        except (json.JSONDecodeError, RecursionError):  # the sample ends within an object, or the file is damaged
            break
        found.append(value)
    names = tuple(dict.fromkeys(name for each in found for name in each))
    return Glance(file, "json", names, tuple(tuple(_text(each.get(name)) for name in names) for each in found))


def _look_at_text(file: File, text: str, complete: bool, options: Options) -> Glance:
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    lines = lines if complete or len(lines) < 2 else lines[:-1]
    table = [line for line in lines if not line.startswith("#")][: N_ROWS + 1]
    separators = [WRITTEN.get(options.separator, options.separator)] if options.separator else SEPARATORS
    readings = {separator: _split(table, separator) for separator in separators if separator in "".join(table[:1])}

    def fit(separator: str) -> tuple[float, int]:
        first, *others = readings[separator]
        return -sum(len(each) != len(first) for each in others), len(first)

    separator = max(readings, key=fit, default="")
    first, *rows = readings[separator] if separator else [tuple([line]) for line in table] or [()]
    others = tuple(each[0] for key, each in readings.items() if key != separator)
    if options.columns:
        first, rows = tuple(options.columns.split()), [first, *rows]
    return Glance(file, "text", first, tuple(rows), tuple(lines[:N_ROWS]), separator, others)


def _split(lines: list[str], separator: str) -> list[tuple[str, ...]]:
    if len(separator) > 1:
        return [tuple(line.split(separator)) for line in lines]
    try:
        return [tuple(row) for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        return [tuple(line.split(separator)) for line in lines]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, default=str, ensure_ascii=False).strip('"')
