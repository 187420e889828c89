"""Finds what must not leave this machine in a finished zip: ids of listeners, paths, names of the machine, widgets."""

import base64
import contextlib
import getpass
import html
import json
import re
import socket
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from recsys.reports import explorer
from recsys.runs import Run

SHORTEST = 4, 8  # characters of an id with a letter, and of a number: shorter ones stand on any page
TOKEN = re.compile(r"\w(?:[\w.@+-]*\w)?")
ABSOLUTE = re.compile(
    r"(?<![\w+.:/~<-])(?:/(?:home|root|tmp|usr|var|opt|mnt|work|srv|content|Users|private|Volumes)/\w"
    r"|~/\w|[A-Za-z]:\\{1,2}(?:Users|home)\b)"
)
ENCODED = re.compile(r"""base64,[\w+/=]+|(?<=id="data">)[\w+/=]+|sha256-[\w+/=]+""")
OWN_FILES = {".py", ".html", ".css", ".js"}


def own_words(report: Path) -> set[str]:
    """Return the words of this program: a listener's id that is one of them stands on every page."""
    package = Path(__file__).parents[1]
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*") if path.suffix in OWN_FILES]
    for path in report.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        texts += [cell.source for cell in cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    return set().union(*map(_words, texts))


def _words(text: str) -> set[str]:
    whole = re.findall(r"(?<![\w.])\d+(?!\w|\.\d)", text)  # numbers that are no part of another
    return {*TOKEN.findall(text), *whole, *(each for each in re.findall(r"\w+", text) if not each.isdigit())}


def searchable_ids(run: Run, own: set[str]) -> tuple[set[str], int]:
    """Return the listeners' ids that can be told from other words and numbers, and the number of all ids."""
    prepared = run.root / run.record.get("prepared", "nothing")
    if not (prepared / "users.parquet").is_file():
        expected = f"expected the prepared data of run {run.name!r}, to search for its listeners' ids"
        raise FileNotFoundError(f"{expected}; got none; `make reports RUN={run.name}` prepares them")
    users, songs = (pd.read_parquet(prepared / f"{name}.parquet", partitioning=None) for name in ("users", "items"))
    ids, other = {str(each) for each in users["user_id"]}, {str(each) for each in songs["item_id"]}
    return {each for each in ids - other - own if len(each) >= SHORTEST[each.isdigit()]}, len(ids)


def search(archive: Path, ids: Iterable[str], root: Path) -> Iterator[str]:
    """Yield each place in a zip that holds an id, a path, a name of this machine or the state of a widget."""
    ids, patterns = set(ids), {"a path": ABSOLUTE}
    folders = {str(root), str(Path.home()), sys.prefix, tempfile.gettempdir(), str(Path(__file__).parents[2])}
    own = "|".join(re.escape(each) for each in sorted(folders, key=len, reverse=True) if len(each) > 4)
    patterns["a folder of this machine"] = re.compile(rf"(?:{own})(?![\w-])")
    names = [socket.gethostname()]
    with contextlib.suppress(OSError, KeyError):  # an account without a name
        names.append(getpass.getuser())
    if names := [each for each in names if len(each) > 4 and each != "localhost"]:
        patterns["a name of this machine"] = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, names))})(?![\w-])")
    patterns["the state of a widget"] = re.compile("application/vnd.jupyter.widget")
    with zipfile.ZipFile(archive) as opened:
        for member in opened.namelist():
            name, text = member.partition("/")[2], opened.read(member).decode()
            if name == explorer.PAGE:
                found = explorer.unpack(text)
                text += "\n" + "\n".join(str(each) for each in _strings(found))
            images = (base64.b64decode(each) for each in re.findall(r"iVBORw0[A-Za-z0-9+/=]+", text))
            notes = [image.partition(b"IDAT")[0].decode("latin-1") for image in images]  # what is before the pixels
            text = ENCODED.sub("", text)
            for whole in (text, *notes):
                for what, pattern in patterns.items():
                    yield from (_place(name, what, whole, match.start()) for match in pattern.finditer(whole))
            words = _words(text)
            for each in sorted(ids):
                if each in words or (not TOKEN.fullmatch(each) and words.issuperset(TOKEN.findall(each))):
                    for form in {each, html.escape(each), json.dumps(each)[1:-1]}:
                        if form in text:
                            yield _place(name, "the id of a listener", text, text.index(form))


def _strings(values: Mapping[str, Any]) -> Iterator[Any]:
    for value in values.values():
        yield from value if isinstance(value, list) else [value]


def _place(name: str, what: str, text: str, at: int) -> str:
    around = " ".join(text[max(at - 20, 0) : at + 40].split())
    return f"{name}, line {text.count(chr(10), 0, at) + 1}: {what}, in {around!r}"
