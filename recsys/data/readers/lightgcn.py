"""`lightgcn`: the text files of the LightGCN benchmarks, a line `user item item …` for each user, without times.

Many of them keep each user's songs in the order of time, so the place in the line is read too.
"""

import dataclasses
from pathlib import Path

import ibis

from recsys.data.engine import Engine
from recsys.data.readers.columns import WHOLE_NUMBER, Fields
from recsys.data.readers.dataset import Dataset, Source
from recsys.data.readers.files import find_one
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import both, has_files, has_text
from recsys.data.readers.tables import open_lines

COLUMNS = {"user_id": "user", "item_id": "item", "place": "place"}
FIELDS: Fields = {ours: (column, WHOLE_NUMBER) for ours, column in COLUMNS.items()}

is_lightgcn = both(has_files("train.txt", "test.txt"), has_text(r"\d+( +\d+)* *", "whole numbers"))


def read_lightgcn(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open `train.txt` and `test.txt` and keep their split. Validation is taken out of train later."""
    sources = []
    for part, name in ((0, "train.txt"), (2, "test.txt")):
        opened = open_lines(engine, find_one(engine, path, name), options.encoding)
        lines = opened.table
        words = lines.select(line=ibis.row_number() + 1, words=lines.text.strip().re_replace(r"\s+", " ").split(" "))
        table = words.select(  # the two lists that are unnested have one length
            line=words.line, user=words.words[0], item=words.words[1:].unnest(),
            place=ibis.range(1, words.words.length()).unnest(),
        )  # fmt: skip
        sources.append(Source(dataclasses.replace(opened, table=table), FIELDS, part, line="line"))
    return Dataset(tuple(sources))
