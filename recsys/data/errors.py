"""The error of the data package, input that cannot be used, and how its messages count."""


class DataError(ValueError):
    """Input that cannot be used. The message says where, what was expected, what arrived and, if known, what to do."""


def counted(n: int, what: str) -> str:
    """Return a number and what it counts, whose plural ends in s: "1 row", "1,204 rows"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
