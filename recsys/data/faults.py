"""The first value of a data set's files that cannot be used: in which file and line it is, and how to go on."""

import csv
import functools
import io
import itertools
import re
from collections.abc import Collection

import ibis
from ibis.expr.types import Table

from recsys.data.errors import DataError
from recsys.data.listens import EMPTY, OUTSIDE, Rows
from recsys.data.readers.files import File
from recsys.data.readers.tables import FILE, Opened
from recsys.data.words import counted

N_LINES = 5  # that a message names
ONE_PART = 2**33  # Spark numbers the rows of the first part of a file from 0, those of others from a multiple of this
LONGEST = 80  # characters of a value in a message
PARAMETERS = {EMPTY: "EMPTY_IDS", OUTSIDE: "TIMES_OUTSIDE"}


def check_values(rows: Rows, dropped: Collection[str] = ()) -> None:
    """Raise DataError for the first value that cannot be used. `dropped` are reasons for which rows are left out."""
    bad = {ours: rows.read(ours).isnull() for ours in rows.kinds}
    left_out = rows.why.isin([*rows.source.left_out, *dropped]).fill_null(False)
    facts = {f"bad {ours}": fault & ~left_out for ours, fault in bad.items()}
    facts["why"] = rows.why
    table = _numbered(rows).mutate(**facts)
    table = table.filter(functools.reduce(lambda a, b: a | b, (table[f"bad {ours}"] for ours in rows.kinds)))
    first = table.order_by("number").limit(1).to_pyarrow().to_pylist()
    if not first:
        return
    row = first[0]
    ours = next(ours for ours in rows.kinds if row[f"bad {ours}"])
    column, _ = rows.source.fields[ours]
    value = row[ours]
    arrived = "nothing" if value in (None, "") else _short(value)
    where = _place(rows, row)
    message = f"{where}, column {column!r}: expected {rows.kinds[ours].expected}, got {arrived}"
    remedy: dict[str, str] = {}
    if row["why"] in PARAMETERS:
        alike = table.filter(table.why == row["why"])
        n, lines = alike.count().to_pyarrow().as_py(), alike.order_by("number").limit(N_LINES).to_pyarrow().to_pylist()
        numbers = [found[1] for each in lines if (found := re.search(r", (?:line|row) (\d+)$", _place(rows, each)))]
        unit, them = "row" if _counts_rows(rows) else "line", "it" if n == 1 else "them"
        unit += "s" * (n > 1)
        places = f" ({unit} {', '.join(numbers)}{', …' if n > len(lines) else ''})" if numbers else ""
        message += f"; {counted(n, 'row')} {row['why']}{places}"
        message += f"; {PARAMETERS[row['why']]}=drop leaves {them} out and counts {them}"
        remedy[PARAMETERS[row["why"]]] = "drop"
    raise DataError(message, remedy)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _counts_rows(rows: Rows) -> bool:
    return not rows.source.line and not rows.source.opened.dialect


def _numbered(rows: Rows) -> Table:
    """Return the rows with their `number` in the order of the files, from 0, or the line that the table has."""
    line = rows.source.line
    return rows.table.mutate(number=rows.table[line] if line else ibis.row_number())


def _place(rows: Rows, row: dict) -> str:
    """Return the file and the line of a row with its `number`, the row where there are no lines, if these are known."""
    files = {str(file.opened): file for file in rows.source.opened.files}
    file = files.get(row.get(FILE, ""), rows.source.opened.files[0])
    if rows.source.line:
        return f"{file.name}, line {row['number']}"
    number = row["number"]
    if len(files) > 1:
        table = _numbered(rows)
        number -= table.filter(table[FILE] == row[FILE]).number.min().to_pyarrow().as_py()
    if file.names or number >= ONE_PART:
        return file.name
    line = line_of(rows.source.opened, file, number)
    return f"{file.name}, line {line}" if line else f"{file.name}, row {number + 1}"


def line_of(opened: Opened, file: File, number: int) -> int:
    """Return the line in which a row of a text file begins, 0 if there is none; rows are counted from 0."""
    dialect = opened.dialect
    if not dialect or len(dialect.separator) > 1:
        return 0 if not dialect else 1 + dialect.skip + dialect.has_header + number
    style = {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
    with file.stream() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        for _ in range(dialect.skip):
            lines.readline()
        csv.field_size_limit(2**31 - 1)
        reader = csv.reader(lines, delimiter=dialect.separator, **style)
        rows = (row for row in reader if row)
        row = next(itertools.islice(rows, dialect.has_header + number, None), [])
        n_breaks = sum(len(re.findall(r"\r\n|\r|\n", value)) for value in row)
        return dialect.skip + reader.line_num - n_breaks
