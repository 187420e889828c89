"""Parameters of the notebooks: read their declarations, and check values from a command line against them."""

import ast
import difflib
import io
import itertools
import os
import re
import tokenize
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys.data.errors import check_choice

TYPES = {"bool": bool, "int": int, "float": float, "str": str}
PATTERNS = {bool: "[Tt]rue|[Ff]alse", int: r"[+-]?[0-9]+", float: r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"}


@dataclass(frozen=True)
class Parameter:
    """A declared parameter, the heading of its group, and the notebooks that declare it.

    If there are `choices`, the value must be one of them or, with `several`, some of them, separated by spaces.
    """

    name: str
    type: type
    default: Any
    comment: str
    group: str = ""
    notebooks: list[str] = field(default_factory=list)
    choices: Collection[str] = ()
    several: bool = False

    def check(self, value: str) -> None:
        """Raise ValueError, with the nearest choice, for a value that is none of the choices."""
        for each in (value.split() or [""]) if self.several else [value]:
            if self.choices:
                check_choice(self.name, each, self.choices)


def read_parameters(notebooks: Sequence[Path]) -> dict[str, Parameter]:
    """Return the parameters that the cells tagged `parameters` declare, by name.

    Raises ValueError if such a cell holds anything but comments and `NAME: type = literal  # comment`, or if two
    notebooks disagree.
    """
    parameters: dict[str, Parameter] = {}
    for path in notebooks:
        for new in _declared(path):
            known = parameters.setdefault(new.name, new)
            if (known.type, known.default) != (new.type, new.default):
                expected = f"{known.default!r} as in {known.notebooks[0]}"
                raise ValueError(f"{new.name}: expected {expected}, got {new.default!r} in {path.stem}")
            known.notebooks.append(path.stem)
    return parameters


def _declared(path: Path) -> Iterator[Parameter]:
    """Yield the parameters of one notebook. A comment on a line of its own begins a group."""
    import nbformat  # here, as commands without notebooks need not wait for these

    from recsys.reports.choices import ONE_OF, SOME_OF

    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    if len(tagged) != 1:
        raise ValueError(f"{path.name}: expected one cell tagged 'parameters', got {len(tagged)}")
    tokens = tokenize.generate_tokens(io.StringIO(tagged[0]).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    statements = ast.parse(tagged[0]).body
    groups = {row: text for row, text in comments.items() if row not in [line.end_lineno for line in statements]}
    for line in statements:
        group = ", ".join([path.stem, *[text for row, text in groups.items() if row < line.lineno][-1:]])
        try:
            name, kind, default = line.target.id, TYPES[line.annotation.id], ast.literal_eval(line.value)
            if type(default) is not kind:
                raise TypeError
            facts = (name, kind, default, comments[line.end_lineno], group)
            yield Parameter(*facts, choices=(ONE_OF | SOME_OF).get(name, ()), several=name in SOME_OF)
        except (AttributeError, KeyError, TypeError, ValueError):
            expected = f"NAME: {'|'.join(TYPES)} = literal  # comment"
            raise ValueError(f"{path.name}: expected `{expected}`, got `{ast.unparse(line)}`") from None


def describe(parameters: dict[str, Parameter]) -> str:
    """Return all parameters as text for `--help`, by notebook and group."""
    lines = []
    for group, members in itertools.groupby(parameters.values(), lambda each: each.group):
        lines.append(f"\n{group}:")
        for each in members:
            notebooks = " ".join(name[:2] for name in each.notebooks)
            lines.append(f"  {each.name}: {each.type.__name__} = {each.default!r}\n      {each.comment} [{notebooks}]")
    return "\n".join(lines)


def read_values(arguments: Sequence[str], parameters: dict[str, Parameter], root: Path | None) -> dict[str, Any]:
    """Return the values of NAME=value arguments by name, each of its declared type.

    An absolute path of a `*_PATH` parameter becomes relative to `root`, if there is one. Raises ValueError
    for an unknown name and for a value that is not written as its type or is none of the choices.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals:
            raise ValueError(f"expected NAME=value, got {argument!r}")
        if name not in parameters:
            nearest = difflib.get_close_matches(name.upper(), parameters, n=1, cutoff=0)
            raise ValueError(f"expected the name of a parameter (nearest: {', '.join(nearest)}), got {name!r}")
        kind = parameters[name].type
        if kind is not str and not re.fullmatch(PATTERNS[kind], text):
            raise ValueError(f"{name}: expected {kind.__name__}, got {text!r}")
        parameters[name].check(text)
        if root and name.endswith("_PATH") and text.startswith(("~", os.sep)):
            text = os.path.relpath(os.path.expanduser(text), root)
        values[name] = text.lower() == "true" if kind is bool else kind(text)
    return values
