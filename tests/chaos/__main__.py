"""Counts faults: python tests/chaos [TOPIC …]

Runs the long form of every test in this folder and writes the figures to docs/reliability.md.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
KEPT = ROOT / "data" / "chaos"  # the figures of the last run, by topic
BEGIN, END = "<!-- begin: make chaos -->", "<!-- end -->"


def topics() -> list[str]:
    """Return the names of the files of tests, without their prefix."""
    return sorted(path.stem.removeprefix("test_") for path in HERE.glob("test_*.py"))


def run(topic: str) -> tuple[list[dict], bool]:
    """Run the tests of a topic; return their figures and whether all passed."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CHAOS": "full", "COUNTS": folder}
        command = [sys.executable, "-m", "pytest", "-q", "-rs", str(HERE / f"test_{topic}.py")]
        status = subprocess.run(command, cwd=ROOT, env=environment).returncode
        return [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))], status == 0


def table(figures: list[dict]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| what was done | cases | wrong | what must hold | seconds |", "| --- | ---: | ---: | --- | ---: |"]
    for each in sorted(figures, key=lambda each: (each["topic"], each["what"])):
        counts = [f"{each['tried']:,}", f"{each['wrong']:,}"]
        cells = [each["what"], *counts, f"{each['rule']} {each['note']}".strip(), f"{each['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the topics that are named, or all, and write the table of all topics that were ever run here."""
    parser = argparse.ArgumentParser("python tests/chaos", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"one of {' '.join(topics())} (default: all)")
    chosen = parser.parse_args().topics or topics()
    if unknown := sorted({*chosen} - {*topics()}):
        parser.error(f"expected topics among {' '.join(topics())}, got {' '.join(unknown)}")
    KEPT.mkdir(parents=True, exist_ok=True)
    failed, started = [], time.monotonic()
    for topic in chosen:
        print(f"--- {topic}", flush=True)
        figures, passed = run(topic)
        (KEPT / f"{topic}.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
        failed += [] if passed else [topic]
    kept = [json.loads((KEPT / f"{topic}.json").read_text()) for topic in topics() if (KEPT / f"{topic}.json").exists()]
    figures = [figure for each in kept for figure in each]
    about = f"Measured on {date.today()} with Python {platform.python_version()} on {os.cpu_count()} cores."
    text = PAGE.read_text(encoding="utf-8")
    new = f"{BEGIN}\n{about}\n\n{table(figures)}\n{END}"
    PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: new, text, flags=re.DOTALL), encoding="utf-8")
    print(table(figures), f"\n{time.monotonic() - started:.0f} s; failed: {' '.join(failed) or 'none'}", sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
