"""Hostile texts in every place where a page, a terminal or a file shows a text of others."""

import json
import re

import hostile
import nbformat
import pandas as pd
import pyarrow.parquet as pq
from bs4 import BeautifulSoup
from conftest import run_reports
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from payloads import PAYLOADS
from test_hostile import ACTIVE, assert_private
from test_pages import BROWSER, browse

from recsys.recommend import Recommender, write_lists
from recsys.reports.exploration import one_line
from recsys.reports.pages import index_page, notebook_page
from recsys.reports.parameters import Parameter, read_values
from recsys.runs import Run

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def acts(page: str) -> list[str]:
    """Return what could run or be fetched in a page, apart from its own script."""
    soup = BeautifulSoup(page, "html.parser")
    found = [str(tag)[:200] for tag in soup(set(ACTIVE) - {"script", "input"})]
    found += [str(tag)[:200] for tag in soup("script") if "taken" in tag.text or tag.get("src")]
    for tag in soup(True):
        found += [str(tag)[:200] for name in tag.attrs if name.startswith("on")]
        links = [str(tag.get(name, "")).strip().lower() for name in ("href", "src", "action", "data")]
        found += [link for link in links if link.startswith(("javascript:", "vbscript:", "data:text", "view-source:"))]
        found += [link for link in links if tag.name != "a" and link and not link.startswith("data:image/")]
    return found


def page_of(texts: tuple[str, ...]) -> str:
    """Return a notebook's page that shows the texts in each kind of output."""
    frame = pd.DataFrame({"a": texts})
    outputs = [new_output("display_data", {kind: text}) for text in texts for kind in ("text/html", "text/markdown")]
    outputs += [new_output("stream", name="stdout", text=text) for text in texts]
    outputs.append(new_output("display_data", {"text/html": frame.style.to_html()}))
    cells = [new_markdown_cell("# A page"), new_code_cell("x", outputs=outputs, execution_count=1)]
    return notebook_page(new_notebook(cells=cells), "01_all", ["01_all"])


def test_pages(tmp_path, count):
    assert len(PAYLOADS) == 300
    record = {"status": "succeeded", "started": "2026", "seconds": {}, "error": None, "run": "r", "parameters": {}}
    listed = index_page([(text[:80], record | {"dataset": text, "name": text, "error": text}, {}) for text in PAYLOADS])
    pages, wrong = {"notebook": page_of(PAYLOADS), "list": listed}, []
    for name, page in pages.items():
        wrong += [(name, each) for each in acts(page)]
        wrong += [(name, repr(each)) for each in set(CONTROL.findall(page))]
        if BROWSER:
            (tmp_path / name).mkdir()
            path = tmp_path / name / "page.html"
            path.write_text(re.sub("<meta http-equiv.*>", "", page), encoding="utf-8")
            seen, calls = browse(path, tmp_path / name / "profile")
            wrong += [(name, "taken")] if "<title>taken</title>" in seen else []
            wrong += [(name, each) for each in calls]
    print(*wrong[:30], sep="\n")
    rule = "Nothing in the page can run, no request leaves." + " Also in Chromium, without the page's policy." * bool(
        BROWSER
    )
    count("hostile texts on pages, in five kinds of output", 5 * len(PAYLOADS), len(wrong), rule)


def test_names(tmp_path, count):
    """Names of runs, values of parameters, and what is shown in the terminal."""
    wrong, known = [], {"SONG": Parameter("SONG", str, "", ""), "K": Parameter("K", int, 1, "")}
    runs = tmp_path / "data" / "runs"
    for text in PAYLOADS:
        try:
            folder = Run(text, tmp_path).folder
            wrong += [] if folder.parent == runs and folder.name not in (".", "..") and "\0" not in text else [text]
        except ValueError as error:
            wrong += [text] if CONTROL.search(str(error)) else []
        wrong += [] if read_values([f"SONG={text}"], known, tmp_path) == {"SONG": text} else [text]
        for argument in (f"K={text}", f"{text}=1", text):
            try:
                wrong += [argument] if not read_values([argument], known, tmp_path) else []
            except ValueError as error:
                wrong += [argument] if CONTROL.search(str(error)) else []
        wrong += [text] if CONTROL.search(one_line(text)) or "\n" in one_line(text) else []
    print(*(repr(each)[:90] for each in wrong), sep="\n")
    rule = "It stays in its folder, is passed on as it is or refused, and no control code reaches the terminal."
    count("hostile texts as names and values", 6 * len(PAYLOADS), len(wrong), rule)


def test_a_whole_report(tmp_path, full, count, monkeypatch):
    if not full:
        return  # tests/test_hostile.py makes a report with 50 of these texts
    monkeypatch.setattr(hostile, "NAMES", PAYLOADS)
    (tmp_path / "pyproject.toml").touch()
    hostile.write_log(tmp_path / "log.parquet", n_users=300, n_items=300)
    small = ["RECIPES=author", "EPOCHS=1", "BASELINES=popularity"]
    status, folder, said = run_reports(tmp_path, "DATASET=csv", f"DATA_PATH={tmp_path / 'log.parquet'}", *small)
    assert status == 0, said
    wrong = []
    for path in sorted(folder.glob("*.html")):
        page = path.read_text()
        wrong += [(path.name, each) for each in acts(page)] if path.name != "explorer.html" else []
        seen, calls = browse(path, tmp_path / path.stem) if BROWSER else ("", [])
        wrong += [(path.name, "taken")] if "<title>taken</title>" in seen else []
        wrong += [(path.name, each) for each in calls]
    for path in folder.glob("*.ipynb"):
        nbformat.validate(json.loads(path.read_text()))
    assert_private(folder)
    recommender = Recommender.load(folder.name, root=tmp_path)
    path = write_lists(recommender, 5, log=lambda text: None)
    lists = pd.read_parquet(path, partitioning=None)
    text = pd.read_csv(path.with_suffix(".csv"), dtype=str, keep_default_na=False)
    wrong += [name for name in ("user_id", "item_id") if text[name].tolist() != lists[name].tolist()]
    wrong += [] if set(lists["user_id"]) <= set(recommender.split.users["user_id"]) else ["ids changed"]
    wrong += [each for each in map(str, pq.read_schema(path).metadata) if hostile.TAKEN in each]
    print(*wrong[:30], sep="\n")
    rule = "Nothing runs, no request leaves, no listener's id is on a page; lists come back as they were written."
    count("hostile texts as users, songs, artists and albums of a report", 300, len(wrong), rule)
