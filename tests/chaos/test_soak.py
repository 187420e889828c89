"""Many reports in a row by one process: no more processes, open files, memory, hidden folders than after the first."""

import gc
import json
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import tiny

from recsys.reports import runner

RULE = "no more processes, open files, threads and hidden folders than before; at most 20 MB more memory"
SECONDS = 1150.0  # in which the full form makes as many reports as it can, at most REPORTS
REPORTS, SETTLED = 200, 10  # after so many reports all caches are filled
LIMIT_BYTES = 20 * 2**20


def held(root: Path) -> dict[str, int]:
    """Return what this process holds, and what is left over in its folders."""
    own = psutil.Process()
    gc.collect()
    hidden = [path for folder in (root, Path(tempfile.gettempdir())) for path in folder.rglob(".*")]
    counts = {"processes": len(own.children(recursive=True)), "files": own.num_fds(), "threads": own.num_threads()}
    return counts | {"hidden": len(hidden), "bytes": own.memory_info().rss}


def make_project(root: Path) -> Path:
    """Write a notebook that prints and draws into a folder."""
    root.mkdir()
    (root / "pyproject.toml").touch()
    code = "import matplotlib.pyplot as plt\nprint(RUN)\nplt.plot([1, 3, 2])"
    tiny.write_notebook(root / "notebooks" / "01_prepare.ipynb", code, "1 + 1")
    return root


def many(root: Path, n: int, seconds: float) -> int:
    """Make reports with papermill, one after the other, and note after each what is held."""
    end, notes = time.monotonic() + seconds, []
    while len(notes) < n and time.monotonic() < end:
        if status := runner.main([f"--notebooks={root / 'notebooks'}", "--last=1", f"--name=report-{len(notes)}"]):
            return status
        notes.append(held(root))
        (root / "held.json").write_text(json.dumps(notes))
    return 0


def test_many_reports_in_a_row(tmp_path, full, count):
    if not full:
        pytest.skip("in the full form only: make chaos TOPICS=soak")
    root = make_project(tmp_path / "project")
    process = tiny.start(root, many, REPORTS, SECONDS)
    assert tiny.finish(process, SECONDS + 60) == 0, (root / "log").read_text()[-2000:]
    notes = json.loads((root / "held.json").read_text())
    first, last = notes[SETTLED - 1], notes[-1]
    grown = {name: last[name] - first[name] for name in first}
    wrong = [name for name, more in grown.items() if more > (LIMIT_BYTES if name == "bytes" else 0)]
    shown = tiny.half_reports(root / "reports"), len(list((root / "reports").glob("[!.]*/index.html")))
    print(grown, notes[:: max(len(notes) // 10, 1)], shown, sep="\n")
    note = f"{last['bytes'] / 2**20:.0f} MB at the end, {grown['bytes'] / 2**20:+.1f} MB since report {SETTLED}; "
    note += f"{last['files']} open files, {last['processes']} processes."
    count("reports in a row by one process", len(notes), len(wrong) + (shown != ([], len(notes))), RULE, note)
