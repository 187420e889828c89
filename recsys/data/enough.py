"""How many users and songs a report needs at least, and what is said of data that have fewer."""

LEAST = {"user": 2, "item": 21}
WHY = {
    "user": "a report compares the tastes of several users",
    "item": "each comparison takes a song that a user listened to and {} others",
}
WORDS = {"user": "users with a row", "item": "different songs among the rows"}


def why_too_few(n: dict[str, int], least: dict[str, int] = LEAST) -> str:
    """Return what is wrong where the rows that count as listened have `n` users and songs, "" if these are enough.

    Both dictionaries have the keys "user" and "item".
    """
    for what, number in least.items():
        if n[what] < number:
            expected = f"at least {number} {WORDS[what]} that {'counts' if what == 'user' else 'count'} as listened"
            return f"expected {expected}, got {n[what]}: {WHY[what].format(number - 1)}; use a longer log"
    return ""
