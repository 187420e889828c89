"""How sentences count and list things."""

from collections.abc import Iterable


def counted(n: int, what: str) -> str:
    """Return a number and what it counts, whose plural ends in s: "1 row", "1,204 rows"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def listing(words: Iterable[str], last: str = "and") -> str:
    """Return words as a sentence lists them: "", "a", "a and b", "a, b and c"."""
    *others, end = [*words] or [""]
    return f"{', '.join(others)} {last} {end}" if others else end


def are_set(names: list[str]) -> str:
    """Return the clause that these parameters are set: "A is set", "A and B are set"."""
    return f"{listing(names)} {'is' if len(names) == 1 else 'are'} set"
