"""The pages of a report, as HTML that needs no network and runs no script: notebooks, the first page, the list."""

import re
from collections.abc import Iterable, Sequence
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
BASELINES = ("random", "popularity")
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
    body = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for remote in body("img", src=False):
        remote.replace_with(remote["alt"])
    for table in body("table"):
        _align(table)
    return _render("page.html", title=name, body=Markup(body), page=name, names=names)


def _align(table: Tag) -> None:
    """Mark the columns that hold words, counted from the right, since row labels may span; the others hold figures."""
    rows = [row(["th", "td"])[::-1] for row in table("tr")]
    for column in zip_longest(*rows):
        if any(cell and cell.name == "td" and re.match(r"[^\W\d]", cell.text) for cell in column):
            for cell in filter(None, column):
                cell["class"] = "text"


def clean_html(text: Any) -> str:
    """Return HTML without scripts, style sheets and remote images; what is not allowed is shown as text."""

    def allowed(tag: str, name: str, value: str) -> bool:
        return value.startswith("data:image/") if (tag, name) == ("img", "src") else name in ATTRIBUTES

    text = re.sub(r"<style.*?</style\s*>", "", str(text), flags=re.DOTALL | re.IGNORECASE)
    return bleach.clean(text, TAGS, allowed, {"http", "https", "mailto", "data"}, css_sanitizer=CSSSanitizer())


def report_page(record: dict[str, Any], metrics: dict[str, Any], summary: dict[str, Any]) -> str:
    """Return a report's first page: the answer, the main table, the notebooks' pages, how it came about.

    `record` is the report's run.json; `metrics` and `summary` are those of the run's folder, or empty.
    """
    hashes = {name: value for name, value in record["hashes"].items() if isinstance(value, str)}
    hashes |= record["hashes"]["notebooks"]
    hashes |= {each["name"]: each["sha256"] for each in record["hashes"]["data"].get("source") or ()}
    models = sorted(metrics.get("models", {}).items(), key=lambda model: model[0] not in BASELINES)
    return _render(
        "report.html",
        title=summary.get("headline") or f"Report on {record['dataset']}",
        record=record,
        metrics=metrics,
        sentences=summary.get("sentences", ()),
        models=models,
        columns=[metric for metric in METRICS if any(metric in model for _, model in models)],
        best=best_model(metrics),
        hashes=hashes,
        page="index",
        names=list(record["hashes"]["notebooks"]),
    )


def index_page(reports: Iterable[tuple[str, dict[str, Any], dict[str, Any]]]) -> str:
    """Return the list of reports, from (folder name, run.json, metrics.json or empty) in the order given."""
    rows = [(*report, best_model(report[2])) for report in reports]
    return _render("index.html", title="Reports", reports=rows, metric=METRICS[0])


def best_model(metrics: dict[str, Any]) -> str | None:
    """Return the name of the model with the greatest ndcg@20, or None where there is no such figure."""
    models = {name: model for name, model in metrics.get("models", {}).items() if METRICS[0] in model}
    return max(models, key=lambda name: models[name][METRICS[0]]["value"], default=None)


def _render(template: str, **values: Any) -> str:
    environment = Environment(loader=PackageLoader("recsys"), autoescape=True, trim_blocks=True)
    css = Markup(environment.loader.get_source(environment, "page.css")[0])
    return environment.get_template(template).render(css=css, **values)
