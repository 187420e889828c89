"""The pages of reports, HTML that needs no network: notebooks, first page, comparison; the list alone has a script."""

import base64
import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import zip_longest
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode

METRICS = ("ndcg@20", "recall@20", "precision@20", "map@20", "mrr@20", "hit@20")
MAIN = METRICS[0]
TAGS = bleach.ALLOWED_TAGS | {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "div", "span", "pre", "details", "summary", "figure"),
    *("figcaption", "img", "table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("dl", "dt", "dd", "small", "sub", "sup", "del"),
}
ATTRIBUTES = {"alt", "class", "colspan", "href", "id", "rowspan", "scope", "style", "title"}
FOLDED_CODE = """{% extends 'basic/index.html.j2' %}
{% block input_group %}<details class="code"><summary>code</summary>{{ super() }}</details>{% endblock %}"""


def notebook_page(notebook: NotebookNode, name: str, names: Sequence[str]) -> str:
    """Return an executed notebook as a page, with links to the report's notebooks `names`; its code is folded."""
    exporter = HTMLExporter(template_name="basic", raw_template=FOLDED_CODE, sanitize_html=True)
    exporter.exclude_anchor_links = exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    exporter.register_filter("clean_html", clean_html)
    exporter.register_preprocessor("nbconvert.preprocessors.CoalesceStreamsPreprocessor", enabled=True)
    body = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for remote in body("img", src=False):
        remote.replace_with(str(remote["alt"]))
    for table in body("table"):
        _align(table)
    return _render("page.html", title=name, body=Markup(body), page=name, names=names)


def _align(table: Tag) -> None:
    """Mark the columns that hold words, counted from the right, since row labels may span; the others hold figures."""
    rows = [row(["th", "td"])[::-1] for row in table("tr")]
    for column in zip_longest(*rows):
        cells = [cell for cell in column if cell and cell.name == "td"]
        if any(re.match(r"[^\d\s+−–.($-]", cell.text) for cell in cells):
            for cell in filter(None, column):
                cell["class"] = "text"
        for cell in cells:
            if re.fullmatch(r"\d{4}-\d\d-\d\d[ \d:.]*", cell.text):
                cell["class"] = "whole"


def clean_html(text: Any) -> str:
    """Return HTML without scripts, style sheets and remote images; what is not allowed is shown as text."""

    def allowed(tag: str, name: str, value: str) -> bool:
        return value.startswith("data:image/") if (tag, name) == ("img", "src") else name in ATTRIBUTES

    text = re.sub(r"<style.*?</style\s*>", "", str(text), flags=re.DOTALL | re.IGNORECASE)
    return bleach.clean(text, TAGS, allowed, {"http", "https", "mailto", "data"}, css_sanitizer=CSSSanitizer())


def report_page(
    record: dict[str, Any], metrics: dict[str, Any], summary: dict[str, Any], titles: dict[str, str]
) -> str:
    """Return a report's first page: the answer, a figure, the main table, the notebooks' pages, how it came about.

    `record` is the report's run.json; `metrics` and `summary` are those of the run's folder, or empty; `titles` are
    the notebooks' by name.
    """
    hashes = {name: value for name, value in record["hashes"].items() if isinstance(value, str)}
    hashes |= record["hashes"]["notebooks"]
    hashes |= {each["name"]: each["sha256"] for each in record["hashes"]["data"].get("source") or ()}
    models = sorted(metrics.get("models", {}).items(), key=lambda model: -model[1].get(MAIN, {}).get("value", -1))
    return _render(
        "report.html",
        title=summary.get("headline") or f"Report on {record['dataset']}",
        record=record,
        metrics=metrics,
        sentences=summary.get("sentences", ()),
        models=models,
        chart=_chart([(name, model[MAIN]) for name, model in models if MAIN in model]),
        trained=str(record["parameters"].get("RECIPES", {}).get("value", "")).split(),
        columns=[metric for metric in METRICS if any(metric in model for _, model in models)],
        best=best_model(metrics),
        hashes=hashes,
        page="index",
        names=list(record["hashes"]["notebooks"]),
        titles=titles,
    )


def _chart(entries: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Lay out means and intervals from 0 upwards: the scale's end, and 2 to 5 round ticks."""
    top = max((entry.get("high") or entry["value"] for _, entry in entries), default=0) or 1
    power = 10 ** math.floor(math.log10(top))
    step = next(step for step in (0.2 * power, 0.5 * power, power, 2 * power, 5 * power) if top / step <= 5)
    ticks = [f"{step * i:.{max(0, 1 - math.floor(math.log10(step)))}g}" for i in range(int(top / step) + 1)]
    return {"entries": entries, "top": top, "ticks": ticks}


def comparison_page(result: dict[str, Any]) -> str:
    """Return what `comparison.compare_reports` found as a page."""
    return _render("comparison.html", title=result["verdict"], **result)


def index_page(reports: Iterable[tuple[str, dict[str, Any], dict[str, Any]]], comparisons: Sequence[str] = ()) -> str:
    """Return the list of reports, from (folder name, run.json, metrics.json or empty) in the order given.

    `comparisons` are the names of their pages.
    """
    rows = [(*report, best_model(report[2])) for report in reports]
    script = (files("recsys.reports") / "templates" / "index.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    more = {"script": Markup(script), "allowed": f"'sha256-{digest}'", "comparisons": comparisons}
    return _render("index.html", title="Reports", reports=rows, metric=MAIN, **more)


def best_model(metrics: dict[str, Any]) -> str | None:
    """Return the name of the model with the greatest ndcg@20, or None where there is no such figure."""
    models = {name: model for name, model in metrics.get("models", {}).items() if MAIN in model}
    return max(models, key=lambda name: models[name][MAIN]["value"], default=None)


def _render(template: str, **values: Any) -> str:
    loader = PackageLoader("recsys.reports")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    css = Markup(loader.get_source(environment, "page.css")[0])
    return environment.get_template(template).render(css=css, **values)
