"""`DATASET=auto`: find the reader that fits a path, by the names of the files and of their columns.

A rule is a function of the glances at all files. It returns a sentence on what it found, empty if the files are of
another format. The sentence stands on pages and names no file, as a file may be named after a person. Most rules are
made with `has_files`, `has_columns` and `has_rows`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.files import File
from recsys.data.readers.glances import Glance, glance_at
from recsys.data.readers.options import EVERYWHERE, Options
from recsys.data.words import are_set, listing

Rule = Callable[[Sequence[Glance]], str]
AUTO, WITHOUT_PATH, ANY_TABLE = "auto", "sample", "csv"
N_SHOWN = 12  # columns that a message names


def never(glances: Sequence[Glance]) -> str:
    """The rule of data sets that are no files."""
    return ""


def has_files(*names: str) -> Rule:
    """Return the rule that there are files of all these names, plain or compressed."""

    def rule(glances: Sequence[Glance]) -> str:
        present = {each.base for each in glances}
        return f"there are files named {listing(names)}" if present.issuperset(names) else ""

    return rule


def has_columns(*names: str) -> Rule:
    """Return the rule that one of the files has all these columns, and possibly others."""

    def rule(glances: Sequence[Glance]) -> str:
        found = next((each for each in glances if each.has_columns(names)), None)
        return f"a file has the columns {', '.join(names)}" if found else ""

    return rule


def has_rows(separator: str, *patterns: str, what: str) -> Rule:
    """Return the rule that the first lines of a text file hold values of these patterns. `what` describes them."""

    def fits(line: str) -> bool:
        values = line.split(separator)
        return len(values) == len(patterns) and all(map(re.fullmatch, patterns, values))

    def rule(glances: Sequence[Glance]) -> str:
        for each in glances:
            n = sum(map(fits, each.lines))
            if each.lines and fits(each.lines[0]) and n > len(each.lines) / 2:
                return f"the lines of a file are {what}"
        return ""

    return rule


def has_text(pattern: str, what: str) -> Rule:
    """Return the rule that all the first lines of a text file have this pattern. `what` describes them."""

    def rule(glances: Sequence[Glance]) -> str:
        found = [each for each in glances if each.lines and all(re.fullmatch(pattern, line) for line in each.lines)]
        return f"the lines of a file are {what}" if found else ""

    return rule


def both(*rules: Rule) -> Rule:
    """Return the rule that all these rules hold."""

    def rule(glances: Sequence[Glance]) -> str:
        found = [each(glances) for each in rules]
        return " and ".join(found) if all(found) else ""

    return rule


def but_not(other: Rule, rule: Rule) -> Rule:
    """Return the rule that `rule` holds, but not the `other`."""
    return lambda glances: "" if other(glances) else rule(glances)


def either(*rules: Rule) -> Rule:
    """Return the rule that one of these rules holds."""
    return lambda glances: next((found for each in rules if (found := each(glances))), "")


def recognise(engine: Engine, path: Path | None, options: Options, rules: Mapping[str, Rule]) -> str:
    """Return the name of the data set whose rule fits the path, and note why.

    Without a path it is `sample`. Parameters that name columns belong to `csv`, which also takes a table with our own
    names of columns if no other data set fits. Raises DataError if several data sets fit, or none.
    """
    if not path:
        return WITHOUT_PATH
    if named := column_parameters(options):
        engine.decide(f"DATASET=auto: the files are read as {ANY_TABLE!r}, as {are_set(named)}.")
        return ANY_TABLE
    with glance_at(engine, path, options) as glances:
        found = candidates(glances, rules)
        if len(found) == 1:
            ((name, why),) = found.items()
            engine.decide(f"DATASET=auto: the files are read as {name!r}, as {why}.")
            return name
        if found:
            raise DataError(
                f"DATASET: expected files that fit one data set, got files that fit {len(found)}: "
                + "; ".join(f"{name} ({why})" for name, why in found.items())
                + f"; set DATASET to {listing(found, 'or')}"
            )
        hint = "for any other table, set USER_COLUMN and ITEM_COLUMN, or COLUMNS if it has no header"
        if isinstance(path, Path) and path.is_file() and (whole := candidates([*glances, *_siblings(path)], rules)):
            hint = f"its folder fits {listing(whole)}, set DATA_PATH to the folder"
        names = [name for name, rule in rules.items() if rule is not never]
        message = f"DATASET: expected files of one of {', '.join(names)}, got {_describe(glances)}; {hint}"
        raise DataError(message, inspect_helps=any(each.columns for each in glances))


def column_parameters(options: Options) -> list[str]:
    """Return the names of the parameters that are set and that only `csv` reads."""
    named = [each.name for each in fields(options) if getattr(options, each.name) != each.default]
    return [name.upper() for name in named if name not in EVERYWHERE]


def candidates(glances: Sequence[Glance], rules: Mapping[str, Rule]) -> dict[str, str]:
    """Return the data sets that fit, each with what was found. `csv` is one if no other fits."""
    found = {name: why for name, rule in rules.items() if (why := rule(glances))}
    return {name: why for name, why in found.items() if name != ANY_TABLE or len(found) == 1}


def _siblings(path: Path) -> list[Glance]:
    """Return the other files of a file's folder, by their names only."""
    others = [each for each in path.parent.iterdir() if each != path]
    return [Glance(File(each, PurePosixPath(each.name), each), "") for each in others]


def _describe(glances: Sequence[Glance]) -> str:
    first = next((each for each in glances if each.columns), glances[0])
    if not first.columns:
        return f"{first.file.name}, which is no table"
    columns = ", ".join(repr(name[:40]) for name in first.columns[:N_SHOWN])
    more = f" and {len(first.columns) - N_SHOWN} more" if len(first.columns) > N_SHOWN else ""
    what = "the columns" if first.has_header else "the first line"
    return f"{first.file.name} with {what} {columns}{more}"
