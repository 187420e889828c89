"""The user's files: which ones are read, whatever their names, compression, encoding and form of header."""

import gzip
import io
import json
import random
import shutil
import subprocess
import zipfile
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from recsys.data import interactions
from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.listens import join_listens, settle
from recsys.data.prepare import prepare
from recsys.data.readers import files, open_dataset
from recsys.data.readers.files import find_files
from recsys.data.readers.options import Options
from recsys.data.readers.tables import open_lines
from recsys.data.split import Split

ROWS = [(f"u{n % 7}", f"s{n % 30}", 1_478_000_000 + n) for n in range(300)]
TEXT = "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in ROWS)


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "scratch").mkdir()
    with start_engine(tmp_path / "scratch", threads=2) as engine:
        yield engine


def read(engine, path, **options) -> list[tuple]:
    """Return the listens of a `csv` as sorted (user, song, seconds)."""
    data = open_dataset("csv", path, engine, Options(**options))
    for source in data.sources:
        for file in source.opened.files:
            file.verify(source.opened.end)
    listens = join_listens([settle(engine, source) for source in data.sources]).to_pandas()
    times = listens.timestamp.astype("datetime64[s]").astype(int) if "timestamp" in listens else [None] * len(listens)
    return sorted(zip(listens.user_id, listens.item_id, times, strict=True))


@pytest.fixture
def rows(engine):
    """Return a function that reads a `csv`."""
    return partial(read, engine)


def zstd(content: bytes) -> bytes:
    target = pa.BufferOutputStream()
    with pa.CompressedOutputStream(target, "zstd") as stream:
        stream.write(content)
    return target.getvalue().to_pybytes()


