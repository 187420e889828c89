"""HTML pages: notebooks, a report's first page, the explorer, a comparison, the list of reports. All work offline."""

import base64
import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import groupby, zip_longest
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_output

from recsys.evaluation.evaluate import MAIN_METRIC
from recsys.reports import charts
from recsys.reports.narrative import model_name, named

METRICS = {"ndcg@20": "NDCG@20", "recall@20": "Recall@20", "precision@20": "Precision@20", "hit@20": "Hit rate@20"}
TAGS = bleach.ALLOWED_TAGS | {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "div", "span", "pre", "details", "summary", "figure"),
    *("figcaption", "img", "table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("dl", "dt", "dd", "small", "sub", "sup", "del"),
}
ATTRIBUTES = {"alt", "class", "colspan", "href", "id", "open", "rowspan", "scope", "style", "title"}
TEXT, CODE = "div.text_cell", "div.code_cell"  # the classes that nbconvert gives to a notebook's cells
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # characters that no page may hold
LONG_LOG = 3  # lines; a longer log is folded
LONG_NUMBER = 40  # characters; a longer cell counts as text, even if it begins with a number
CURVES = (240, 120)  # width and height of the curves on the first page
LINE = (120, 18)  # width and height of the line over time in the list of reports
MANY_SECTIONS = 4  # a page with more has a table of contents


def notebook_page(notebook: NotebookNode, name: str, names: Sequence[str]) -> str:
    """Return an executed notebook as a page with links to the pages `names`. Code is folded, once for each section."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(_join_streams(cell.outputs))
    exporter = HTMLExporter(template_name="basic", sanitize_html=True)
    exporter.exclude_anchor_links = exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    exporter.register_filter("clean_html", clean_html)
    html = re.sub(r"(?<=\d) (?=%)", "\u00a0", exporter.from_notebook_node(notebook)[0])
    body = BeautifulSoup(html, "html.parser")
    for unset in body.select('a[href*="/OWNER/"]'):  # the address of the repository is not known: see CONTRIBUTING.md
        unset.decompose()
    for remote in body("img", src=False):
        remote.replace_with(str(remote["alt"]))
    for table in body("table"):
        _mark_text(table)
    for output in body.select(".output_stdout, .output_stderr"):
        n_lines = output.text.strip("\n").count("\n") + 1
        if n_lines > LONG_LOG:
            output.append(_fold(body, "log", f"Log, {n_lines} lines", [each.extract() for each in output("pre")]))
    _add_contents(body)
    _fold_code(body)
    return _render("page.html", title=name, body=Markup(body), page=name, names=names)


def _join_streams(outputs: Iterable[NotebookNode]) -> Iterable[NotebookNode]:
    """Join what was printed piece by piece. Each state of a line that moved (\\r) becomes a line of its own."""
    for stream, pieces in groupby(outputs, lambda output: output.get("name")):
        if stream:
            text = re.sub(r"\s*\r\s*| +\n", "\n", "".join(piece.text for piece in pieces))
            yield new_output("stream", name=stream, text=text.strip("\n"))
        else:
            yield from pieces


def _fold(body: BeautifulSoup, kind: str, label: str, content: Iterable[Tag]) -> Tag:
    fold = body.new_tag("details", attrs={"class": kind})
    fold.extend([body.new_tag("summary", string=label), *content])
    return fold


def _add_contents(body: BeautifulSoup) -> None:
    """Give each section an id, and list the sections below the introduction if there are many."""
    contents = body.new_tag("ul", attrs={"class": "contents"})
    used: Counter[str] = Counter()
    for heading in body.select(f"{TEXT} h2"):
        name = re.sub(r"\W+", "-", heading.text.lower()).strip("-")
        used[name] += 1
        heading["id"] = name if used[name] == 1 else f"{name}-{used[name]}"
        entry = body.new_tag("li")
        entry.append(body.new_tag("a", href=f"#{heading['id']}", string=heading.text))
        contents.append(entry)
    if len(contents) > MANY_SECTIONS:
        body.select(TEXT)[0].append(contents)


def _fold_code(body: BeautifulSoup) -> None:
    """Move the code of each section into one fold at the section's end. A cell without output leaves nothing else."""
    code: list[Tag] = []
    for element in body.select(f"{CODE}, {TEXT} h2"):
        if element.name == "h2" and code:
            element.insert_before(_fold(body, "code", "Code", code))
            code = []
        elif element.name != "h2":
            code += [each.extract() for each in element.select(":scope > .input") if each.text.strip()]
            if not element.select(".output"):
                element.extract()
    if code:
        body.append(_fold(body, "code", "Code", code))


