"""What leaves the house: a zip without ids, paths and names of the machine, which each are planted here in turn."""

import base64
import getpass
import json
import socket
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_explorer import collected, planted, recommender
from test_pages import METRICS, RECORD

from recsys.files import read_json, write_json
from recsys.reports import share
from recsys.reports.pages import explorer_page, report_page

IDS = ["listener-0", "<ann & co>", 'say "hi"', "popularity", "7", "12", "1234567890", "ünal@host.example", "id3"]
NAMES = ["01_prepare", "04_explore"]
TABLE = """<table><tr><th></th><th>song</th><th>listen to both</th><th>lift</th><th>listens</th></tr>
<tr><th>1</th><td>a</td><td>3</td><td>7.5</td><td>2</td></tr><tr><th>2</th><td>b</td><td>12</td><td>1.5</td><td>4</td></tr>
</table>"""


def write_report(root: Path, *texts: str, song: str = "") -> Path:
    """Write a report that shows the texts, and the prepared data of its run."""
    report, prepared = root / "reports" / "2026-01-02_030405_sample", root / "data" / "prepared" / "sample-1"
    report.mkdir(parents=True)
    prepared.mkdir(parents=True)
    made = recommender(planted())
    if song:
        names = made.split.items["name"].where(made.split.items.index != 5, song)
        made.split = replace(made.split, items=made.split.items.assign(name=names))
    pd.DataFrame({"user_id": IDS}).to_parquet(prepared / "users.parquet")
    made.split.items.to_parquet(prepared / "items.parquet")
    write_json(root / "data" / "runs" / "then" / "run.json", {"prepared": "data/prepared/sample-1"})
    outputs = [new_output("stream", text=text) for text in texts]
    cells = [new_markdown_cell("# A step"), new_code_cell("model = 'popularity'", outputs=outputs)]
    personal = [new_output("stream", text="the listener with code 3 played only this")]
    table = [new_output("display_data", {"text/html": TABLE})]
    table.append(new_output("stream", text="By 3 listeners, of 2,004 users"))
    cells.append(new_code_cell("x", outputs=personal, metadata={"tags": ["one-listener"]}))
    cells.append(new_code_cell("y", outputs=table))
    for name in NAMES:
        nbformat.write(new_notebook(cells=cells), report / f"{name}.ipynb")
    files = [*(f"{name}{end}" for name in NAMES for end in (".html", ".ipynb")), "explorer.html", "per_user.parquet"]
    given = {"DATA_PATH": {"value": "../my data/of & me/log.csv", "given": True}}
    given["SHOW_USER_IDS"] = {"value": False, "given": False}
    hashes = {**RECORD["hashes"], "notebooks": dict.fromkeys(NAMES, "a1")}
    record = {**RECORD, "dataset": "sample", "parameters": given, "hashes": hashes, "files": files}
    write_json(report / "run.json", record)
    figures = {**METRICS, "models": {name: each for name, each in METRICS["models"].items() if name.isalpha()}}
    write_json(report / "metrics.json", figures)
    page = report_page(record, figures, {}, dict.fromkeys(NAMES, "A step"))
    tile = '<div class="one-listener">their last songs</div></main>'
    (report / "index.html").write_text(page.replace("</main>", tile), encoding="utf-8")
    (report / "explorer.html").write_text(explorer_page(collected(made)), encoding="utf-8")
    values = pd.DataFrame({"model": "author", "user": np.arange(100), "metric": "ndcg@20"})
    values["value"] = values["user"] / 99
    values.loc[99, "metric"] = "recall@20"
    values.to_parquet(report / "per_user.parquet")
    return report


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(root: Path) -> dict[str, str]:
    with zipfile.ZipFile(root / "reports/shared/2026-01-02_030405_sample.zip") as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


def test_the_zip_holds_the_pages_and_says_what_it_leaves_out(root, capsys):
    report = write_report(root)
    assert share.main([report.name]) == 0
    printed, files = capsys.readouterr().out, contents(root)
    assert set(files) == {"index.html", "01_prepare.html", "04_explore.html", "explorer.html", "metrics.json",
                          "run.json", "per_user.json", "left_out.txt"}  # fmt: skip
    assert files["left_out.txt"] in printed and "3 outputs that show a single listener." in printed
    assert "The search for ids of listeners covered 5 of all 9 in the data. The other ids are short" in printed
    assert files["explorer.html"] == (report / "explorer.html").read_text()
    page = files["04_explore.html"]
    assert "played only this" not in page and "This shows a single listener" in page
    assert "<td>&lt; 5</td><td>–</td><td>2</td>" in page and "<td>12</td><td>1.5</td><td>4</td>" in page
    assert "By &lt; 5 listeners, of 2,004 users" in page
    assert "their last songs" not in files["index.html"] and "log.csv" in files["index.html"]
    assert all("my data" not in text and ".ipynb\"" not in text for name, text in files.items() if name != "run.json")
    for name in ("04_explore.html", "explorer.html"):
        assert f'href="{name}"' in files["index.html"]
    assert "../index.html" not in files["index.html"] and 'href="per_user.parquet"' not in files["index.html"]
    assert json.loads(files["run.json"])["parameters"]["DATA_PATH"]["value"] == "…/log.csv"
    found = json.loads(files["per_user.json"])["author"]
    assert found["ndcg@20"]["users"] == 99 and len(found["ndcg@20"]["deciles"]) == 9
    assert found["recall@20"] == {"users": 1, "mean": 1.0}


