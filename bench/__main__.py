"""Measure speed and memory: python -m bench [--full] [--only NAMES] [DATASET=PATH …]

Each measure runs in a process of its own, and its ratios are written to data/bench/latest.json when it ends. The time
to reach ALS is measured on the given data sets, such as 30music=sessions.parquet, or else on the sample.
"""

import argparse
import importlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import ROOT, peak_memory
from recsys.files import read_json, write_json

MEASURES = ("author", "limit", "ranking", "als", "growth", "startup")
RESULT = ROOT / "data" / "bench" / "latest.json"
TARGETS = {
    "author_rows_vs_rowwise": "at least 30",
    "best_vs_limit": "at least 0.6",
    "ranking_vs_product": "at most 2.5",
    "faiss_vs_ranking": "at least 2",
    "time_to_als": "at most 5",
    "cost_per_row_growth": "at most 2",
}


def environment() -> dict[str, Any]:
    """Return what the figures depend on: the number of cores, the machine and versions."""
    versions = {"python": platform.python_version()}
    for name in ("tensorflow", "keras", "numpy", "scipy", "implicit", "faiss-cpu"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {"cores": os.cpu_count(), "machine": platform.machine(), "versions": versions}


def take_measure(name: str, full: bool, data: list[str]) -> dict[str, Any]:
    """Take one measure in this process."""
    module = importlib.import_module(f"bench.{name}")
    found = module.measure(full, prepare_splits(data)) if name == "als" else module.measure(full)
    return found | {"peak memory, GB": peak_memory()}


def prepare_splits(data: list[str]) -> dict[str, Any]:
    """Prepare the data sets given as NAME=PATH; those with times are split by the users' last listens."""
    from recsys.workflow import prepare

    chosen = {}
    for each in data or ["sample="]:
        name, _, path = each.partition("=")
        by = {} if name in ("sample", "lightgcn") else {"split": "by-user-last"}
        chosen[name] = prepare(name, path or None, root=ROOT, **by)
    return chosen


def main() -> None:
    """Take all measures, or those named, and print each ratio with its target."""
    about = __doc__.partition("\n\n")[2]
    parser = argparse.ArgumentParser("python -m bench", description=about)
    parser.add_argument("data", nargs="*", metavar="DATASET=PATH")
    parser.add_argument("--full", action="store_true", help="more runs, 50 million rows, memory of ranking")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument("--into", type=Path, help="internal: take one measure here, and write it to this file")
    given = parser.parse_args()
    if given.into:
        return write_json(given.into, take_measure(given.only[0], given.full, given.data))
    result = (read_json(RESULT) if RESULT.exists() and len(given.only) < len(MEASURES) else {}) | environment()
    result |= {"ratios": result.get("ratios", {}), "measures": result.get("measures", {}), "targets": TARGETS}
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            into, started = Path(folder) / "measure.json", time.perf_counter()
            options = ["--full"] * given.full + ["--only", name, "--into", into]
            subprocess.run([sys.executable, "-m", "bench", *given.data, *options], cwd=ROOT, check=True)
            found = read_json(into)
        result["ratios"] |= found.pop("ratios")
        facts = {"full": given.full, "finished": time.strftime("%Y-%m-%d %H:%M:%S")}
        result["measures"][name] = found | facts | {"seconds": round(time.perf_counter() - started, 1)}
        write_json(RESULT, result)
        print(f"{name}: {result['measures'][name]['seconds']:.0f} s", flush=True)
    for name, target in TARGETS.items():
        ratio = result["ratios"].get(name)
        text = "{median:.2f} ({low:.2f} to {high:.2f}, {runs} runs)".format(**ratio) if ratio else "not measured"
        print(f"{name:24} {text:36} target: {target}")
    if not given.full:
        print("Growth was measured up to 5 million rows and 100,000 songs; FULL=1 measures 50 million and 1,000,000.")


if __name__ == "__main__":
    main()