def _mark_text(table: Tag) -> None:
    """Mark columns of text, and break a line in other columns only before a parenthesis, such as an interval.

    Columns count from the right, because row labels may span several rows.
    """
    for column in zip_longest(*(row(["th", "td"])[::-1] for row in table("tr"))):
        cells = [cell for cell in column if cell]
        texts = [cell.text for cell in cells if cell.name == "td"]
        is_text = any(re.match(r"[^\d\s+−–.($-]", text) or len(text) > LONG_NUMBER for text in texts)
        for cell in cells:
            if is_text:
                cell["class"] = "text"
            elif " (" in cell.text and (cell.name == "td" or cell.find_parent("thead")):
                cell["class"], cell.string = "estimate", re.sub(r" (?!\()", "\u00a0", cell.text)


def clean_html(text: Any) -> str:
    """Return HTML without scripts, style sheets and remote images. Other forbidden tags become visible text."""

    def allowed(tag: str, name: str, value: str) -> bool:
        is_data = CONTROL.sub("", value).strip().lower().startswith("data:")
        if (tag, name) == ("img", "src"):
            return value.startswith("data:image/")
        return name in ATTRIBUTES and not is_data

    text = re.sub(r"<style.*?</style\s*>", "", str(text), flags=re.DOTALL | re.IGNORECASE)
    return bleach.clean(text, TAGS, allowed, {"http", "https", "mailto", "data"}, css_sanitizer=CSSSanitizer())


def report_page(
    record: dict[str, Any], metrics: dict[str, Any], summary: dict[str, Any], titles: dict[str, str]
) -> str:
    """Return a report's first page: the answer, a chart, the main tables, links, and how the report was made.

    `record` is run.json; `metrics` and `summary` may be empty. `titles` holds the notebooks' titles by name.
    """
    best = best_model(metrics)
    models = list(metrics.get("models", {}).items())
    models.sort(key=lambda model: -model[1].get(MAIN_METRIC, {}).get("value", -1))
    columns = [metric for metric in METRICS if any(metric in model for _, model in models)]
    gaps = [gap for gap in metrics.get("differences", ()) if (gap["a"], gap["metric"]) == (best, MAIN_METRIC)]
    return _render(
        "report.html", title=summary.get("headline") or f"Report on {record['dataset']}", page="index",
        names=list(record["hashes"]["notebooks"]), titles=titles, record=record, command=repeat_command(record),
        summary=summary, metrics=metrics, models=models, best=best, columns=columns,
        gaps={gap["b"]: gap for gap in gaps},
        chart=charts.intervals([(name, model[MAIN_METRIC]) for name, model in models if MAIN_METRIC in model]),
        tops={column: charts.end([model[column] for _, model in models if column in model]) for column in columns},
        curves=charts.curves(summary["accuracy"], *CURVES) if "accuracy" in summary else None, size=CURVES,
        trained=str(record["parameters"].get("RECIPES", {}).get("value", "")).split(),
    )  # fmt: skip


