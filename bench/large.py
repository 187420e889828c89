"""A whole report on a large invented log, with its time and peak memory: python -m bench.large [ROWS=…] [NAME=value …]

The log is a folder of Parquet files. Songs are drawn by Zipf's law and listeners by the law of Zipf and Mandelbrot;
each listener plays in sessions of 20 songs. What is played is drawn independently, so no recommender can beat
popularity: only time and memory are of interest. Other parameters are passed on to the report.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from bench import ROOT, zipf_ranks
from recsys.files import read_json, working_folder

SIZES = {"ROWS": 50_000_000, "SONGS": 500_000, "USERS": 200_000}
SHIFT = 1000  # of the ranks of listeners: the most active one has about 1 / (SHIFT · ln(USERS / SHIFT)) of all rows
SESSION, SECONDS_PER_SONG = 20, 240
START, DAYS = np.datetime64("2025-01-01", "s"), 365
ROWS_PER_FILE = 4_000_000


def write_log(folder: Path, n_rows: int, n_songs: int, n_users: int, seed: int = 0) -> None:
    """Write `user_id`, `item_id` and `timestamp` of n_rows listens to Parquet files of some 4 million rows each."""
    rng = np.random.default_rng(seed)
    weights = 1 / (np.arange(n_users) + SHIFT)
    listens = rng.multinomial(n_rows - n_users, weights / weights.sum()) + 1  # of each user
    names = rng.permutation(n_songs)
    with working_folder(folder.parent) as temporary:
        for number in range(1 + (n_rows - 1) // ROWS_PER_FILE):
            first, last = np.searchsorted(listens.cumsum(), np.array([number, number + 1]) * ROWS_PER_FILE)
            last = n_users if (number + 1) * ROWS_PER_FILE >= n_rows else last
            own = listens[first:last]
            user = np.repeat(np.arange(first, last), own)
            place = np.arange(len(user)) - np.repeat(own.cumsum() - own, own)  # among the rows of the listener
            begins = place % SESSION == 0
            starts = rng.integers(0, DAYS * 86_400, np.count_nonzero(begins))[np.cumsum(begins) - 1]
            song = names[zipf_ranks(rng, n_songs, len(user))]
            times = START + starts + place % SESSION * SECONDS_PER_SONG
            rows = pd.DataFrame({"user_id": user, "item_id": song, "timestamp": times})
            rows.to_parquet(temporary / f"listens-{number:03}.parquet", index=False)
        temporary.rename(folder)


class Watch(threading.Thread):
    """Looks at the memory of a process and of all its children, ten times a second."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.process, self.peak = psutil.Process(pid), 0

    def run(self) -> None:
        """Look until the process is gone."""
        while self.process.is_running():
            try:
                tree = [self.process, *self.process.children(recursive=True)]
                self.peak = max(self.peak, sum(each.memory_info().rss for each in tree))
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """Write the log, unless it is there, and make the report. Print the seconds of each step and the peak memory."""
    given = dict(each.partition("=")[::2] for each in arguments)
    n_rows, n_songs, n_users = (int(given.pop(name, default)) for name, default in SIZES.items())
    folder = ROOT / "data" / "bench" / f"large-{n_rows}-{n_songs}-{n_users}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_log(folder, n_rows, n_songs, n_users)
    parameters = {"DATA_PATH": str(folder), "RECIPES": "fast"} | given
    name = f"large-{n_rows}"
    command = [sys.executable, "-m", "recsys.reports", f"--name={name}"]
    process = subprocess.Popen([*command, *(f"{key}={value}" for key, value in parameters.items())], cwd=ROOT)
    watch, start = Watch(process.pid), time.perf_counter()
    watch.start()
    status = process.wait()
    print(f"{n_rows:,} rows: status {status}, {time.perf_counter() - start:.0f} s, peak {watch.peak / 1e9:.2f} GB")
    if not status:
        seconds = read_json(ROOT / "reports" / name / "run.json")["seconds"]
        print(*(f"{step}: {each:.0f} s" for step, each in seconds.items()), sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
