"""Songs, artists and listeners with names that try to be markup, script or control codes, through a real report."""

import re

import pytest
from bs4 import BeautifulSoup
from hostile import NAMES
from test_html import browse, needs_browser

PAGES = ("index", "01_prepare", "02_train", "03_evaluate", "04_explore")
ACTIVE = ("script", "iframe", "object", "embed", "form", "input", "button", "link", "base", "math", "animate", "video")


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