def repeat_command(record: dict[str, Any]) -> str:
    """Return the command that makes the same report again from the start, with the parameters that were given."""
    target = "benchmark" if any(name.startswith("05") for name in record["hashes"]["notebooks"]) else "reports"
    given = {name: each["value"] for name, each in record["parameters"].items() if each["given"] and name != "RUN"}
    return " ".join(["make", target, *(f"{name}={shlex.quote(str(value))}" for name, value in given.items())])


def comparison_page(result: dict[str, Any]) -> str:
    """Return the result of `comparison.compare_reports` as a page."""
    return _render("comparison.html", title=result["verdict"], **result)


def index_page(reports: Iterable[tuple[str, dict[str, Any], dict[str, Any]]], comparisons: Sequence[str] = ()) -> str:
    """Return the reports by data set, each given as (folder name, run.json, metrics.json or empty), newest first.

    `comparisons` are the file names of comparison pages. This page has a script, which searches and sorts.
    """
    groups: dict[str, dict[str, Any]] = {}
    for folder, record, metrics in reports:
        group = groups.setdefault(_data_name(record), {"finished": [], "others": [], "values": []})
        best, finished = best_model(metrics), record["status"] == "succeeded"
        group["finished" if finished else "others"].append((folder, record, metrics, best))
        if finished and best:
            group["values"].insert(0, metrics["models"][best][MAIN_METRIC]["value"])
    lines = {dataset: charts.history(group["values"], *LINE) for dataset, group in groups.items()}
    script = _template("index.js")
    listed = {"groups": groups, "lines": lines, "size": LINE, "comparisons": comparisons, "given": _given}
    return _render("index.html", title="Reports", script=Markup(script), allowed=_allowed(script), **listed)


def _data_name(record: dict[str, Any]) -> str:
    """Return the name of a report's data set, with that of its file or folder if one was given."""
    path = str(record.get("parameters", {}).get("DATA_PATH", {}).get("value", "")).rstrip("/")
    return record["dataset"] + (f", {path.rpartition('/')[2]}" if path else "")


def _given(record: dict[str, Any]) -> str:
    """Return the parameters that were given, without those that name the run and the data."""
    parameters = record.get("parameters", {}).items()
    shown = {name: each["value"] for name, each in parameters if each["given"] and name not in ("RUN", "DATA_PATH")}
    return " ".join(f"{name}={shlex.quote(str(value))}" for name, value in shown.items())


def explorer_page(data: bytes, names: Sequence[str] = ()) -> str:
    """Return the page that shows the data of `explorer.collect`. Its policy allows its own script and style alone.

    In a report it links to the other pages: `names` are those of the notebooks.
    """
    style, script = _template("page.css") + _template("explorer.css"), _template("explorer.js")
    policy = f"default-src 'none'; script-src {_allowed(script)}; style-src {_allowed(style)}; img-src data:"
    parts = {"style": Markup(style), "script": Markup(script), "data": base64.b64encode(data).decode()}
    return _render("explorer.html", policy=Markup(policy), names=[*names], **parts)


def _template(name: str) -> str:
    return (files("recsys.reports") / "templates" / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """Return the words by which a content security policy allows this script or style, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def best_model(metrics: dict[str, Any]) -> str | None:
    """Return the key of the leader, else of the model with the highest NDCG@20, or None if there is none."""
    if metrics.get("leader"):
        return str(metrics["leader"])
    models = {name: model for name, model in metrics.get("models", {}).items() if MAIN_METRIC in model}
    return max(models, key=lambda name: models[name][MAIN_METRIC]["value"], default=None)


def _render(template: str, **values: Any) -> str:
    loader = PackageLoader("recsys.reports")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"words": model_name, "named": named, "capital": lambda text: text[:1].upper() + text[1:]}
    environment.filters["whole_units"] = lambda text: text.replace(" %", "\u00a0%")
    css = Markup(loader.get_source(environment, "page.css")[0])
    page = environment.get_template(template).render(css=css, metric=MAIN_METRIC, metric_names=METRICS, **values)
    return CONTROL.sub("", page)
