"""`lightgcn`: the text files of the LightGCN benchmarks, a line `user item item …` for each user, without times."""

from pathlib import Path

import ibis
from ibis import BaseBackend

from recsys.data.readers.columns import WHOLE_NUMBER, Fields
from recsys.data.readers.files import Dataset, Source, check_file

FIELDS: Fields = {"user_id": ("user", WHOLE_NUMBER), "item_id": ("item", WHOLE_NUMBER)}


def read_lightgcn(connection: BaseBackend, folder: Path) -> Dataset:
    """Open `train.txt` and `test.txt` and keep their split. Validation is drawn from train later."""
    sources = []
    for part, path in ((0, folder / "train.txt"), (2, folder / "test.txt")):
        lines = connection.read_csv(
            check_file(path), columns={"text": "VARCHAR"}, header=False, delim="\x01", quote="", auto_detect=False,
            strict_mode=False,
        )  # fmt: skip
        words = lines.select(line=ibis.row_number() + 1, words=lines.text.strip().re_replace(r"\s+", " ").split(" "))
        table = words.select(line=words.line, user=words.words[0], item=words.words[1:].unnest())
        sources.append(Source(path, table, FIELDS, part, line_column="line"))
    return Dataset(tuple(sources))
