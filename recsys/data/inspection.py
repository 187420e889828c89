"""What a path holds and how to read it: the answer to `make inspect`, as data and as text."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

from recsys.data.engine import DataWarning, Engine
from recsys.data.enough import why_too_few
from recsys.data.errors import DataError
from recsys.data.readers import READERS, open_dataset
from recsys.data.readers.glances import Glance, glance_at
from recsys.data.readers.guesses import UNKNOWN, guess_parameters
from recsys.data.readers.options import NOTHING_SET, Options
from recsys.data.readers.recognition import ANY_TABLE, AUTO, candidates, column_parameters
from recsys.data.readers.unused import unused_columns
from recsys.data.reading import WAYS, read_all
from recsys.data.words import are_set, listing

N_VALUES, N_FILES = 3, 6  # values shown of each column, and files shown with their columns
LONGEST = 40  # characters of a value
NO_WAYS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Columns:
    """The columns of a file, each with its first values. `kind` is "text", "json" or "parquet"."""

    file: str
    kind: str
    values: Mapping[str, Sequence[str]]
    has_header: bool = True


@dataclass(frozen=True)
class Inspection:
    """What was found at a path.

    `candidates` are the data sets that fit, each with the reason; `dataset` is the one that is meant, empty if that is
    not clear. `parameters` would read it; the value `?` is for the user to find. The counts are None, and `problem`
    says why, if the rows cannot be read so. `left_out` counts rows that are no listens, by reason. `faults` are errors
    that some of the parameters get past, by these parameters. `too_few` says why the rows are too few for a report.
    `unused` are the columns of a user's own table that are not read, each with what would use it, if that shows.
    """

    path: str
    n_files: int
    files: Sequence[Columns]
    candidates: Mapping[str, str]
    dataset: str
    parameters: Mapping[str, str]
    n_rows: int | None = None
    n_listened: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    decisions: Sequence[str] = ()
    warnings: Sequence[DataWarning] = ()
    problem: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    too_few: str = ""
    unused: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that makes a report of these files."""
        values = {"DATASET": self.dataset or UNKNOWN, "DATA_PATH": self.path, **self.parameters}
        return f"make reports {_assigned(values)}"


def _assigned(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())


def inspect_path(
    engine: Engine, path: Path, dataset: str = AUTO, options: Options = NOTHING_SET, shown: str = "",
    ways: Mapping[str, str] = NO_WAYS,
) -> Inspection:  # fmt: skip
    """Look at a path, find out how to read it and, if that is clear, read and count its rows.

    `shown` is the path as the user wrote it, `ways` are values of `reading.WAYS` other than the first. Raises DataError
    if there is nothing at the path, or no table.
    """
    if dataset != AUTO:
        open_dataset(dataset, path, replace(engine, decisions=[], warnings=[]), options)
    given = {each.name.upper(): str(getattr(options, each.name)) for each in fields(options)}
    given = {name: value for name, value in given.items() if value != str(getattr(NOTHING_SET, name.lower()))}
    given |= {name.upper(): value for name, value in ways.items() if value != WAYS[name][0]}
    with glance_at(engine, path, options) as glances:
        files = [_columns(each) for each in glances if each.columns][:N_FILES]
        if dataset != AUTO:
            fits = {dataset: "DATASET says so"}
        elif named := column_parameters(options):
            fits = {ANY_TABLE: are_set(named)}
        else:
            fits = candidates(glances, {name: each.rule for name, each in READERS.items()})
        table = next((each for each in glances if each.columns), None)
        is_other = not fits or [*fits] == [ANY_TABLE]
        parameters = (guess_parameters(table) if is_other and table else {}) | given
    chosen = next(iter(fits)) if len(fits) == 1 else ANY_TABLE if is_other else ""
    seen = Inspection(shown or str(path), len(glances), files, fits, chosen, parameters)
    if not chosen:
        return replace(seen, problem=f"set DATASET to {listing(fits, 'or')}")
    if unknown := [name for name, value in parameters.items() if UNKNOWN in value.split()]:
        named = [name for value in parameters.values() for name in value.split(",")]
        unused = unused_columns(table, named, parameters) if table and table.has_header else {}
        problem = f"{listing(unknown)} must be set: replace each {UNKNOWN} in the command"
        return replace(seen, problem=problem, unused=unused)
    return _count(engine, path, seen, table)


