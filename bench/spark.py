"""Whether Spark prepares what DuckDB does, and the seconds of both: python -m bench.spark --music sessions.parquet.

Without --music, and before it, logs are compared that tests/files and `bench.prepare` have in the forms of the readers,
and an invented log of --rows rows. Spark's settings are its own; PYSPARK_SUBMIT_ARGS sets them.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench import ROOT
from recsys.data import synthetic
from recsys.data.prepare import Prepared, prepare
from recsys.data.spark import spark_session

FILES = {  # small files in the form of each reader: its name, and what these files allow
    "lastfm-1k": {}, "lastfm-360k": {}, "spotify": {}, "spotify-one-year": {}, "lastfm-scrobbles": {},
    "listenbrainz": {}, "yambda": {}, "yambda-events": {}, "movielens-csv": {"positives": "all"},
    "movielens-dat": {"positives": "all"},
}  # fmt: skip
NAMES = {
    "spotify-one-year": "spotify",
    "yambda-events": "yambda",
    "movielens-csv": "movielens",
    "movielens-dat": "movielens",
}


def cases(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, str, Path | None, dict[str, Any]]]:
    """Yield what to prepare: what it is, the data set, its path and parameters."""
    for name, parameters in FILES.items():
        path = ROOT / "tests" / "files" / name
        yield name, NAMES.get(name, name), path, {"n_candidates": 1, "split": "random", **parameters}
    if given.music:
        for split in ("by-time", "by-user-last", "random"):
            yield f"30music, {split}", "30music", given.music, {"split": split}
    size = {"n_users": given.rows // 380 or 1, "n_items": 450_000, "seed": 1}
    logs = folder / "logs"
    logs.mkdir()
    synthetic.write(logs / "log.parquet", n_listens=given.rows, **size)
    yield f"{given.rows:,} invented rows", "dsg17", logs, {}


def differences(one: Prepared, other: Prepared) -> list[str]:
    """Return the entries of the manifest and the files in which two prepared folders differ."""
    found = [name for name in one.manifest if name not in ("key", "parameters", "files")]
    found = [name for name in found if one.manifest[name] != other.manifest[name]]
    for name in one.manifest["files"]:
        tables = [pq.read_table(each.folder / name, partitioning=None) for each in (one, other)]
        found += [] if tables[0].schema.equals(tables[1].schema) and tables[0].equals(tables[1]) else [name]
    return found


def main() -> int:
    """Compare both engines on each log, and return 1 if any differs."""
    parser = argparse.ArgumentParser("python -m bench.spark", description=__doc__)
    parser.add_argument("--music", type=Path, help="sessions.parquet of 30Music")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the invented log")
    parser.add_argument("--only", help="a part of the names of the logs to compare")
    given, n_different = parser.parse_args(), 0
    with tempfile.TemporaryDirectory() as folder, spark_session() as session:
        print(f"Spark {session.version} at {session.sparkContext.master}")
        for what, dataset, path, parameters in cases(given, Path(folder)):
            if given.only and given.only not in what:
                continue
            made, seconds = [], []
            for engine in ("duckdb", "spark"):
                started = time.perf_counter()
                made.append(prepare(dataset, path, root=Path(folder), engine=engine, **parameters))
                seconds.append(time.perf_counter() - started)
            different = differences(*made)
            n_different += bool(different)
            verdict = f"DIFFERENT: {', '.join(different)}" if different else "equal"
            n_rows = made[0].manifest["steps"][0]["rows_in"]
            print(
                f"{what}: {n_rows:,} rows, DuckDB {seconds[0]:.1f} s, Spark {seconds[1]:.1f} s, {verdict}", flush=True
            )
    return int(n_different > 0)


if __name__ == "__main__":
    raise SystemExit(main())
