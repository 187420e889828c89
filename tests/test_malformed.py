"""Malformed files through each reader: a DataError, or the right count of rows and an account that adds up.

MALFORMED=200 tries that many files for each reader.
"""

import csv
import gzip
import io
import json
import os
import random
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from malformed import damage

from recsys.data import synthetic
from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.partition import count_rows
from recsys.data.readers import open_dataset
from recsys.data.readers.options import Options
from recsys.data.reading import read_all
from recsys.data.steps import select_positives

FILES = Path(__file__).parent / "files"
N_FILES = int(os.environ.get("MALFORMED", "6"))
START = 1_400_000_000
PARAMETERS = {
    "seed": 0, "positives": "listened", "repeated_events": "drop", "user_fraction": 1, "repeats": "keep",
    "min_user_listens": 1, "min_item_listens": 1,
}  # fmt: skip


def plain(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def decode(content: bytes) -> str:
    content = plain(content)
    marks = {b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    return content.decode(next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8-sig"))


def csv_rows(separator: str = ",", quote: str = '"', has_header: bool = True) -> Callable[[bytes], int]:
    """Return a function that counts the rows of a text file with the standard library."""
    style = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}

    def count(content: bytes) -> int:
        text = decode(content)
        csv.field_size_limit(2**31 - 1)
        lines = io.StringIO(text, newline="").readlines()
        first = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
        if first and has_header and re.fullmatch(r"#[\w,;|\t ]+\s*", lines[first - 1]):
            first -= 1  # the header is in the last comment
        counts = set()
        for each in {separator, *",;\t|"} if separator in ",;" else {separator}:
            rows = [row for row in csv.reader(lines[first:], delimiter=each, **style) if row]
            width = len(rows[0]) if rows else 0
            rows = [row if any(row[width:]) else row[:width] for row in rows]  # separators at the end hold nothing
            if {len(row) for row in rows} == {width} and width > 1:
                counts.add(len(rows) - has_header)
        assert len(counts) == 1, "rows of several lengths should have been refused"
        return counts.pop()

    return count


def pairs(content: bytes) -> int:
    return sum(max(len(line.split()) - 1, 0) for line in re.split(r"\r\n|\n|\r", decode(content)))


def parquet_rows(content: bytes) -> int:
    """Count the rows. Arrow also reads parts that DuckDB does not need; where they are damaged, the footer counts."""
    try:
        return pq.read_table(pa.BufferReader(content)).num_rows
    except (pa.ArrowException, OSError):
        return pq.read_metadata(pa.BufferReader(content)).num_rows


def json_rows(content: bytes) -> int:
    text = re.sub(r",(\s*[}\]])", r"\1", decode(content))  # DuckDB accepts a comma before the end of a list or object
    if text.lstrip().startswith("["):
        return len(json.loads(text))
    decoder, position, n = json.JSONDecoder(), 0, 0
    while (position := re.compile(r"\s*").match(text, position).end()) < len(text):
        _, position = decoder.raw_decode(text, position)
        n += 1
    return n


def log(n: int = 150) -> pd.DataFrame:
    draw = random.Random(0)
    users, songs = (
        [f"{what}{draw.randrange(size)}" for _ in range(n)] for what, size in (("user ", 9), ("song a", 40))
    )
    return pd.DataFrame({"user_id": users, "item_id": songs, "timestamp": [START + 977 * k for k in range(n)]})


def write_csv(folder: Path) -> None:
    log().to_csv(folder / "log.csv", index=False)


def write_quoted(folder: Path) -> None:
    log().assign(name='a "b", c').to_csv(folder / "log.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)


def write_json(folder: Path) -> None:
    (folder / "log.json").write_text(json.dumps(log().to_dict("records")))


def write_lines(folder: Path) -> None:
    log().to_json(folder / "log.jsonl", orient="records", lines=True)


def write_parquet(folder: Path) -> None:
    log().to_parquet(folder / "log.parquet")


def write_dsg17(folder: Path) -> None:
    next(synthetic.listens(9, 40, 150, seed=1)).to_pandas().to_csv(folder / "log.csv", index=False)


def write_30music(folder: Path) -> None:
    frame = pd.DataFrame({"user_id": range(150), "song_id": range(150), "ts": START, "playtime": 40})
    frame.to_parquet(folder / "log.parquet")


def write_lastfm(folder: Path) -> None:
    (folder / "artists.dat").write_text("id\tname\n" + "".join(f"{n}\tname {n}\n" for n in range(40)))
    rows = "".join(f"{n % 9}\t{n % 40}\t{n}\n" for n in range(150))
    (folder / "user_artists.dat").write_text(f"userID\tartistID\tweight\n{rows}")


def write_lightgcn(folder: Path) -> None:
    for name in ("train.txt", "test.txt"):
        (folder / name).write_text("".join(f"{n} {n + 1} {n + 2} {n + 300}\n" for n in range(50)))


def write_deezer(folder: Path) -> None:
    for part in ("train", "validation", "test"):
        log().rename(columns={"item_id": "song"}).assign(media_id=range(150)).to_csv(
            folder / f"{part}_dataset.csv", index=False
        )


class Case(NamedTuple):
    """A reader, what writes its files or the folder that has them, the file to damage, and what counts its rows."""

    dataset: str
    files: Callable[[Path], None] | str
    damaged: str
    count: Callable[[bytes], int]


CASES = {
    "csv": Case("csv", write_csv, "log.csv", csv_rows()),
    "csv with quotes": Case("csv", write_quoted, "log.csv", csv_rows()),
    "JSON": Case("csv", write_json, "log.json", json_rows),
    "JSON lines": Case("csv", write_lines, "log.jsonl", json_rows),
    "Parquet": Case("csv", write_parquet, "log.parquet", parquet_rows),
    "dsg17": Case("dsg17", write_dsg17, "log.csv", csv_rows()),
    "30music": Case("30music", write_30music, "log.parquet", parquet_rows),
    "lastfm": Case("lastfm", write_lastfm, "user_artists.dat", csv_rows("\t", "")),
    "lightgcn": Case("lightgcn", write_lightgcn, "test.txt", pairs),
    "deezer-splits": Case("deezer-splits", write_deezer, "test_dataset.csv", csv_rows()),
    "spotify": Case("spotify", "spotify", "cora/Streaming_History_Audio_2023_0.json", json_rows),
    "spotify, one year": Case("spotify", "spotify-one-year", "emil/MyData/StreamingHistory0.json", json_rows),
    "listenbrainz": Case("listenbrainz", "listenbrainz/export", "listens/2023/1.jsonl", json_rows),
}


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_file_is_an_error_or_read_whole(tmp_path, name):
    assert refused(tmp_path, name, N_FILES)


def refused(tmp_path: Path, name: str, n_files: int, seed: str = "") -> int:
    """Read so many files with a fault each, and return how many were refused. The first file has none."""
    case, rng, n_refused = CASES[name], random.Random(name + seed), 0
    others = 0  # rows of the other files
    whole = tmp_path / "whole"
    if isinstance(case.files, str):
        shutil.copytree(FILES / case.files, whole)
    else:
        whole.mkdir()
        case.files(whole)
    content = (whole / case.damaged).read_bytes()
    for number in range(n_files):
        folder, scratch = tmp_path / "in", tmp_path / "scratch"
        shutil.copytree(whole, folder)
        scratch.mkdir()
        bad = content if not number else damage(content, rng)
        (folder / case.damaged).write_bytes(bad)
        path = folder if len(list(folder.iterdir())) > 1 else folder / case.damaged
        try:
            with start_engine(scratch, threads=2) as engine:
                read = read_all(engine, open_dataset(case.dataset, path, engine, Options()), 0, "error", "error")
                assert read.n_rows == count_rows(read.listens) + sum(read.left_out.values())
                listens, account = select_positives(engine, read, PARAMETERS)
                for before, step in zip(account.steps, account.steps[1:], strict=False):
                    assert step["rows_in"] == before["rows_out"] == step["rows_out"] + sum(step["dropped"].values())
                assert count_rows(listens) == account.n_left
        except DataError as error:
            n_refused += 1
            assert number, error
            assert str(tmp_path) not in str(error), error
        else:
            try:
                expected = case.count(bad)
            except (ValueError, EOFError, OSError, zlib.error, pa.ArrowException) as error:
                expected = f"an error, as {error}"
            others = read.n_rows - expected if not number else others
            keep = tmp_path / f"file {number}"
            keep.write_bytes(bad)
            assert read.n_rows - others == expected, keep
            keep.unlink()
        shutil.rmtree(folder)
        shutil.rmtree(scratch)
    shutil.rmtree(whole)
    return n_refused