def _count(engine: Engine, path: Path, seen: Inspection, table: Glance | None) -> Inspection:
    """Read the rows as the parameters say, and count them. Errors that a parameter gets past become `faults`."""
    given = {name.lower(): value for name, value in seen.parameters.items()}
    kinds = {each.name: type(getattr(NOTHING_SET, each.name)) for each in fields(Options)}
    options = Options(**{name: kinds[name](value) for name, value in given.items() if name in kinds})
    notes = replace(engine, decisions=[], warnings=[])
    try:
        data = open_dataset(seen.dataset, path, notes, options)
        read = read_all(notes, data, 0, **{name: given.get(name, values[0]) for name, values in WAYS.items()})
    except DataError as error:
        if not error.parameters.items() - seen.parameters.items():
            return replace(seen, problem=str(error))
        found = {_assigned(error.parameters): str(error)}
        seen = replace(seen, parameters={**seen.parameters, **error.parameters}, faults={**seen.faults, **found})
        return _count(engine, path, seen, table)
    listened = read.listens.filter(read.listens.listened)
    counts = listened.agg(n=listened.count(), user=listened.user_id.nunique(), item=listened.item_id.nunique())
    n = counts.to_pyarrow().to_pylist()[0]
    used = {name for source in data.sources for name in source.used}
    return replace(
        seen, n_rows=read.n_rows, n_listened=n["n"], left_out=read.left_out, decisions=notes.decisions,
        warnings=notes.warnings, too_few=why_too_few(n),
        unused=unused_columns(table, used, seen.parameters) if used and table else {},
    )  # fmt: skip


def _columns(table: Glance) -> Columns:
    has_header = table.kind != "text" or table.has_header
    names = table.columns if has_header else [f"column {number}" for number in range(1, len(table.columns) + 1)]
    rows = [row for row in ([] if has_header else [table.columns]) + list(table.rows) if len(row) == len(names)]
    values = {}
    for number, name in enumerate(names):
        different = dict.fromkeys(row[number] for row in rows if row[number].strip())
        values[name] = [value if len(value) <= LONGEST else f"{value[:LONGEST]}…" for value in different][:N_VALUES]
    return Columns(table.file.name, table.kind, values, has_header)


def as_text(seen: Inspection) -> str:
    """Return an inspection as text for a terminal."""
    lines = [f"{seen.path}: {seen.n_files:,} file{'s' if seen.n_files > 1 else ''}"]
    for each in seen.files:
        header = "" if each.has_header else ", without a header"
        lines += ["", f"{each.file} ({each.kind}{header})"]
        width = max(len(name) for name in each.values)
        lines += [f"  {name:{width}}  {' | '.join(values)}".rstrip() for name, values in each.values.items()]
    lines += ["", *_verdict(seen)]
    lines += [f"- {sentence}" for sentence in seen.decisions]
    lines += [f"- Odd: {each.sentence} ({each.count:,})" for each in seen.warnings]
    lines += _remarks(seen)
    return "\n".join([*lines, "", seen.command])


def _remarks(seen: Inspection) -> list[str]:
    """Return what the user has to know before they type the command, as lines."""
    lines = [f"- Without {parameters} this is an error: {message}" for parameters, message in seen.faults.items()]
    if seen.faults:
        lines.append(f"The command below has {listing(seen.faults)}. To correct the files instead, leave that out.")
    if seen.too_few:
        lines.append(f"This is too little for a report: {seen.too_few}.")
    if seen.unused:
        lines.append(f"Columns that are not used: {', '.join(seen.unused)}.")
        lines += [f"- {name}: {use}." for name, use in seen.unused.items() if use]
    if seen.problem and UNKNOWN not in seen.command:
        lines.append("The command below works once that is mended:")
    return lines


def _verdict(seen: Inspection) -> list[str]:
    """Return what the files are, and how many rows count as listened or why that is not known."""
    if len(seen.candidates) > 1:
        fits = ", ".join(f"{name} ({why})" for name, why in seen.candidates.items())
        what = [f"This fits several data sets: {fits}."]
    elif seen.candidates:
        what = [f"This is read as {seen.dataset}: {seen.candidates[seen.dataset]}."]
    else:
        what = ["No known data set fits. As a table with a row for each listen (csv), it needs these parameters."]
    if seen.problem:
        return [*what, f"The rows are not counted: {seen.problem}"]
    left_out = ", ".join(f"{n:,} ({reason})" for reason, n in seen.left_out.items())
    counted = f"Of {seen.n_rows:,} rows, {seen.n_listened:,} count as listened."
    return [*what, f"{counted} Left out: {left_out}." if left_out else counted]
