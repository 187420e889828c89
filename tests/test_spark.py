"""Spark and DuckDB give the same values, rows and lists; what only Spark reads is read; errors say what to do."""

import dataclasses
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import workflow
from recsys.data import synthetic
from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.listens import hash_number, join_values
from recsys.data.oddities import _plain
from recsys.data.partition import hash_bound
from recsys.data.prepare import prepare
from recsys.data.readers.addresses import Address, locate
from recsys.data.readers.columns import FLAG, epoch_us, is_empty, number, whole_number
from recsys.data.readers.times import FORMS, in_range, try_strptime
from recsys.lists_on_spark import write_on_spark
from recsys.recommend import Recommender, main, write_lists
from recsys.runs import Run

ROOT = Path(__file__).parents[1]
HAS_JAVA = bool(shutil.which("java") or os.environ.get("JAVA_HOME"))
MISSING = "" if importlib.util.find_spec("pyspark") else "PySpark" if HAS_JAVA else "PySpark and Java"
MISSING = MISSING or ("" if HAS_JAVA else "Java")
needs_spark = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} is not installed; `make spark` says how")
SETTINGS = {  # what a session for large data does is slow for tables of a few rows
    "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false", "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN", "spark.driver.host": "localhost",
}  # fmt: skip
TEXTS = [
    "", " ", "5", "+5", "-7", "05", "5\n", "\t5 ", "5.", "5.5", ".5", "1e3", "1.0", "9223372036854775807",
    "9223372036854775808", "1500000000", "1500000000.5", "1500000000.123456", "1500000000000", "1500000000000000",
    "1500000000123456789", "20200913", "20200913143000", "20201313", "20200230", "44087.51", "2020-01-02",
    "2020-01-02 03:04", "2020-01-02T03:04:05", "2020-01-02T03:04:05Z", "2020-01-02T03:04:05.123456789Z",
    "2020-01-02 03:04:05.1234565", "2020-01-02 03:04:05,5 +02:00", "2020-01-02 03:04:05-0130", "2020-01-02 24:00:00",
    "2020-01-02 24:00:01", "2020-02-30 01:00", "2020-01-02 03:04:60", "\u00a0", "\u200b", "é", "e\u0301", "\x0b",
    "\x0b5", "vfa", "a\x0b", "日本", "🎵", " x ", "\ufeff", "True", "0.0", "no", None, "NULL", "nan", "١٢",
    "1600000000.9999995", "1600000000.5\n", "1969-12-31", "0001-01-01", "9999-12-31 00:00:00", "it's", 'a"b\\c',
]  # fmt: skip
DECIMALS = [
    0.0, -0.0, 1.0, 1.5, 0.001, 0.0001234, 1e7, 12345678.5, 1.6e9, 1600000000.123456, 1e15, 50.0, 49.999999, 44087.51,
    2.5, 3.5, -2.5, 1.6e12, 1.6e12 + 0.5, 1e16, 1e22, 1e-5, float("nan"), float("inf"), None,
]  # fmt: skip


@pytest.fixture(scope="module")
def session():
    """A Spark session that all tests of this module share."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def both(session, tmp_path, table: pa.Table, expressions) -> list[list[dict]]:
    """Return the values of expressions of a table's rows, `expressions(table)`, from both engines."""
    from recsys.data.spark_sql import connect

    found = []
    with start_engine(tmp_path, threads=2) as engine:
        own = session.newSession()
        own.conf.set("spark.sql.ansi.enabled", "false")
        own.createDataFrame(table).createOrReplaceTempView("rows")
        for rows in (engine.connection.create_table("rows", table), connect(own).table("rows")):
            found.append(rows.select(number="number", **expressions(rows)).order_by("number").to_pyarrow().to_pylist())
    return found


def assert_same(found: list[list[dict]], values: list) -> None:
    different = {
        (name, repr(values[one["number"]])): (one[name], other[name])
        for one, other in zip(*found, strict=True) for name in one
        if one[name] != other[name] and not (one[name] != one[name] and other[name] != other[name])
    }  # fmt: skip
    assert not different


def readings(column, forms) -> dict:
    """Return all that readers do with a column."""
    found = {"whole": whole_number(column), "decimal": number(column), "flag": FLAG.parse(column)}
    kinds = [in_range(form) for form in forms]
    for position, (form, kind) in enumerate(zip(forms, kinds, strict=True)):
        found[f"form {position}"] = form.fits(column).fill_null(False)
        found[f"time {position}"] = epoch_us(kind.parse(column))
    found["outside"] = kinds[-1].is_outside(column)
    return found


