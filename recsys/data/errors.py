"""The error of the data package, input that cannot be used, and that of a value which is no choice."""

import difflib
from collections.abc import Collection, Mapping


class DataError(ValueError):
    """Input that cannot be used. The message says where, what was expected, what arrived and, if known, what to do.

    `parameters` get past it, by name. `inspect_helps` says that `make inspect` shows more than the message.
    """

    def __init__(self, message: str, parameters: Mapping[str, str] | None = None, inspect_helps: bool = False):
        super().__init__(message)
        self.parameters, self.inspect_helps = dict(parameters or {}), inspect_helps


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise DataError, with the nearest choice, if a parameter's value is not one of the choices."""
    if value not in choices:
        close = "".join(f"; did you mean {each!r}?" for each in difflib.get_close_matches(value, choices, 1))
        expected = ", ".join(each or "''" for each in choices)
        raise DataError(f"{name}: expected one of {expected}, got {value!r}{close}")
