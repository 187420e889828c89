"""Shared by several test files."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def run_reports(project: Path, *arguments: str) -> tuple[int, Path, str]:
    """Run the reports command in `project` on this repository's notebooks; return status, report folder and stderr."""
    command = [sys.executable, "-m", "recsys.reports", f"--notebooks={REPOSITORY / 'notebooks'}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    return done.returncode, (project / done.stdout.splitlines()[-1]).parent, done.stderr