@needs_spark
def test_text_means_the_same(session, tmp_path):
    table = pa.table({"number": range(len(TEXTS)), "text": TEXTS})

    def expressions(rows):
        own, hashed = try_strptime(rows.text.strip(), "%Y-%m-%d %H:%M"), hash_number(join_values(3, rows.text))
        return readings(rows.text, FORMS) | {
            "empty": is_empty(rows.text), "plain": _plain(rows.text), "lower": rows.text.lower(), "own": epoch_us(own),
            "drawn": hashed < hash_bound(0.3), "hash": rows.number.hash() % 7,
            "spread": rows.text.notnull().ifelse(hash_number(rows.text).hash() % 7, 0),
        }  # fmt: skip

    assert_same(both(session, tmp_path, table, expressions), TEXTS)


@needs_spark
def test_numbers_mean_the_same(session, tmp_path):
    table = pa.table({"number": range(len(DECIMALS)), "value": DECIMALS})
    assert_same(both(session, tmp_path, table, lambda rows: readings(rows.value, FORMS[:-1])), DECIMALS)


def equal_folders(tmp_path, dataset, path, **parameters):
    """Prepare with both engines and compare rows, codes, parts and the account; return the split's folder."""
    one, other = (prepare(dataset, path, root=tmp_path, engine=each, **parameters) for each in ("duckdb", "spark"))
    facts = [
        {**each.manifest, "parameters": "", "key": "", "files": [*each.manifest["files"]]} for each in (one, other)
    ]
    assert facts[0] == facts[1]
    for name in facts[0]["files"]:
        tables = [pq.read_table(each.folder / name, partitioning=None) for each in (one, other)]
        assert tables[0].schema.equals(tables[1].schema), name
        assert tables[0].equals(tables[1]), name
    return other


def odd_table(n: int) -> pd.DataFrame:
    """Return listens with ids that are easily damaged, equal times, repeats, and times as text."""
    draw = np.random.default_rng(1)
    users = np.array(["007", "7", "é", "e\u0301", " x", 'q"q', "a,b", "日本", "zz", "Z", *map(str, range(20))], object)
    frame = pd.DataFrame({
        "who": users[(draw.random(n) ** 2 * len(users)).astype(int)],
        "song": [f"song {int(each)}" for each in draw.random(n) ** 2 * 60],
        "at": [f"2020-01-{day:02} 10:{minute:02}:00" for day, minute in draw.integers(1, 28, (n, 2))],
        "seconds": draw.integers(0, 90, n).astype(float),
    })  # fmt: skip
    return frame.assign(artist=frame.song.str[-1])


@needs_spark
def test_a_folder_of_parquet_is_prepared_alike(session, tmp_path):
    (tmp_path / "logs").mkdir()
    for seed in range(2):
        size = {"n_users": 40, "n_items": 200, "n_listens": 1_500}
        synthetic.write(tmp_path / "logs" / f"{seed}.parquet", **size, seed=seed)
    equal_folders(tmp_path, "dsg17", tmp_path / "logs", on_leak="drop")


@needs_spark
@pytest.mark.parametrize("split", ["random", "by-user-last"])
def test_text_ids_and_times_are_prepared_alike(session, tmp_path, split):
    odd_table(2_000).to_parquet(tmp_path / "log.parquet", index=False)
    columns = {"user_column": "who", "item_column": "song", "time_column": "at", "seconds_column": "seconds"}
    drawn = {"split": split, "repeats": "first", "user_fraction": 0.8, "min_item_listens": 3, "seed": 5}
    equal_folders(tmp_path, "csv", tmp_path / "log.parquet", **columns, **drawn)


@needs_spark
def test_a_given_split_is_prepared_alike(session, tmp_path):
    draw = np.random.default_rng(2)
    lines = [f"{user} {' '.join(map(str, draw.permutation(60)[:12]))}\n" for user in range(40)]
    (tmp_path / "train.txt").write_text("".join(line.rsplit(" ", 3)[0] + "\n" for line in lines))
    last = [[line.split()[0], *line.split()[-3:]] for line in lines]
    last[0].append(lines[0].split()[1])  # train has this pair too
    (tmp_path / "test.txt").write_text("".join(" ".join(each) + "\n" for each in last))
    made = equal_folders(tmp_path, "lightgcn", tmp_path, on_leak="drop")
    dropped = {step["step"]: step["dropped"] for step in made.manifest["steps"]}
    assert dropped["leaks"] == {"in an earlier part too": 1}


