"""One report on data whose every name is hostile and every listener recognisable.

Names that try to be markup, script or control codes are text on its pages; and no raw user id, unless they are asked
for, and no path of this machine is in it, whether or not it succeeds.
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
from test_html import browse, needs_browser

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


def test_names_are_text_on_every_page(pages):
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


def test_figures_survive_and_say_what_they_show(pages):
    images = BeautifulSoup(pages["04_explore"], "html.parser")("img")
    assert len(images) >= 2
    for name, page in pages.items():
        for image in BeautifulSoup(page, "html.parser")("img"):
            assert len(image["alt"]) > 20 and "No description" not in image["alt"], name


@needs_browser
@pytest.mark.parametrize("name", ["index", "01_prepare", "03_evaluate", "04_explore", "../index"])
def test_nothing_runs_nothing_is_asked_for_and_it_fits_a_phone(hostile_report, tmp_path, name):
    """Without the page's own policy, which would stop it all; what is planted behind tells of title and width."""
    text = (hostile_report / f"{name}.html").read_text()
    told = "`${document.title} ${document.documentElement.scrollWidth} of ${innerWidth}`"
    planted = f"<script>alert = () => 0; onload = () => document.body.append({told})</script></main>"
    page = tmp_path / "page.html"
    page.write_text(re.sub("<meta http-equiv.*>", "", text).replace("</main>", planted), encoding="utf-8")
    seen, calls = browse(page, tmp_path / "profile", "--window-size=390,800")
    title, width, screen = re.search(r"<title>(.*)</title>", seen)[1], *re.findall(r" (\d+) of (\d+)", seen)[-1]
    assert title != "taken" and not calls and int(width) <= int(screen) < 600


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
