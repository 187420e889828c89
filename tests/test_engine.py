"""DuckDB's memory: enough for very many rows, never more than is free, and an error that says what to do."""

from types import SimpleNamespace

import pytest

from recsys.data import engine as duck
from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.prepare import prepare

GIB = 2**30


def limit(engine) -> float:
    """Return the memory that an engine may use, in GiB."""
    text = engine.connection.raw_sql("SELECT current_setting('memory_limit')").fetchone()[0]
    number, unit = text.split()
    return float(number) * {"MiB": 1 / 1024, "GiB": 1.0}[unit]


@pytest.mark.parametrize(
    ("n_rows", "free", "gigabytes"),
    [(10**6, 8e9, 1.0), (5 * 10**7, 8e9, 1.0), (10**8, 8e9, 2.0), (10**9, 8e9, 6.4), (10**9, 1e9, 1.0)],
)
def test_memory_grows_with_the_rows_up_to_what_is_free(tmp_path, monkeypatch, n_rows, free, gigabytes):
    monkeypatch.setattr(duck.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    with start_engine(tmp_path) as engine:
        assert limit(engine) == pytest.approx(1e9 / GIB, rel=0.1)
        engine.make_room(n_rows)
        assert limit(engine) == pytest.approx(gigabytes * 1e9 / GIB, rel=0.1)


def test_preparing_makes_room_for_all_rows(tmp_path, monkeypatch):
    rows = [f"u{n % 9},s{n % 40}" for n in range(360)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id", *rows]))
    seen: list[int] = []
    monkeypatch.setattr(duck.Engine, "make_room", lambda self, n_rows: seen.append(n_rows))
    prepare("csv", tmp_path / "log.csv", root=tmp_path, n_candidates=1, split="random")
    assert seen == [360]


def test_too_little_memory_is_an_error_with_a_remedy(tmp_path):
    message = "expected enough memory to prepare all rows, got DuckDB's error: Out of Memory Error.*; set USER_FRACTION"
    with pytest.raises(DataError, match=message), start_engine(tmp_path, memory=10**7, threads=1) as engine:
        engine.connection.raw_sql("SELECT list(range) FROM range(10_000_000)").fetchall()
