"""Counts faults: python tests/chaos [TOPIC …]

Runs the long form of every test in this folder, or of the topics, two topics at a time. Their figures go to
docs/reliability.json, where they replace earlier ones of the same topic, and from there to the table in
docs/reliability.md.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
KEPT = PAGE.with_suffix(".json")  # of each topic: the day of its last run, and its figures
AT_ONCE = 2  # topics; most of them use one core
BEGIN, END = "<!-- begin: make chaos -->", "<!-- end -->"


def topics() -> list[str]:
    """Return the names of the files of tests, without their prefix."""
    return sorted(path.stem.removeprefix("test_") for path in HERE.glob("test_*.py"))


def run(topic: str) -> tuple[list[dict], bool, str]:
    """Run the tests of a topic; return their figures, whether all passed, and what pytest printed."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        counts, temporary = (Path(folder, name) for name in ("counts", "t"))  # a short name: sockets lie below it
        counts.mkdir()
        temporary.mkdir()
        environment = {**os.environ, "CHAOS": "full", "COUNTS": str(counts), "TMPDIR": str(temporary)}
        command = [sys.executable, "-m", "pytest", "-q", "-rs", str(HERE / f"test_{topic}.py")]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        figures = [json.loads(path.read_text()) for path in sorted(counts.glob("*.json"))]
        return figures, done.returncode == 0, done.stdout


def keep(topic: str, figures: list[dict]) -> dict[str, dict]:
    """Replace what is kept of a topic, and return all that is kept."""
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    kept[topic] = {"measured": f"{date.today()}", "figures": figures}
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return kept


def seconds(topic: str) -> float:
    """Return how long a topic took when it was run last."""
    figures = json.loads(KEPT.read_text(encoding="utf-8")).get(topic, {}).get("figures", [])
    return sum(each["seconds"] for each in figures)


def table(kept: dict[str, dict]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| what was done | cases | wrong | what must hold | seconds |", "| --- | ---: | ---: | --- | ---: |"]
    for each in (figure for topic in sorted(kept) for figure in kept[topic]["figures"]):
        counts = [f"{each['tried']:,}", f"{each['wrong']:,}"]
        holds = " ".join(f"{text[0].upper()}{text[1:].rstrip('.')}." for text in (each["rule"], each["note"]) if text)
        cells = [each["what"], *counts, holds, f"{each['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    days = sorted({each["measured"] for each in kept.values()})
    about = f"Measured on {' to '.join(dict.fromkeys((days[0], days[-1])))} on {os.cpu_count()} cores."
    return "\n".join([about, "", *lines])


def main() -> int:
    """Run the topics that are named, or all, and write the table of all topics that were ever run."""
    parser = argparse.ArgumentParser("python tests/chaos", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"one of {' '.join(topics())} (default: all)")
    chosen = parser.parse_args().topics or topics()
    if unknown := sorted({*chosen} - {*topics()}):
        parser.error(f"expected topics among {' '.join(topics())}, got {' '.join(unknown)}")
    failed, started = [], time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:  # the longest first, so that the last ones end together
        running = {pool.submit(run, topic): topic for topic in sorted(chosen, key=seconds, reverse=True)}
        for each in as_completed(running):
            topic, (figures, passed, printed) = running[each], each.result()
            print(f"--- {topic}: {'passed' if passed else 'FAILED'}", printed, sep="\n", flush=True)
            failed += [] if passed else [topic]
            new, text = f"{BEGIN}\n{table(keep(topic, figures))}\n{END}", PAGE.read_text(encoding="utf-8")
            PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _, new=new: new, text, flags=re.DOTALL), encoding="utf-8")
    print(f"{time.monotonic() - started:.0f} s; failed: {' '.join(failed) or 'none'}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
