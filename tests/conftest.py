"""What several files of tests share: one report on data whose every name is hostile and every listener recognisable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import write_log

REPOSITORY = Path(__file__).resolve().parent.parent


def run_reports(project: Path, *arguments: str) -> tuple[int, Path, str]:
    """Run the command in a project of its own on the notebooks of this one: status, folder that it made, errors."""
    command = [sys.executable, "-m", "recsys.reports", f"--notebooks={REPOSITORY / 'notebooks'}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    return done.returncode, (project / done.stdout.splitlines()[-1]).parent, done.stderr


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker have what shares a costly start: a file, the hostile report, or the notebooks' run "sample"."""
    for item in items:
        file = item.path.stem if item.path.suffix == ".py" else "notebooks"
        item.add_marker(pytest.mark.xdist_group({"test_privacy": "test_hostile"}.get(file, file)))


@pytest.fixture(scope="session")
def hostile_report(tmp_path_factory) -> Path:
    project = tmp_path_factory.mktemp("hostile")
    (project / "pyproject.toml").touch()
    write_log(project / "log.parquet")
    small = ["RECIPES=author", "EPOCHS=1", "BASELINES=popularity", "SONG=$\\frac{1}{"]
    status, folder, err = run_reports(project, "DATASET=csv", f"DATA_PATH={project / 'log.parquet'}", *small)
    assert status == 0, err
    return folder
