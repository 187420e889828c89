"""What a command measured, as text in a page of docs between the comments that name the command."""

import re
from pathlib import Path

from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation
from recsys.files import write_atomically
from recsys.reports.narrative import signed_spread


def gap(evaluation: Evaluation, a: str, b: str) -> str:
    """Return the difference a − b in NDCG@20 with its interval, or that there is none for any listener."""
    difference = evaluation.difference(a, b, MAIN_METRIC)
    return signed_spread(difference) if difference.low or difference.high else "none"


def find_between(text: str, command: str) -> re.Match[str] | None:
    """Find the text between the comments `begin: <command>` and `end`, the comments included."""
    return re.search(rf"(<!-- begin: {re.escape(command)} -->\n)(.*?)(<!-- end -->)", text, re.DOTALL)


def write_between(page: Path, command: str, text: str) -> None:
    """Replace the text between a command's comments. Raises ValueError if the page has none of them."""
    old = page.read_text(encoding="utf-8")
    if not (place := find_between(old, command)):
        raise ValueError(f"{page}: expected the comment <!-- begin: {command} --> and after it <!-- end -->, got none")
    with write_atomically(page) as temporary:
        temporary.write_text(f"{old[: place.start(2)]}{text.rstrip()}\n{old[place.end(2) :]}", encoding="utf-8")
