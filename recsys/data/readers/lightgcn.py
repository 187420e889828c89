"""The text files of the LightGCN benchmarks."""

from pathlib import Path

import ibis
from ibis import BaseBackend

from recsys.data.readers.base import Dataset, Fields, Source
from recsys.data.readers.files import existing_file

LINES: Fields = {"user_id": ("user", "whole"), "item_id": ("item", "whole")}
def read_lightgcn(connection: BaseBackend, folder: Path) -> Dataset:
    """The benchmarks' text files `train.txt` and `test.txt`: a line `user item item …` a user; the split is given."""
    form = {"columns": {"text": "VARCHAR"}, "header": False, "delim": "\x01", "quote": "", "auto_detect": False,
            "strict_mode": False}  # fmt: skip
    sources = []
    for part, path in ((0, folder / "train.txt"), (2, folder / "test.txt")):
        lines = connection.read_csv(existing_file(path), **form)
        words = lines.select(line=ibis.row_number() + 1, words=lines.text.strip().re_replace(r"\s+", " ").split(" "))
        table = words.select(line=words.line, user=words.words[0], item=words.words[1:].unnest())
        sources.append(Source(path, table, LINES, part))
    return Dataset("lightgcn", tuple(sources))
