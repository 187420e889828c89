"""A report on data in which every name is hostile and every user id is recognisable.

Names that look like markup, script or control codes appear as plain text. The report contains no path of this machine
and, unless SHOW_USER_IDS asks for them, no raw user id, even when it fails.
"""

import base64
import re
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bs4 import BeautifulSoup
from conftest import REPOSITORY, run_reports
from hostile import MARK, NAMES, write_log
from test_pages import browse, needs_browser

from recsys.reports import explorer

PAGES = ("index", "01_prepare", "02_train", "03_evaluate", "04_explore")
ACTIVE = ("script", "iframe", "object", "embed", "form", "input", "button", "link", "base", "math", "animate", "video")
ABSOLUTE = re.compile(r"(?<![\w+.:/~<-])/(?:home|root|tmp|usr|var|opt|mnt|work|Users|private)/\w")


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory) -> Path:
    project = tmp_path_factory.mktemp("hostile")
    (project / "pyproject.toml").touch()
    write_log(project / "log.parquet")
    small = ["RECIPES=author", "EPOCHS=1", "BASELINES=popularity", "SONG=$\\frac{1}{"]
    status, folder, err = run_reports(project, "DATASET=csv", f"DATA_PATH={project / 'log.parquet'}", *small)
    assert status == 0, err
    return folder


@pytest.fixture(scope="module")
def pages(hostile_report):
    return {name: (hostile_report / f"{name}.html").read_text() for name in PAGES}


def test_names_are_plain_text_on_every_page(pages):
    assert len(NAMES) == len(set(NAMES)) == 50
    shown = set()
    for name, page in pages.items():
        soup = BeautifulSoup(page, "html.parser")
        assert not soup(ACTIVE), name
        assert len(soup("meta")) == 3 and len(soup("style")) == 1 and len(soup("h1")) == 1 and len(soup("main")) == 1
        for tag in soup(True):
            assert not [each for each in tag.attrs if each.startswith("on")], tag
            assert not str(tag.get("href", "")).lower().startswith(("javascript:", "data:")), tag
            assert tag.name != "img" or tag["src"].startswith("data:image/png;base64,"), tag
        assert "http://host.example" not in str([tag.attrs for tag in soup(href=True)])
        shown |= {each for each in NAMES if each.strip() and each[:25].strip() in soup.text}
    assert len(shown) > 20, shown


def test_control_codes_are_gone_and_pages_stay_small(pages, hostile_report):
    for name, page in pages.items():
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", page), name
        assert len(page) < 3e6
    assert sum(path.stat().st_size for path in hostile_report.iterdir()) < 5e6


def test_figures_are_drawn_and_described(pages):
    images = BeautifulSoup(pages["04_explore"], "html.parser")("img")
    assert len(images) >= 1
    for name, page in pages.items():
        for image in BeautifulSoup(page, "html.parser")("img"):
            assert len(image["alt"]) > 20 and "No description" not in image["alt"], name


@needs_browser
@pytest.mark.parametrize("name", ["index", "01_prepare", "03_evaluate", "04_explore", "explorer", "../index"])
def test_a_page_runs_no_script_requests_nothing_and_fits_a_phone(hostile_report, tmp_path, name):
    """The page's own policy, which would stop scripts, is removed; a script added here reads title and width."""
    text = (hostile_report / f"{name}.html").read_text()
    measured = "`${document.title} ${document.documentElement.scrollWidth} of ${innerWidth}`"
    script = f"<script>alert = () => 0; onload = () => document.body.append({measured})</script></main>"
    page = tmp_path / "page.html"
    page.write_text(re.sub("<meta http-equiv.*>", "", text).replace("</main>", script), encoding="utf-8")
    seen, calls = browse(page, tmp_path / "profile", "--window-size=390,800")
    title, width, screen = re.search(r"<title>(.*)</title>", seen)[1], *re.findall(r" (\d+) of (\d+)", seen)[-1]
    assert title != "taken" and not calls and int(width) <= int(screen) < 600


def contents(path: Path) -> str:
    """Return all text in a file: its bytes, the values and metadata of a Parquet file, and the images in it."""
    text = path.read_bytes().decode(errors="replace")
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        text = f"{table.schema.metadata}{table.to_pydict()}"
    if path.name == explorer.PAGE:
        text += str(explorer.unpack(text))
    for image in re.findall(r"iVBORw0[A-Za-z0-9+/=\\n]+", text):
        text += base64.b64decode(image.replace("\\n", "")).decode("latin-1")
    return text


def assert_private(folder: Path) -> None:
    """Assert that no file contains a user id or a path. Every user id contains MARK, and no escaping changes it."""
    places = [str(folder.parent.parent), str(REPOSITORY), sys.prefix, str(Path.home()), tempfile.gettempdir()]
    for path in [*folder.iterdir(), folder.parent / "index.html"]:
        text = contents(path)
        assert MARK not in text, path.name
        assert not [place for place in places if len(place) > 1 and f"{place}/" in text], path.name
        assert not (found := ABSOLUTE.search(text)), (path.name, text[found.start() - 80 : found.end() + 80])


def test_a_report_contains_no_user_ids_and_no_paths(hostile_report):
    assert {path.suffix for path in hostile_report.iterdir()} == {".html", ".ipynb", ".json", ".parquet"}
    assert_private(hostile_report)


def test_a_failed_report_contains_no_user_ids_and_no_paths(hostile_report):
    given = ["--first=3", "--last=3", f"RUN={hostile_report.name}", "CUTOFFS=five"]
    status, folder, err = run_reports(hostile_report.parent.parent, *given)
    assert status == 1 and "ValueError" in err
    assert folder.name.endswith("_csv.failed") and "Traceback" in (folder / "03_evaluate.ipynb").read_text()
    assert_private(folder)
    assert MARK not in err


def test_show_user_ids_shows_them(hostile_report):
    """This also shows that the check above would find them."""
    given = ["--last=1", "DATASET=csv", "DATA_PATH=log.parquet", "SHOW_USER_IDS=True"]
    _, folder, _ = run_reports(hostile_report.parent.parent, *given)
    assert MARK in (folder / "01_prepare.html").read_text() and MARK in contents(folder / "01_prepare.ipynb")
