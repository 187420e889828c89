"""How a text file is written: its encoding, what precedes the header, its separator and the names of its columns."""

import codecs
import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.files import PIECE, File

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
SAMPLE = 2**16  # bytes that are read to see how a file is written
N_ROWS = 50  # rows of the sample that must have as many values as the header
BOMS = {  # the first of these that a file begins with says how it is encoded
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


class Dialect(NamedTuple):
    """How a file is to be read. `skip` counts the lines before the header or, without a header, the first row."""

    separator: str
    quote: str
    skip: int
    names: tuple[str, ...]
    has_header: bool = True


@dataclass(frozen=True)
class Form:
    """What is known of a text file beforehand. Empty: to be found. `names` are those of a file without a header."""

    separator: str = ""
    quote: str = '"'
    names: tuple[str, ...] = ()
    encoding: str = ""


UNKNOWN = Form()


def same_name(name: str) -> str:
    """Return what two names of a column have in common that differ by case, spaces around them or a BOM only."""
    return name.strip("\ufeff \t").casefold()


def find_names(wanted: Sequence[str], present: Sequence[str]) -> dict[str, str]:
    """Return the column of the file for each wanted name that has one: the same, else the only one that is alike."""
    found = {}
    for name in wanted:
        alike = [name] if name in present else [each for each in present if same_name(each) == same_name(name)]
        if len(alike) == 1:
            found[name] = alike[0]
    return found


def as_utf8(engine: Engine, file: File, encoding: str = "") -> File:
    """Return the file in UTF-8: itself, or a copy in the scratch folder. Raises DataError if the encoding is unknown.

    Without an `encoding`, UTF-8 is expected, or UTF-16 with the mark that says so.
    """
    with file.stream() as stream:
        start = stream.read(4)
    if not encoding or same_name(encoding) in ("utf-8", "utf8", "utf-8-sig"):
        encoding = next((name for mark, name in BOMS.items() if start.startswith(mark)), "")
        if not encoding:
            return file
    target = engine.new_path()
    try:
        with file.stream() as stream, open(target, "w", encoding="utf-8", newline="") as copy:
            text = io.TextIOWrapper(stream, encoding=encoding, newline="")
            while piece := text.read(PIECE):
                copy.write(piece)
    except LookupError as error:
        raise DataError(f"ENCODING: expected an encoding such as 'latin-1' or 'utf-16', got {encoding!r}") from error
    except UnicodeError as error:
        raise DataError(f"{file.name}: expected text in {encoding}, got bytes that are not; set ENCODING") from error
    engine.decide(f"Text is read as {encoding.upper()}.")
    return dataclasses.replace(file, opened=target, compression="")


def first_text(file: File) -> str:
    """Return the first lines of a file in UTF-8. Raises DataError, which names ENCODING, for any other encoding."""
    with file.stream() as stream:
        sample = stream.read(SAMPLE)
        while len(sample) % SAMPLE == 0 and sample.count(b"\n") < 2 and (more := stream.read(SAMPLE)):
            sample += more
            if len(sample) > 64 * SAMPLE:
                break
        ended = not stream.read(1)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(sample, final=ended).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(not_utf8(file.name)) from error
    if "\0" in text[:200] and text[:200].count("\0") > len(text[:200]) // 4:
        raise DataError(f"{file.name}: expected text in UTF-8, got UTF-16 without a mark; set ENCODING=utf-16-le")
    return text if ended else text[: text.rfind("\n") + 1] or text


def not_utf8(name: str) -> str:
    """Return the message for bytes that are no UTF-8."""
    return (
        f"{name}: expected text in UTF-8, got bytes that are not; set ENCODING, for instance ENCODING=latin-1, "
        "or save the file as UTF-8"
    )


def find_dialect(file: File, wanted: Sequence[str], form: Form, hint: str = "") -> Dialect:
    """Return the one way to read the file that has the `wanted` columns.

    Lines before the header that begin with `#` are comments. Raises DataError, with the file's first line, if no way or
    more than one has the columns; `hint` ends the message.
    """
    text = first_text(file)
    readings = [reading for each in _separators(form, text) for reading in _readings(text, each, form)]
    fits = [each for each in readings if form.names or len(find_names(wanted, each.names)) == len(wanted)]
    if not fits:
        names = max(readings, key=lambda each: len(each.names)).names if readings else ()
        missing = next((name for name in wanted if not find_names([name], names)), "")
        arrived = f"got {', '.join(map(repr, names))} in the line {_first_line(text)!r}"
        if form.names:
            expected = f"{len(form.names)} values in a row, as COLUMNS names {' '.join(form.names)}"
            raise DataError(f"{file.name}: expected {expected}, got the line {_first_line(text)!r}")
        message = f"{file.name}: expected a column {missing!r}, {arrived}{f'; {hint}' if hint else ''}"
        raise DataError(message, inspect_helps=True)
    best = _fewest(fits, lambda each: len(each.names) == 1)
    best = _fewest(best, lambda each: _n_uneven(text, each))
    best = _fewest(best, lambda each: not (form.names or set(wanted) <= set(each.names)))
    best = _fewest(best, lambda each: len(each.separator) == 1)  # a space after each comma belongs to the separator
    if len(best) > 1:
        found = " or ".join(SEPARATORS.get(each.separator.strip(" "), repr(each.separator)) for each in best)
        line = f"got {found} in the line {_first_line(text)!r}"
        raise DataError(f"{file.name}: expected one separator and one header, {line}; set SEPARATOR")
    if form.names:
        _check_comments(file, text, best[0])
    return best[0]


def _check_comments(file: File, text: str, dialect: Dialect) -> None:
    """Raise DataError if a line that is skipped as a comment could be a row. A header in a comment is no row."""
    for line in _lines(text)[: dialect.skip]:
        values = next(iter(_rows(line, dialect.separator, dialect.quote)), [])
        is_header = [same_name(value.lstrip("#")) for value in values] == [same_name(name) for name in dialect.names]
        if len(values) == len(dialect.names) > 1 and not is_header:
            raise DataError(
                f"{file.name}: expected rows, got the line {_first_line(line)!r}, which can be a row or a comment; put "
                "its first value in quotation marks, or delete the line"
            )


def _fewest(readings: list[Dialect], faults: Callable[[Dialect], int]) -> list[Dialect]:
    """Return the readings with the fewest faults."""
    counts = [faults(each) for each in readings]
    return [each for each, n in zip(readings, counts, strict=True) if n == min(counts)]


def _separators(form: Form, text: str) -> list[str]:
    if form.separator:
        return [{"tab": "\t", "\\t": "\t"}.get(form.separator, form.separator)]
    return [each for mark in SEPARATORS for each in (mark, f"{mark} ") if each in text] or [","]


def _rows(text: str, separator: str, quote: str) -> list[list[str]]:
    """Return the first rows of a text, as the standard library reads them; an empty line is no row."""
    place = "\ue000"  # the standard library knows separators of one character only
    lines = io.StringIO(text if len(separator) == 1 else text.replace(separator, place), newline="")
    style = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(lines, delimiter=separator if len(separator) == 1 else place, **style)
    rows: list[list[str]] = []
    try:
        for row in reader:
            rows += [row] if row else []
            if len(rows) > N_ROWS:
                break
    except csv.Error:
        pass  # the rows so far are enough; DuckDB reports what it cannot read
    return rows


def _readings(text: str, separator: str, form: Form) -> list[Dialect]:
    """Return the ways to read a text with this separator: without its comment lines, or with the last as header."""
    lines = _lines(text)
    n_before = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    starts = [n_before]
    if not form.names and n_before and lines[n_before - 1].startswith("#"):
        starts.append(n_before - 1)
    found = []
    for start in starts:
        rows = _rows("".join(lines[start:]).removeprefix("#"), separator, form.quote)
        if form.names and rows and len(rows[0]) == len(form.names):
            found.append(Dialect(separator, form.quote, start, form.names, has_header=False))
        elif not form.names and rows:
            names = [name.replace("\0", "") or f"column {number}" for number, name in enumerate(rows[0], 1)]
            found.append(Dialect(separator, form.quote, start, tuple(names)))
    return found


def _n_uneven(text: str, dialect: Dialect) -> int:
    """Return how many rows of the sample have more or fewer values than the header."""
    rows = _rows("".join(_lines(text)[dialect.skip :]), dialect.separator, dialect.quote)
    return sum(len(row) != len(dialect.names) for row in rows)


def _lines(text: str) -> list[str]:
    return io.StringIO(text, newline="").readlines()


def _first_line(text: str) -> str:
    line = next((line.rstrip("\r\n") for line in _lines(text) if line.strip()), "")
    return line if len(line) <= 120 else f"{line[:120]}…"