def zipped(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def save(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


NAMES = (
    "log[1].csv", "log*.csv", "what?.csv", "a'b.csv", 'a"b.csv', "user=5.csv", "x,y;z.csv", "-v.csv", "sp ace.csv",
    "%20.csv", "$HOME.csv", "~.csv", "ö\u0308.csv", "{a,b}.csv", "back\\slash.csv", "new\nline.csv", "csv:.csv",
    "#.csv",     "(1).csv", "`id`.csv", "!.csv", "&.csv", "<b>.csv", "🎵.csv",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(rows, tmp_path, name):
    for other in ("log1.csv", "logX.csv", "whatX.csv", "a.csv", "b.csv"):
        save(tmp_path / other, TEXT.replace("u", "other"))
    assert rows(save(tmp_path / name, TEXT)) == sorted(ROWS)


@pytest.mark.parametrize("name", ["a[1]", "user=5", "a*", "q?", "it's", 'so "so"', "{x}", "ö ü", "back\\slash"])
def test_no_character_in_a_folder_changes_what_is_read(tmp_path, name):
    """The folder is the project's root: data, scratch files and prepared folder are all in it."""
    save(tmp_path / name.replace("[1]", "1").replace("*", "X").replace("?", "X") / "log.csv", "user_id,item_id\na,b\n")
    root = tmp_path / name
    for compressed, content in (("log.csv", TEXT.encode()), ("log.csv.gz", gzip.compress(TEXT.encode()))):
        made = prepare("csv", save(root / compressed, content), root=root)
        split = Split.load(made.folder)
        assert made.manifest["steps"][0]["rows_in"] == 300 and len(split.users) == 7
        assert list(split.items.columns) == ["item_id"]
    pd.DataFrame(ROWS, columns=["user_id", "item_id", "timestamp"]).to_parquet(root / "log.parquet")
    made = prepare("csv", root / "log.parquet", root=root)
    assert made.manifest["steps"][0]["rows_in"] == 300
    assert prepare("csv", root / "log.parquet", root=root).reused


def test_pairs_of_large_parts_are_found_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(interactions, "IN_MEMORY", 10)
    root = tmp_path / "a[1] *'x=5"
    split = Split.load(prepare("csv", save(root / "log.csv", TEXT), root=root).folder)
    assert not isinstance(split.train, interactions.Interactions)
    pairs = split.pairs("train", "validation")
    assert list(zip(*next(pairs.pieces()), strict=True)) == list(zip(*split.known.nonzero(), strict=True))


def test_a_pattern_is_what_does_not_exist_and_holds_a_star_or_a_question_mark(rows, tmp_path):
    half = len(TEXT.splitlines()) // 2
    lines = TEXT.splitlines(keepends=True)
    save(tmp_path / "logs[x]" / "1.csv", "".join(lines[:half]))
    save(tmp_path / "logs[x]" / "2.csv.gz", gzip.compress("".join([lines[0], *lines[half:]]).encode()))
    save(tmp_path / "logs[x]" / "note.md", "nothing")
    for path in (tmp_path / "logs[x]", tmp_path / "logs[x]" / "*.csv*", tmp_path / "logs[x]" / "?.c*",
                 tmp_path / "*" / "[12]".replace("[12]", "?") .__add__(".csv*")):  # fmt: skip
        assert rows(path) == sorted(ROWS), path
    with pytest.raises(DataError, match=r"expected a file or a folder at .*\[12\].csv, got nothing there"):
        rows(tmp_path / "logs[x]" / "[12].csv")
    with pytest.raises(DataError, match=r"expected files that fit the pattern '\*.tsv', got none"):
        rows(tmp_path / "logs[x]" / "*.tsv")


@pytest.mark.parametrize("frames", [1, 2])
def test_compressed_files_are_read_whole_or_not_at_all(rows, tmp_path, frames):
    pieces = [TEXT.encode()] if frames == 1 else [TEXT[:2000].encode(), TEXT[2000:].encode()]
    whole = {
        "log.csv.gz": b"".join(map(gzip.compress, pieces)),
        "log.csv.zst": b"".join(map(zstd, pieces)),
        "log.zip": zipped(**{"in/log.csv": TEXT.encode(), "__MACOSX/._log.csv": b"\0\1", "in/": b""}),
    }
    for name, content in whole.items():
        assert rows(save(tmp_path / name, content)) == sorted(ROWS), name
        assert rows(save(tmp_path / "without_suffix", content)) == sorted(ROWS), name
        for length in (len(content) - 1, len(content) - 5, len(content) // 2, 30, 5):
            with pytest.raises(DataError):
                rows(save(tmp_path / f"cut.{name}", content[:length]))
    assert rows(save(tmp_path / "not_compressed.csv.gz", TEXT)) == sorted(ROWS)


def test_rows_that_end_where_a_compressed_file_is_cut_are_not_taken_for_all(tmp_path):
    """DuckDB reads such a file without a word."""
    text = "user_id,item_id\n" + "a,b\n" * 300_000
    for suffix, compress in (("gz", gzip.compress), ("zst", zstd)):
        content = compress(text.encode())
        with pytest.raises(DataError, match=f"a.csv.{suffix}: expected a complete (gzip|zstd)"):
            prepare("csv", save(tmp_path / f"a.csv.{suffix}", content[: len(content) * 3 // 4]), root=tmp_path)


@pytest.mark.skipif(not shutil.which("zstd"), reason="the command zstd is not installed")
def test_a_zstd_file_with_a_damaged_byte_is_an_error(rows, tmp_path):
    subprocess.run(["zstd", "-q", save(tmp_path / "log.csv", TEXT * 1)], check=True)
    content = bytearray((tmp_path / "log.csv.zst").read_bytes())
    content[len(content) // 2] ^= 1
    with pytest.raises(DataError):
        rows(save(tmp_path / "bad.csv.zst", bytes(content)))


def test_a_zip_may_hold_several_files_and_must_not_be_too_large(rows, tmp_path, monkeypatch):
    lines = TEXT.splitlines(keepends=True)
    members = {f"../{n}.csv": "".join([lines[0], *lines[1 + n * 100 : 101 + n * 100]]).encode() for n in range(3)}
    path = save(tmp_path / "log.zip", zipped(**members, **{"/etc/note.md": b"nothing"}))
    assert rows(path) == sorted(ROWS)
    assert not (tmp_path / "0.csv").exists()
    with pytest.raises(DataError, match="nested.zip/a.csv: expected a table, got a zip inside a zip"):
        rows(save(tmp_path / "nested.zip", zipped(**{"a.csv": zipped(**{"b.csv": TEXT.encode()})})))
    with pytest.raises(DataError, match=r"expected files named \*.csv or .* in other.zip, got none"):
        rows(save(tmp_path / "other.zip", zipped(**{"a.md": b"x"})))
    monkeypatch.setattr(files, "LARGEST", 1000)
    with pytest.raises(DataError, match="log.zip: expected files that fit on the disk once extracted"):
        rows(path)


def test_an_error_names_the_file_and_the_line_among_many(tmp_path):
    for n in range(12):
        save(tmp_path / "logs" / f"{n:02}.csv", TEXT)
    save(tmp_path / "logs" / "08.csv", TEXT.replace("u3,s3,", '"u\n3",s3,') + '\n"u\n",,1478000000\n')
    with pytest.raises(DataError, match=r"08.csv, line 305, column 'item_id': expected an id .* got nothing; 1 row"):
        prepare("csv", tmp_path / "logs", root=tmp_path)
    save(tmp_path / "logs" / "08.csv", TEXT + "u,s\n")
    with pytest.raises(DataError, match=r"08.csv, line 302: expected rows like the header"):
        prepare("csv", tmp_path / "logs", root=tmp_path)


ENCODINGS = {
    "utf-8": {}, "utf-8-sig": {}, "utf-16": {}, "utf-16-le": {"encoding": "utf-16-le"},
    "latin-1": {"encoding": "latin-1"}, "cp1252": {"encoding": "cp1252"}, "utf-32": {"encoding": "utf-32"},
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_encodings(rows, tmp_path, encoding, suffix):
    text = "user_id,item_id\n" + "".join(f"é{n},ü\n" for n in range(20_000))
    content = text.encode(encoding)
    content = {"": bytes, ".gz": gzip.compress, ".zst": zstd}[suffix](content)
    found = rows(save(tmp_path / f"log.csv{suffix}", content), **ENCODINGS[encoding])
    assert found == sorted((f"é{n}", "ü", None) for n in range(20_000))


def test_another_encoding_is_an_error_that_names_the_parameter(rows, tmp_path):
    early, late = "user_id,item_id\né,s\n", "user_id,item_id\n" + "a,s\n" * 50_000 + "é,s\n"
    for text, place in ((early, "a.csv"), (late, "a.csv, line 50002")):
        with pytest.raises(DataError, match=f"{place}: expected text in UTF-8, .* for instance ENCODING=latin-1"):
            prepare("csv", save(tmp_path / "a.csv", text.encode("latin-1")), root=tmp_path)
    with pytest.raises(DataError, match="ENCODING: expected an encoding such as 'latin-1' or 'utf-16', got 'latin-9x'"):
        rows(save(tmp_path / "a.csv", TEXT), encoding="latin-9x")
    with pytest.raises(DataError, match="a.csv: expected text in ascii, got bytes that are not; set ENCODING"):
        rows(save(tmp_path / "a.csv", early), encoding="ascii")


FORMS = {
    "comma": "user_id,item_id,timestamp\na,b,1478000000\n",
    "semicolon": "user_id;item_id;timestamp\na;b;1478000000\n",
    "tab": "user_id\titem_id\ttimestamp\na\tb\t1478000000\n",
    "bar": "user_id|item_id|timestamp\na|b|1478000000\n",
    "commas in a value": "user_id;item_id;timestamp;title\na;b;1478000000;x,y,z\n",
    "spaces": "user_id, item_id, timestamp\na, b, 1478000000\n",
    "spaces in the header": "user_id, item_id , timestamp\na,b,1478000000\n",
    "capitals": "USER_ID,Item_Id,TIMESTAMP\na,b,1478000000\n",
    "comment": "# made by x, in 2020\n# y\nuser_id,item_id,timestamp\na,b,1478000000\n",
    "empty lines": "\n\nuser_id,item_id,timestamp\na,b,1478000000\n\n",
    "header in a comment": "# made by x\n#user_id,item_id,timestamp\na,b,1478000000\n",
    "windows": "user_id,item_id,timestamp\r\na,b,1478000000\r\n",
    "old mac": "user_id,item_id,timestamp\ra,b,1478000000\r",
    "no end of line": "user_id,item_id,timestamp\na,b,1478000000",
    "quoted header": '"user_id","item_id","time\nstamp","timestamp"\na,b,,1478000000\n',
    "byte order mark": "\ufeffuser_id,item_id,timestamp\na,b,1478000000\n",
    "no name": ",user_id,item_id,timestamp\n0,a,b,1478000000\n",
    "odd names": 'a\'b,"c""d",{e},user_id,item_id,timestamp,__file,filename\n,,,a,b,1478000000,f,g\n',
}


@pytest.mark.parametrize("form", FORMS)
def test_headers(rows, tmp_path, form):
    assert rows(save(tmp_path / "log.csv", FORMS[form])) == [("a", "b", 1_478_000_000)]


def test_what_was_found_is_noted(engine, tmp_path):
    read(engine, save(tmp_path / "log.csv", FORMS["capitals"]))
    assert engine.decisions == [
        "The column 'USER_ID' is read as 'user_id'.", "The column 'Item_Id' is read as 'item_id'.",
        "The column 'TIMESTAMP' is read as 'timestamp'.",
        "Times are read as unix seconds, in UTC.",
    ]  # fmt: skip


def test_a_file_with_two_readings_is_an_error(rows, tmp_path):
    with pytest.raises(
        DataError, match="expected one separator and one header, got a comma or a semicolon in the line"
    ):
        rows(save(tmp_path / "a.csv", "x,y;z\n"), columns="a b", user_column="a", item_column="b")
    with pytest.raises(DataError, match="that differ by more than upper and lower case"):
        rows(save(tmp_path / "a.csv", "user_id,User_ID,item_id\na,b,c\n"))
    assert rows(save(tmp_path / "a.csv", "user_id;x,item_id\na;b,c\n"), separator=",", user_column="user_id;x") == [
        ("a;b", "c", None)
    ]


def test_files_without_a_header(rows, tmp_path):
    path = save(tmp_path / "a.csv", "ann,1478000000,song 1\nbob,1478000001,song 2\n")
    names = {"columns": "user time song", "user_column": "user", "item_column": "song", "time_column": "time"}
    assert rows(path, **names) == [("ann", "song 1", 1478000000), ("bob", "song 2", 1478000001)]
    path = save(tmp_path / "a.tsv", "# x\nann\t1478000000\tsong, 1\nbob\t1478000001\tsong; 2\n")
    assert rows(path, **names) == [("ann", "song, 1", 1478000000), ("bob", "song; 2", 1478000001)]
    message = "a.tsv: expected 4 values in a row, as COLUMNS names a b c d, got the line '# x'"
    with pytest.raises(DataError, match=message):
        rows(path, columns="a b c d")


def test_json_in_every_layout(rows, tmp_path):
    objects = [{"user_id": u, "item_id": i, "timestamp": t, "more": {"a": [1]}} for u, i, t in ROWS]
    lines = "\n".join(map(json.dumps, objects))
    for name, text in (
        ("list.json", json.dumps(objects)), ("pretty.json", json.dumps(objects, indent=2)), ("lines.jsonl", lines),
        ("lines.json", lines + "\n"),
        ("pretty lines.ndjson", "\n".join(json.dumps(each, indent=1) for each in objects)),
        ("late.json", json.dumps([{"user_id": "u0", "item_id": "s0", "timestamp": 1478000000}, *objects[1:]])),
    ):  # fmt: skip
        assert rows(save(tmp_path / name, text)) == sorted(ROWS), name
        assert rows(save(tmp_path / f"{name}.gz", gzip.compress(text.encode()))) == sorted(ROWS), name
        assert rows(save(tmp_path / f"{name}.zst", zstd(text.encode()))) == sorted(ROWS), name
        cuts = [text[:-3], text[: len(text) // 2 - 9]]
        if text.startswith("["):
            cuts.append(text[: text.rindex("}", 0, text.index('"u3"')) + 1])  # after a whole object
        for cut in cuts:
            with pytest.raises(DataError):
                prepare("csv", save(tmp_path / "cut.json", cut), root=tmp_path)
    numbers = [{"user_id": 2**60 + 1, "item_id": "007"}, {"user_id": 7, "item_id": 7}]
    assert rows(save(tmp_path / "n.json", json.dumps(numbers))) == [
        ("1152921504606846977", "007", None), ("7", "7", None)
    ]  # fmt: skip
    for text, message in (
        ("[]", "expected JSON objects with named values, got an empty list"),
        ("[1, 2]", "expected JSON objects, got '1'"),
        ("hello", "a list of objects or an object a line, got 'hello'"),
        ('{"a": 1}', "expected a column 'user_id', got 'a'"),
        ('[{"user_id": 1,', "a list of objects or an object a line, got"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message.replace("[", r"\[")):
            rows(save(tmp_path / "a.json", text))


PIECES = [
    '"', '""', "\\", "'", " ", "\t", ",", ";", "|", "#", "\x01", "\x1c", "\x1c\x1d", "\x7f", "\u2028", "ü", "🎈", "7"
]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_character_of_a_line_survives(engine, tmp_path, end):
    draw = random.Random(end)
    lines = ["".join(draw.choices(PIECES, k=draw.randrange(1, 9))) for _ in range(3000)]
    (tmp_path / "a.txt").write_bytes(end.join(lines).encode() + end.encode() * draw.randrange(2))
    (file,) = find_files(engine, tmp_path / "a.txt")
    assert open_lines(engine, file).table.text.to_pandas().tolist() == lines


def test_line_ends_of_several_kinds_lose_nothing(engine, tmp_path):
    draw, n_refused = random.Random(0), 0
    for number in range(30):
        kinds = draw.sample(["\n", "\r\n", "\r"], 2)
        lines = [f"{draw.randrange(100)} {draw.randrange(100)}" for _ in range(20)]
        path = tmp_path / f"{number}.txt"
        path.write_bytes("".join(line + kinds[draw.random() < 0.2] for line in lines).encode())
        (file,) = find_files(engine, path)
        try:
            found = open_lines(engine, file).table.text.to_pandas().dropna().tolist()
        except duckdb.Error:
            n_refused += 1
        else:
            assert found == lines, path.read_bytes()
    assert 0 < n_refused < 30


def test_no_row_of_lightgcn_is_lost_to_a_quotation_mark_or_a_line_end(tmp_path):
    lines = [f"{user} {user + 1} {user + 2} {user + 3}" for user in range(40)]
    (tmp_path / "test.txt").write_text("".join(f"{user} {user + 4}\n" for user in range(40)))
    train = tmp_path / "train.txt"
    train.write_text("\n".join(lines))
    assert prepare("lightgcn", tmp_path, root=tmp_path).manifest["steps"][0]["rows_out"] == 160
    for odd in ('"7 8 9', '7 "8" 9', '7 8\n"9 1', '"7 8 9"'):
        train.write_text("\n".join([*lines[:7], odd, *lines[8:]]))
        with pytest.raises(DataError, match="train.txt, line [89], column '.*': expected a whole number .*, got '.*\""):
            prepare("lightgcn", tmp_path, root=tmp_path)
    train.write_bytes("\r\n".join([*lines[:7], "7 8\r9 3", *lines[8:]]).encode())
    with pytest.raises(DataError, match="train.txt: expected .*, got line ends of several kinds; save the file"):
        prepare("lightgcn", tmp_path, root=tmp_path)


def test_a_first_row_that_begins_with_a_number_sign_is_not_lost(rows, tmp_path):
    names = {"columns": "user_id item_id timestamp"}
    lines = [f"u{n},s{n},{1_478_000_000 + n}" for n in range(9)]
    row, message = "#1,s1,1478000000", "a.csv: expected rows, got the line '#1,s1,1478000000', which can be a row"
    for first in ([row], ["", "# a comment", row], [row, "#2,s2,1478000000"]):
        path = save(tmp_path / "a.csv", "\n".join(first + lines))
        with pytest.raises(DataError, match=message):
            rows(path, **names)
    assert len(rows(save(tmp_path / "a.csv", "\n".join(['"#1",s1,1478000000', *lines])), **names)) == 10
    for comment in ("# two values, not three", "# user_id,item_id,Timestamp", "#", "# a\n\n# b"):
        assert len(rows(save(tmp_path / "a.csv", "\n".join([comment, *lines])), **names)) == 9
    assert len(rows(save(tmp_path / "a.csv", "\n".join(["user_id,item_id,timestamp", row, *lines])))) == 10
