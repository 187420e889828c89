"""The error of the data package, input that cannot be used, and how its messages count and list."""

import difflib
from collections.abc import Collection, Iterable, Mapping


class DataError(ValueError):
    """Input that cannot be used. The message says where, what was expected, what arrived and, if known, what to do.

    `parameters` get past it, by name. `inspect_helps` says that `make inspect` shows more than the message.
    """

    def __init__(self, message: str, parameters: Mapping[str, str] | None = None, inspect_helps: bool = False):
        super().__init__(message)
        self.parameters, self.inspect_helps = dict(parameters or {}), inspect_helps


def counted(n: int, what: str) -> str:
    """Return a number and what it counts, whose plural ends in s: "1 row", "1,204 rows"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def listing(words: Iterable[str], last: str = "and") -> str:
    """Return words as a sentence lists them: "a", "a and b", "a, b and c"."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


def are_set(names: list[str]) -> str:
    """Return the clause that these parameters are set: "A is set", "A and B are set"."""
    return f"{listing(names)} {'is' if len(names) == 1 else 'are'} set"


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise DataError, with the nearest choice, if a parameter's value is not one of the choices."""
    if value not in choices:
        close = "".join(f"; did you mean {each!r}?" for each in difflib.get_close_matches(value, choices, 1))
        expected = ", ".join(each or "''" for each in choices)
        raise DataError(f"{name}: expected one of {expected}, got {value!r}{close}")