@needs_spark
def test_an_address_and_a_table_are_read(session, tmp_path):
    frame = (
        odd_table(600).rename(columns={"who": "user_id", "song": "item_id", "at": "timestamp"}).drop(columns="seconds")
    )
    (tmp_path / "a folder").mkdir()
    frame.to_csv(tmp_path / "a folder" / "log.csv", index=False)
    expected = prepare("csv", tmp_path / "a folder", root=tmp_path)
    address = f"file://{tmp_path}/a folder/log.csv"
    assert isinstance(locate(address, "spark"), Address) and locate("nothing.here", "spark") == "nothing.here"
    made = prepare("auto", address, root=tmp_path, engine="spark")
    assert made.manifest["parts"] == expected.manifest["parts"] and made.manifest["steps"] == expected.manifest["steps"]
    assert prepare("auto", address, root=tmp_path, engine="spark").reused
    assert made.manifest["source"][0]["bytes"] == (tmp_path / "a folder" / "log.csv").stat().st_size
    with pytest.raises(DataError, match="or a table of Spark's catalogue, got 'no_such_table', which is none"):
        prepare("csv", "no_such_table", root=tmp_path, engine="spark")
    with pytest.raises(DataError, match="expected one of 30music, csv, dsg17, yambda to read file:.*, got 'spotify'"):
        prepare("spotify", address, root=tmp_path, engine="spark")
    with pytest.raises(DataError, match="Spark: .*PATH_NOT_FOUND"):
        prepare("csv", f"file://{tmp_path}/nothing", root=tmp_path, engine="spark")


@needs_spark
def test_a_value_that_cannot_be_read_is_named_and_nothing_is_left(session, tmp_path):
    frame = odd_table(50)
    frame.loc[7, "at"] = "yesterday"
    frame.to_parquet(tmp_path / "log.parquet", index=False)
    with pytest.raises(DataError, match="log.parquet, row 8, column 'at': expected a time .*, got 'yesterday'"):
        prepare("csv", tmp_path / "log.parquet", root=tmp_path, user_column="who", item_column="song", time_column="at",
                engine="spark")  # fmt: skip
    assert not list((tmp_path / "data" / "prepared").iterdir())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with a trained run, mine."""
    root = tmp_path_factory.mktemp("project")
    run = Run("mine", root)
    split = workflow.prepare_run(run)
    workflow.train_run(run, split, workflow.choose_recipes(run, split, "author", epochs=1, dim=8))
    (root / "pyproject.toml").touch()
    return root


@needs_spark
def test_lists_of_a_spark_job_are_those_of_this_machine(session, project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    folder = project / "data/runs/mine/recommendations"
    for repeats, name in (("new", "author"), ("both", "author-both")):
        recommender = Recommender.load("mine", root=project)
        local = pd.read_parquet(write_lists(recommender, 5, lambda line: None, repeats))
        assert main(["K=5", f"REPEATS={repeats}", "ENGINE=spark"]) == 0
        assert "1,463 of 1,463 listeners" in capsys.readouterr().out and len([*(folder / name).glob("*.parquet")]) == 2
        pd.testing.assert_frame_equal(pd.read_parquet(folder / name, partitioning=None), local)
    before = sorted((folder / name).iterdir())
    lists = recommender.lists_to_send("both")
    broken = dataclasses.replace(lists, user_ids=lists.user_ids[:1])
    with pytest.raises(DataError, match="Spark: IndexError: "):
        write_on_spark(broken, folder / name, 5, "both", {}, log=lambda line: None)
    assert sorted((folder / name).iterdir()) == before and not list(folder.glob(".*"))


@needs_spark
def test_a_killed_job_leaves_the_lists_as_they_were(session, project, monkeypatch):
    monkeypatch.chdir(project)
    folder = project / "data/runs/mine/recommendations"
    lists, values = folder / "author-again", ["K=5", "REPEATS=again", "ENGINE=spark"]
    lists.mkdir(parents=True)
    (lists / "before.parquet").touch()
    command = [sys.executable, "-m", "recsys.recommend", *values]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True) as job:
        while not list(folder.glob(".*/lists/_temporary")):
            assert job.poll() is None
            time.sleep(0.05)
        os.killpg(job.pid, signal.SIGKILL)
    assert [path.name for path in lists.iterdir()] == ["before.parquet"] and list(folder.glob(".*"))
    assert main(values) == 0
    assert (lists / "_facts.json").exists() and not (lists / "before.parquet").exists() and not list(folder.glob(".*"))


def test_without_pyspark_the_error_names_the_command_that_installs_it(tmp_path, monkeypatch):
    for name in [each for each in sys.modules if each.split(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(DataError, match="ENGINE=spark: expected PySpark .* got no PySpark; `make spark`"):
        prepare("sample", root=tmp_path, engine="spark")
    assert not list((tmp_path / "data" / "prepared").iterdir())


def test_duckdb_does_not_read_addresses(tmp_path):
    with pytest.raises(DataError, match="got s3a://bucket/log.parquet; set ENGINE=spark"):
        prepare("csv", "s3a://bucket/log.parquet", root=tmp_path)
    with pytest.raises(DataError, match="ENGINE: expected one of duckdb, spark, got 'flink'"):
        prepare("sample", root=tmp_path, engine="flink")
