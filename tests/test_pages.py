"""The pages, in a real browser without a network: they send no request and run no script but the list's own."""

import contextlib
import os
import re
import shlex
import socketserver
import subprocess
import threading
from pathlib import Path

import pytest
from browser import BROWSER, FLAGS, needs_browser
from bs4 import BeautifulSoup
from conftest import REPOSITORY
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from recsys.reports import charts
from recsys.reports.pages import (
    best_model,
    clean_html,
    comparison_page,
    index_page,
    notebook_page,
    repeat_command,
    report_page,
)  # fmt: skip

BROWSERS_OWN = re.compile(r"(?<!fonts)(?<!ajax)\.google(apis)?\.com")  # requests for its updates
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "<style>@import url(http://host.example/a.css); body { display: none }</style>",
    "<svg onload=\"document.title = 'taken'\"></svg>",
    "<iframe src='http://host.example/'></iframe>",
    "<a href=\"javascript:document.title = 'taken'\">press</a>",
    "</td></table><link rel=stylesheet href=http://host.example/b.css>",
    "<form action=http://host.example><input autofocus onfocus=\"document.title = 'taken'\">",
    "$\\alpha$ ‮ right to left 🎵 & < \" '",
]
ENTRY = {"value": 0.2, "low": 0.1, "high": 0.3}
METRICS = {
    "dataset": "sample",
    "split": "by-time",
    "users": 1234,
    "models": {
        "author": {"ndcg@20": ENTRY, "recall@20": ENTRY, "ndcg@5": ENTRY, "seconds": 1.5},
        "popularity": {"ndcg@20": {"value": 0.05, "low": 0.04, "high": 0.06}},
        HOSTILE[0]: {"recall@20": {"value": 0.9}},
    },
    "differences": [{"a": "author", "b": "popularity", "metric": "ndcg@20", **ENTRY, "verdict": "better"}],
}
RECORD = {
    "name": "2026-01-02_030405_sample",
    "status": "succeeded",
    "exit_code": 0,
    "error": None,
    "dataset": HOSTILE[1],
    "run": "then",
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": {"01_prepare": 50.2, "02_train": 71.0},
    "parameters": {"SONG": {"value": HOSTILE[0], "given": True}, "RECIPES": {"value": "author", "given": False}},
    "reused": {"01_prepare": "2026-01-01_010101_sample"},
    "revision": {"commit": "0123456789abcdef", "dirty": True},
    "versions": {"python": "3.11.7"},
    "device": None,
    "seed": 0,
    "hashes": {"notebooks": {"01_prepare": "a1", "02_train": "b2"}, "lock": None, "data": {"source": None}},
    "files": ["01_prepare.html", "index.html"],
}
HIGHER = {**ENTRY, "value": 0.3}
LISTED = [  # newest first
    ("c", {**RECORD, "started": "2026-01-03T03:04:05+00:00"}, {"models": {"best": {"ndcg@20": HIGHER}}}),
    ("a", RECORD, METRICS),
    ("other", {**RECORD, "dataset": "lastfm"}, METRICS),
]
SUMMARY = {
    "headline": f"best: {HOSTILE[1]}",
    "sentences": HOSTILE,
    "lead": HOSTILE[:2],
    "worth": [HOSTILE[2]],
    "account": [HOSTILE[3]],
    "odd": [HOSTILE[4]],
    "checked": ["All checks passed."],
    "flow": {"rows": 5000, "listens": 4000, "train": 3000, "validation": 400, "test": 600, "users": 70, "songs": 80},
    "accuracy": {
        "model": "author", "value": 0.736, "negatives": [1, 20, 3000], "mark": 20,
        "curves": {"author": [0.9, 0.736, 0.0], "popularity": [0.8, 0.4, 0.0]},
    },
    "checks": [{"name": "no event is in two parts", "passed": True}, {"name": HOSTILE[0], "passed": False}],
    "listener": {
        "model": "best", "ndcg": 0.25, "found": 1, "played": [{"song": HOSTILE[0], "times": 3}],
        "list": [{"song": HOSTILE[1], "found": True}, {"song": "plain", "found": False}],
    },
}  # fmt: skip
COMPARISON = {
    "reports": ["a", "b"],
    "verdict": f"B is better {HOSTILE[0]}",
    "differs": [("SONG", HOSTILE[0], HOSTILE[1])],
    "figures": {("author", "ndcg@20"): (ENTRY, ENTRY, {**ENTRY, "verdict": "better"}), ("c", "d"): (ENTRY, None, None)},
    "same": ["popularity"],
    "refused": "",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    badge = "[![Open in Colab](https://host.example/badge.svg)](https://host.example/notebook)"
    cells = [new_markdown_cell(f"# A step\n{badge}\n\n| a | b |\n|--|--|\n| word | 7 |\n\n" + "\n\n".join(HOSTILE))]
    head = "<thead><tr><th></th><th>song</th><th>score</th></tr></thead>"
    rows = "".join(f"<tr><th>{i}</th><td>{each}</td><td>1.5</td></tr>" for i, each in enumerate(["name", *HOSTILE]))
    outputs = [
        new_output("stream", text=f"printed {HOSTILE[0]} \x1b[31mred\x1b[0m"),
        new_output("display_data", {"text/html": f"<table border=1>{head}{rows}"}),
        new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"}),
        new_output("display_data", {"application/javascript": "document.title = 'taken'", "text/plain": "js"}),
        new_output("display_data", {"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{HOSTILE[0]}</svg>"}),
        new_output("display_data", {"text/latex": HOSTILE[0]}),
        new_output("display_data", {"text/vnd.mermaid": "graph TD; a-->b"}),
    ]
    cells.append(new_code_cell("print('code')  # <b>", execution_count=1, outputs=outputs))
    names = ["01_prepare", "02_train"]
    failed = {**RECORD, "status": "failed", "error": HOSTILE[0], "revision": None, "started": "2026-01-01T00:00:00"}
    made = {
        "01_prepare": notebook_page(new_notebook(cells=cells), "01_prepare", names),
        "index": report_page(RECORD, METRICS, SUMMARY, dict.fromkeys(names, HOSTILE[0])),
        "bare": report_page({**failed, "reused": {}}, {}, {}, {}),
        "list": index_page(LISTED + [("b.failed", failed, {})], ["a_and_b.html"]),
        "comparison": comparison_page(COMPARISON),
    }
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


@contextlib.contextmanager
def listening():
    """A proxy that notes each request and answers none."""
    calls: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            calls.append(self.rfile.readline().decode(errors="replace"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], calls
        server.shutdown()


def browse(page: Path, profile: Path, *more: str) -> tuple[str, list[str]]:
    """Return the page's content after the browser has loaded it, and the requests that the browser sent."""
    with listening() as (port, calls):
        own = [f"--proxy-server=127.0.0.1:{port}", f"--user-data-dir={profile}", page.as_uri()]
        done = subprocess.run([BROWSER, *FLAGS, "--dump-dom", *more, *own], capture_output=True, text=True, timeout=60)
    return done.stdout, [call for call in calls if not BROWSERS_OWN.search(call)]


@needs_browser
@pytest.mark.parametrize("name", ["01_prepare", "index", "list", "comparison"])
def test_a_page_sends_no_request_and_runs_nothing(pages, tmp_path, name):
    """This holds without the page's content security policy, which would stop both."""
    page = tmp_path / "page.html"
    page.write_text(re.sub("<meta http-equiv.*>", "", (pages / f"{name}.html").read_text()), encoding="utf-8")
    seen, calls = browse(page, tmp_path / "profile")
    assert "</main>" in seen and not calls
    assert "<title>taken</title>" not in seen


@needs_browser
def test_the_policy_alone_stops_a_script(pages, tmp_path):
    page = tmp_path / "page.html"
    planted = "<script>document.title = 'taken'</script><img src=http://host.example/a.png></main>"
    page.write_text((pages / "list.html").read_text().replace("</main>", planted), encoding="utf-8")
    seen, calls = browse(page, tmp_path / "profile")
    assert "planted" not in seen and "host.example/a.png" in seen and not calls and "<title>taken</title>" not in seen


@needs_browser
@pytest.mark.parametrize("column", ["started", "NDCG@20"])
def test_the_list_can_be_sorted_without_a_network(pages, tmp_path, column):
    """Its policy allows its own script. Without the policy, a planted script clicks on a column's head."""
    page, text = tmp_path / "page.html", (pages / "list.html").read_text()
    assert f"<button>{column}</button>" in browse(pages / "list.html", tmp_path / "profile")[0]
    find = f"[...document.querySelectorAll('button')].find((each) => each.textContent === '{column}')"
    press = f"<script>{find}.click()</script></main>"
    page.write_text(re.sub("<meta http-equiv.*>", "", text).replace("</main>", press))
    seen = browse(page, tmp_path / "profile")[0]
    assert text.index('href="c/index.html"') < text.index('href="a/index.html"')
    assert seen.index('href="c/index.html"') > seen.index('href="a/index.html"')


@needs_browser
def test_the_list_can_be_searched(pages, tmp_path):
    page, text = tmp_path / "page.html", (pages / "list.html").read_text()
    typed = "document.getElementById('search').value = 'LastFM system'"
    typed += "; document.getElementById('search').dispatchEvent(new Event('input'))"
    shown = "[...document.querySelectorAll('tbody tr')].filter((row) => row.checkVisibility())"
    press = f"<script>{typed}; document.title = {shown}.length</script></main>"
    page.write_text(re.sub("<meta http-equiv.*>", "", text).replace("</main>", press))
    assert "<title>1</title>" in browse(page, tmp_path / "profile")[0]


def test_a_data_set_has_a_line_over_time_if_it_has_several_reports(pages):
    page = (pages / "list.html").read_text()
    first, *others = re.findall("<h2>.*?</h2>", page, flags=re.DOTALL)
    assert 'points="0.0,18.0 120.0,0.0"' in first and "0.2000 0.3000" in first
    assert "<svg" not in others[0]


@needs_browser
@pytest.mark.parametrize("name", ["01_prepare", "index", "list", "comparison"])
def test_a_page_fits_a_phone(pages, tmp_path, name):
    """Wide tables scroll within themselves; the page does not scroll sideways."""
    text = re.sub("<meta http-equiv.*>", "", (pages / f"{name}.html").read_text())
    wide = "<script>document.title = `${document.documentElement.scrollWidth} of ${innerWidth}`</script></main>"
    (tmp_path / "page.html").write_text(text.replace("</main>", wide), encoding="utf-8")
    seen = browse(tmp_path / "page.html", tmp_path / "profile", "--window-size=390,800")[0]
    width, screen = map(int, re.search("<title>([0-9]+) of ([0-9]+)", seen).groups())
    assert screen < 600 and width <= screen


@needs_browser
def test_a_request_and_a_script_would_be_noticed(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<img src=http://host.example/a.png><script>document.title = 'taken'</script>")
    seen, calls = browse(page, tmp_path / "profile")
    assert any("host.example" in call for call in calls) and "<title>taken</title>" in seen


def test_a_report_in_which_a_check_failed_does_not_look_like_a_clean_one():
    summary = {"headline": "Best.", "sentences": ["1 of 12 checks failed.", "More."]}
    clean, failed = METRICS | {"failed_checks": []}, METRICS | {"failed_checks": ["no event is in two parts"]}
    for metrics, is_clean in ((METRICS, True), (clean, True), (failed, False)):
        first, listed = report_page(RECORD, metrics, summary, {}), index_page([("a", RECORD, metrics)])
        assert ('<p class="lead failed">1 of 12 checks failed.</p>' not in first) == is_clean
        assert ('<small class="failed">a check failed</small>' not in listed) == is_clean


def test_a_notebooks_page_keeps_what_matters(pages):
    page = (pages / "01_prepare.html").read_text()
    assert f"data:image/png;base64,{PIXEL}" in page
    assert '<details class="code"><summary>Code</summary>' in page and "# &lt;b&gt;" in page
    assert '<a href="https://host.example/notebook">Open in Colab</a>' in page and "badge.svg" not in page
    assert '<th class="text">song</th><th>score</th>' in page.replace("\n", "") and "<td>1.5</td>" in page
    assert "red</span>" in page and "&lt;script&gt;" in page and "🎵" in page
    assert '<span aria-current="page">Prepare</span>' in page and '<a href="02_train.html">Train</a>' in page
    assert "<script" not in page and "@import" not in page and "onerror=\"" not in page.replace("&", "")


def section(*cells, name: str = "02_train") -> str:
    """The main part of a notebook's page, without line ends."""
    page = notebook_page(new_notebook(cells=[new_markdown_cell("# A step"), *cells]), name, [name])
    return page[page.index("<main>") : page.index("</main>")].replace("\n", "")


def printing(source: str, *texts: str, name: str = "stdout"):
    return new_code_cell(source, outputs=[new_output("stream", text=text, name=name) for text in texts])


def test_code_is_folded_once_for_each_section():
    first = [new_code_cell("import one", metadata={"tags": ["parameters"]}), new_code_cell("two = 2")]
    second = [printing("print('three')", "three"), new_markdown_cell("between"), new_code_cell("four = 4")]
    last = [new_markdown_cell("still the second\n\n## Third\nits text"), printing("print('five')", "five")]
    text = section(*first, new_markdown_cell("## Second"), *second, *last)
    parts = re.findall(r"<details.*?</details>|<h2.*?</h2>|<pre>\w+</pre>|between|still the second|its text", text)
    code = '<details class="code"><summary>Code</summary>'
    told = [re.sub("<.*?>", "", part) for part in parts]
    assert told == ["Codeimport onetwo = 2", "Second", "three", "between", "still the second",
                    "Codeprint('three')four = 4", "Third", "its text", "five", "Codeprint('five')"]  # fmt: skip
    assert text.count(code) == text.count("<details") == 3 and text.count("code_cell") == 2


def test_a_long_log_is_folded_and_a_short_one_is_not():
    assert "<pre>a\nb\nc</pre>".replace("\n", "") in section(printing("", "a\nb\n", "c\n"))
    assert "<details" not in section(printing("", "a  \rb\rc"), name="x")
    for name in ("stdout", "stderr"):
        text = section(printing("", "a\n", "b\nc\n", "\nd", name=name))
        assert '<details class="log"><summary>Log, 5 lines</summary><pre>abcd</pre></details>' in text
    long = new_output("execute_result", {"text/plain": "a\nb\nc\nd\ne"})
    assert "<details" not in section(new_code_cell("", outputs=[long]))


def test_a_line_that_moves_becomes_a_line_each_time():
    texts = ["\repoch 1   ", "\repoch 2   ", "\rbest epoch 1   \n", "\rrefit   \n", "plain\r\n", "end"]
    page = notebook_page(new_notebook(cells=[printing("", *texts)]), "02_train", ["02_train"])
    assert "<summary>Log, 6 lines</summary><pre>epoch 1\nepoch 2\nbest epoch 1\nrefit\nplain\nend</pre>" in page


def test_many_sections_are_listed_at_the_top():
    heads = ["One", "Two", "Two", "<script>alert()</script> & $5", "日本"]
    few, many = (section(*(new_markdown_cell(f"## {head}") for head in heads[:n])) for n in (4, 5))
    assert "contents" not in few and 'id="one"' in few
    assert re.findall('<a href="#(.*?)">', many) == re.findall('<h2 id="(.*?)">', many)
    assert len(set(re.findall('<h2 id="(.*?)">', many))) == 5 and "<script" not in many
    contents = '<ul class="contents"><li><a href="#one">One</a>'
    assert many.index("A step") < many.index(contents) < many.index("<h2")


def test_lines_break_in_text_and_before_an_interval():
    rows = "<thead><tr><th>a</th><th>2 songs (9 users)</th><th>day</th><th>b</th></tr></thead>"
    rows += "<tr><td>what?</td><td>59 of 3,761 (56 to 62)</td>"
    rows += "<td>2014-05-01 10:00</td><td>{}</td></tr>".format("7 days " * 20)
    table = new_output("display_data", {"text/html": f"<table>{rows}</table>"})
    notebook = new_notebook(cells=[new_code_cell("", outputs=[table])])
    page = notebook_page(notebook, "02_train", ["02_train"])
    assert ".output td { white-space: nowrap; } .output :is(.text, .estimate) { white-space: normal; }" in page
    assert '<td class="estimate">59\xa0of\xa03,761 (56\xa0to\xa062)</td>' in page
    assert '<th class="estimate">2\xa0songs (9\xa0users)</th>' in page and "<th>day</th>" in page
    assert "<td>2014-05-01 10:00</td>" in page
    assert '<td class="text">what?</td>' in page and '<td class="text">7 days' in page


def test_the_command_that_repeats_a_report_is_read_by_make_as_it_was_given(tmp_path):
    given = {"RUN": "other", "SONG": """it's 007 & "x" $5 $(y) #z""", "XLA": False, "LEARNING_RATE": 1e-3, "LOSS": ""}
    record = {**RECORD, "parameters": {name: {"value": value, "given": True} for name, value in given.items()}}
    record["parameters"]["DIM"] = {"value": 0, "given": False}
    command = repeat_command(record)
    assert command.startswith("make reports SONG=")
    options = ["--no-print-directory", "--dry-run", f"VENV={tmp_path}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.check_output([*shlex.split(command), *options], cwd=REPOSITORY, env=environment, text=True)
    arguments = shlex.split(shown.splitlines()[-1])[3:]
    assert sorted(arguments) == sorted(f"{name}={value}" for name, value in given.items() if name != "RUN")
    record["hashes"] = {"notebooks": {"01_prepare": "", "05_benchmark": ""}}
    assert repeat_command(record).startswith("make benchmark SONG=")


def test_a_reports_page_puts_the_answer_first(pages):
    page = (pages / "index.html").read_text()
    order = ["<h1>best: ", '<p class="lead">&lt;script', '<p class="lead">&lt;img', 'class="chart"']
    order += ["Is 73.6&nbsp;% too", "Does anything leak?"]
    order += ['<li class="passed">no event', '<li class="failed">&lt;script', 'class="odd"']
    order += ['<section class="one-listener">\n<h2>What would a listener get?']
    order += ['<li class="hit">&lt;img', "<li>plain</li>", "<b>5,000</b> rows read"]
    order += ["NDCG@20</th>", "<th>the described system</th>", "<th>popularity</th>"]
    order += ["Read on", "How to repeat it", "make reports SONG="]
    order += ["How it was made", "<details><summary>All parameters"]
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    label = "NDCG@20, means over listeners with 95 % intervals: the described system 0.2000 (0.1000 to 0.3000), popu"
    assert f'aria-label="{label}' in page
    assert "<th>Prepare</th><td>reused from 2026-01-01_010101_sample" in page
    assert '<span class="name described">the described system</span>' in page
    assert '<span class="name other">popularity</span>' in page
    assert "<script" not in page
    assert "0.2000" in page and "0.1000 to 0.3000" in page and "0123456789 with changes" in page
    assert "1 min 11 s" in page  # without the reused step
    assert "ndcg@5" not in page and "1,234" in page and '<tr class="best"><th>the described' in page


def test_the_list_names_folders_parameters_and_the_file_of_each_group():
    def with_path(path):
        given = {**RECORD["parameters"], "DATA_PATH": {"value": path, "given": True}}
        return {**RECORD, "dataset": "csv", "parameters": given}

    paths = {"2026-01-03_c": "/logs/mine.csv", "2026-01-02_b": "/logs/other.csv"}
    page = BeautifulSoup(index_page([(name, with_path(path), METRICS) for name, path in paths.items()]), "html.parser")
    assert [each.text.strip() for each in page("h2")] == ["csv, mine.csv", "csv, other.csv"]
    assert "2026-01-03_c" in page.table.text and "SONG=" in page.table.text and "/logs" not in page.text


def test_a_badge_whose_address_is_not_set_is_left_out():
    text = "[![Open in Colab](https://host.example/badge.svg)](https://host.example/github/OWNER/recsys) Words."
    page = notebook_page(new_notebook(cells=[new_markdown_cell(text)]), "01_prepare", ["01_prepare"])
    assert "OWNER" not in page and "Open in Colab" not in page and "Words." in page


def test_a_report_without_figures_is_still_a_page(pages):
    page = (pages / "bare.html").read_text()
    assert "<h1>Report on &lt;img" in page and "<td>unknown</td>" in page and "ndcg" not in page.lower()


def test_the_list_shows_failures(pages):
    page = (pages / "list.html").read_text()
    assert page.index('href="a/index.html"') < page.index('href="b.failed/run.json"')
    assert '<span class="failed">failed</span><small class="long">&lt;script&gt;' in page
    assert '<a href="comparisons/a_and_b.html">a and b</a>' in page


@pytest.mark.parametrize(
    ("top", "ticks"),
    [(0.2047, ["0", "0.05", "0.10", "0.15", "0.20"]), (0.0009, ["0", "0.0002", "0.0004", "0.0006", "0.0008"]),
     (1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]), (0.31, ["0", "0.1", "0.2", "0.3"])],
)  # fmt: skip
def test_the_scale_of_the_figure_is_round(top, ticks):
    assert charts.intervals([("a", {"value": top})])["ticks"] == ticks


def test_the_best_model_has_the_highest_ndcg():
    assert best_model(METRICS) == "author"
    assert best_model({}) is None and best_model({"models": {"a": {"seconds": 1}}}) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<table class='dataframe'><tr><th>a</th></tr></table>", "<th>a</th>"),
        ("<style scoped>.dataframe { color: red }</style><b>x</b>", "<b>x</b>"),
        ("<img src='data:image/png;base64,AA' alt='a'>", 'src="data:image/png;base64,AA"'),
        ("<p style='color: red; background: url(http://host.example)'>1</p>", '<p style="color: red;">1</p>'),
        ("<a href='data:text/html,x'>y</a>", "y</a>"),
    ],
)
def test_harmless_html_stays(text, kept):
    cleaned = clean_html(text)
    assert kept in cleaned and "host.example" not in cleaned and "dataframe {" not in cleaned
