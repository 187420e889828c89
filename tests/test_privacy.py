"""No raw user id, unless they are asked for, and no path of this machine is in a report, whether or not it succeeds."""

import base64
import re
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from conftest import REPOSITORY, run_reports
from hostile import MARK

ABSOLUTE = re.compile(r"(?<![\w+.:/~<-])/(?:home|root|tmp|usr|var|opt|mnt|work|Users|private)/\w")


def contents(path: Path) -> str:
    """Everything that a file says: its bytes, a Parquet file's values and metadata, and the images within."""
    text = path.read_bytes().decode(errors="replace")
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        text = f"{table.schema.metadata}{table.to_pydict()}"
    for image in re.findall(r"iVBORw0[A-Za-z0-9+/=\\n]+", text):
        text += base64.b64decode(image.replace("\\n", "")).decode("latin-1")
    return text


def check(folder: Path) -> None:
    """Every listener's id holds MARK, as it is and in whatever way it is escaped."""
    places = [str(folder.parent.parent), str(REPOSITORY), sys.prefix, str(Path.home()), tempfile.gettempdir()]
    for path in [*folder.iterdir(), folder.parent / "index.html"]:
        text = contents(path)
        assert MARK not in text, path.name
        assert not [place for place in places if len(place) > 1 and f"{place}/" in text], path.name
        assert not (found := ABSOLUTE.search(text)), (path.name, text[found.start() - 80 : found.end() + 80])


def test_a_report_knows_neither_listeners_nor_paths(hostile_report):
    assert {path.suffix for path in hostile_report.iterdir()} == {".html", ".ipynb", ".json", ".parquet"}
    check(hostile_report)


def test_nor_does_one_that_failed(hostile_report):
    given = ["--first=3", "--last=3", f"RUN={hostile_report.name}", "CUTOFFS=five"]
    status, folder, err = run_reports(hostile_report.parent.parent, *given)
    assert status == 1 and "ValueError" in err
    assert folder.name.endswith("_csv.failed") and "Traceback" in (folder / "03_evaluate.ipynb").read_text()
    check(folder)
    assert MARK not in err


def test_listeners_are_named_when_asked_for(hostile_report):
    """And so the check above would find them."""
    given = ["--last=1", "DATASET=csv", "DATA_PATH=log.parquet", "SHOW_USER_IDS=True"]
    _, folder, _ = run_reports(hostile_report.parent.parent, *given)
    assert MARK in (folder / "01_prepare.html").read_text() and MARK in contents(folder / "01_prepare.ipynb")