def image(note: str) -> str:
    """A picture whose description holds a text."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))]
    parts += [chunk(b"tEXt", b"Software\0" + note.encode())]
    parts += [chunk(b"IDAT", zlib.compress(b"\0\0")), chunk(b"IEND", b"")]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("by listener-0.", "the id of a listener"), ("<ann & co>", "the id of a listener"),
        ('they say "hi" to', "the id of a listener"), ("n=1234567890;", "the id of a listener"),
        ("(ünal@host.example)", "the id of a listener"), ("read /home/ann/log.csv", "a path"),
        (r"read C:\Users\ann\log.csv", "a path"), ("read ~/music/log.csv", "a path"), ("see /content/drive", "a path"),
    ],
)  # fmt: skip
def test_it_refuses_what_must_stay_and_names_the_place(root, capsys, text, what):
    report = write_report(root, text)
    assert share.main([report.name]) == 2
    error = capsys.readouterr().err
    assert "\n01_prepare.html, line " in error and f": {what}, in " in error
    assert not list((root / "reports").rglob("*.zip"))


@pytest.mark.parametrize(
    ("text", "what"),
    [("in {root}", "a folder"), ("at /people/annb/x", "a folder"), ("on annslaptop:", "a name"),
     ("by annbecker", "a name")],
)  # fmt: skip
def test_it_finds_the_machines_own_folders_and_names(root, capsys, monkeypatch, text, what):
    monkeypatch.setattr(socket, "gethostname", lambda: "annslaptop")
    monkeypatch.setattr(getpass, "getuser", lambda: "annbecker")
    monkeypatch.setattr(Path, "home", lambda: Path("/people/annb"))
    report = write_report(root, text.format(root=root))
    assert share.main([report.name]) == 2
    assert f": {what} of this machine, in " in capsys.readouterr().err


@pytest.mark.parametrize("place", ["explorer.html", "metrics.json", "run.json", "index.html", "widget", "image"])
def test_it_searches_every_file(root, capsys, place):
    report = write_report(root, song="of listener-0" if place == "explorer.html" else "")
    expected = {"image": "04_explore.html", "widget": "metrics.json"}.get(place, place)
    if place in ("metrics.json", "run.json"):
        write_json(report / place, {**read_json(report / place), "seen": "listener-0"})
    elif place == "widget":
        write_json(report / "metrics.json", {"application/vnd.jupyter.widget-state+json": {}})
    elif place == "index.html":
        page = report / "index.html"
        page.write_text(page.read_text().replace("</main>", "<p>listener-0</p></main>"))
    elif place == "image":
        notebook = nbformat.read(report / "04_explore.ipynb", as_version=4)
        picture = new_output("display_data", {"image/png": image("/home/ann/picture"), "text/plain": "a figure"})
        notebook.cells.append(new_code_cell("z", outputs=[picture]))
        nbformat.write(notebook, report / "04_explore.ipynb")
    assert share.main([report.name]) == 2
    assert f"\n{expected}, line " in capsys.readouterr().err


def test_words_of_the_program_and_short_numbers_are_not_taken_for_ids(root):
    assert share.main([write_report(root, "popularity 7 12 id3 listener-00 1234567890.5").name]) == 0


def test_it_needs_a_successful_report_and_the_data(root, capsys):
    assert share.main([]) == 2 and "expected the name of a report, got none" in capsys.readouterr().err
    report = write_report(root)
    assert share.main([]) == 0  # the newest
    assert share.main(["other"]) == 2 and "expected the name of a successful report" in capsys.readouterr().err
    record = read_json(report / "run.json")
    record["parameters"]["SHOW_USER_IDS"]["value"] = True
    write_json(report / "run.json", record)
    assert share.main([report.name]) == 2 and "SHOW_USER_IDS: expected False" in capsys.readouterr().err
    record["parameters"]["SHOW_USER_IDS"]["value"] = False
    write_json(report / "run.json", record)
    for path in report.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(new_notebook(cells=notebook.cells[:1]), path)
    assert share.main([report.name]) == 2 and "expected cells marked one-listener" in capsys.readouterr().err
    (root / "data/prepared/sample-1/users.parquet").unlink()
    assert share.main([report.name]) == 2 and "expected the prepared data of run 'then'" in capsys.readouterr().err
