"""Speed and peak memory of writing and preparing a large invented log: python -m bench.prepare --rows 20000000."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import peak_memory
from recsys.data import synthetic
from recsys.data.prepare import prepare


def print_speed(work: Callable[[], object], rows: int, name: str) -> None:
    start = time.perf_counter()
    work()
    seconds, peak = time.perf_counter() - start, peak_memory()
    print(f"{name}: {rows:,} rows, {seconds:.1f} s, {rows / seconds:,.0f} rows/s, peak {peak:.2f} GB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, help="default: one for every 380 rows, as in DSG17")
    parser.add_argument("--items", type=int, default=450_000)
    parser.add_argument("--step", choices=["write", "prepare"], help="internal: run one step in this process")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    size = {"n_users": given.users or given.rows // 380, "n_items": given.items, "n_listens": given.rows, "seed": 1}
    if given.step == "write":
        print_speed(lambda: synthetic.write(given.folder / "log.parquet", **size), given.rows, "synthetic.write")
    elif given.step == "prepare":
        log = given.folder / "log.parquet"
        print_speed(lambda: prepare("dsg17", log, root=given.folder, split="by-time"), given.rows, "prepare by-time")
    else:
        with tempfile.TemporaryDirectory() as folder:
            for step in ("write", "prepare"):
                command = [sys.executable, "-m", "bench.prepare", *sys.argv[1:], "--step", step, "--folder", folder]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
