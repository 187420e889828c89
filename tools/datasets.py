"""Writes README's table of data sets, which says what the readers say of themselves: python tools/datasets.py"""

import re
from pathlib import Path

from recsys.data.readers import READERS
from recsys.data.readers.recognition import AUTO

README = Path(__file__).resolve().parent.parent / "README.md"
PLACE = re.compile(r"(?<=<!-- begin: data sets -->\n).*?(?=<!-- end: data sets -->)", re.DOTALL)


def table() -> str:
    """Return a row for each data set: its name, what it is, its files, and what counts as listened."""
    default = {AUTO: " (default with `DATA_PATH`)", "sample": " (default)"}
    rows = [(AUTO, "the one below that fits; an error if none or several do", "any of these", "as below")]
    rows += [(name, each.what, each.files, each.listened) for name, each in READERS.items()]
    lines = [f"| `{name}`{default.get(name, '')} | {' | '.join(cells)} |" for name, *cells in rows]
    head = ["| `DATASET` | what it is | files | what counts as listened |", "|---|---|---|---|"]
    return "\n".join([*head, *lines]) + "\n"


if __name__ == "__main__":
    README.write_text(PLACE.sub(lambda _: table(), README.read_text(encoding="utf-8")), encoding="utf-8")
