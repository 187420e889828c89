"""Compares two reports, as text and as a page: python -m recsys.reports.comparison [A] [B]. Default: the last two."""

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recsys.evaluation.bootstrap import compare
from recsys.evaluation.evaluate import MAIN_METRIC
from recsys.reports.narrative import model_name, named
from recsys.reports.pages import METRICS, best_model, comparison_page
from recsys.reports.runner import write_index
from recsys.runs import project_root, read_json, write_atomically

JUDGED = ""  # the key of the two models that the verdict compares


def compare_reports(a: Path, b: Path) -> dict[str, Any]:
    """Compare two report folders: what differs, the metrics side by side, differences B − A over the same users.

    Returns the names of both `reports`; `differs` as [(what, in A, in B)]; `figures` as {(model, metric): (entry of A,
    of B, difference or None)}; the models that are the `same` for every user, which are not in `figures`; `refused`
    (why there is no verdict, or empty); and the `verdict` in words. Raises ValueError if a folder holds no report.
    """
    records, metrics = ([_read(folder, name) for folder in (a, b)] for name in ("run.json", "metrics.json"))
    judged = ["best" if "best" in each["models"] else best_model(each) or "" for each in metrics]
    shared = [name for name in metrics[1]["models"] if name in metrics[0]["models"]]
    shared.sort(key=lambda name: -metrics[1]["models"][name][MAIN_METRIC]["value"])
    tables = [_per_user(folder, [*shared, model], model) for folder, model in zip((a, b), judged, strict=True)]
    refused = _refusal(*records, *tables)
    gaps = {} if refused else _differences(*tables)
    same = [] if refused else [name for name in shared if tables[0][name].equals(tables[1][name])]
    figures = {
        (model, metric): (*(each["models"][model].get(metric) for each in metrics), gaps.get((model, metric)))
        for model, metric in itertools.product(shared, METRICS)
        if model not in same and any(metric in each["models"][model] for each in metrics)
    }
    verdict = f"No verdict: {refused}."
    if not refused:
        verdict = _verdict([named(each) for each in judged], gaps[JUDGED, MAIN_METRIC], len(tables[0]))
    result = {"reports": [a.name, b.name], "differs": _differs(*records), "figures": figures, "same": same}
    return result | {"refused": refused, "verdict": verdict}


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).is_file():
        raise ValueError(f"{folder.name}: expected the folder of a successful report, but it has no {name}")
    return read_json(folder / name)


def _per_user(folder: Path, models: list[str], judged: str) -> pd.DataFrame:
    """Read one row for each user and one column for each (model, metric); the judged model also as JUDGED."""
    filters = [("model", "in", models), ("metric", "in", list(METRICS))]
    table = pd.read_parquet(folder / "per_user.parquet", filters=filters)
    table = table.pivot(index="user", columns=["model", "metric"], values="value")
    table[JUDGED, MAIN_METRIC] = table[judged, MAIN_METRIC]
    return table.sort_index()


def _refusal(a: dict[str, Any], b: dict[str, Any], users_a: pd.DataFrame, users_b: pd.DataFrame) -> str:
    """Return why two reports cannot be compared; empty if they can."""
    first, second = (record["hashes"]["data"] for record in (a, b))
    if first.get("split") != second.get("split"):
        return f"the splits differ, {first.get('split')} and {second.get('split')}"
    if first.get("key") != second.get("key") and first.get("files", 0) != second.get("files", 1):
        return f"the prepared data differ, {a['dataset']}-{first.get('key')} and {b['dataset']}-{second.get('key')}"
    if not users_a.index.equals(users_b.index):
        both = len(users_a.index.intersection(users_b.index))
        return f"the users differ, {len(users_a):,} and {len(users_b):,} with {both:,} in both"
    return ""


def _differences(a: pd.DataFrame, b: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    columns = [column for column in a if column in b]
    _, rows = compare({"B": b[columns], "A": a[columns]}, seed=0)
    return {row["metric"]: row for row in rows.to_dict("records") if row["a"] == "B"}


def _differs(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, str, str]]:
    facts = [_facts(record) for record in (a, b)]
    rows = [(name, str(facts[0].get(name, "–")), str(facts[1].get(name, "–"))) for name in {**facts[0], **facts[1]}]
    return [row for row in rows if row[1] != row[2]]


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a report was made with, by name: parameters, code, data, recipes, device, packages."""
    hashes, revision = record["hashes"], record["revision"] or {}
    facts = {name: each["value"] for name, each in record["parameters"].items() if name != "RUN"}
    changes = " with changes" if revision.get("dirty") else ""
    facts["code, revision"] = f"{revision.get('commit', 'unknown')[:10]}{changes}"
    facts["code, recsys"] = hashes["module"][:10]
    facts |= {f"code, {name}": value[:10] for name, value in hashes["notebooks"].items()}
    facts |= {f"data, {name}": hashes["data"].get(name) for name in ("key", "split")}
    facts |= {f"data, {each['name']}": each["sha256"][:10] for each in hashes["data"].get("source") or ()}
    facts |= {f"recipe {name}, {key}": v for name, each in record.get("recipes", {}).items() for key, v in each.items()}
    return facts | {"lock": (hashes["lock"] or "none")[:10], "device": record["device"], **record["versions"]}


def _verdict(judged: list[str], difference: dict[str, Any], n_users: int) -> str:
    a, b = (f"{model} in {letter}" for letter, model in zip("AB", judged, strict=True))
    gap = "NDCG@20 {value:+.4f} ({low:+.4f} to {high:+.4f})".format(**difference).replace("-", "−")
    level = difference["verdict"].startswith("not")
    outcome = f"{b} is {difference['verdict']} {'from' if level else 'than'} {a}"
    return f"{outcome[0].upper()}{outcome[1:]}: {gap}, B − A over the same {n_users:,} listeners."


def as_text(result: dict[str, Any]) -> str:
    """Return a comparison as lines for a terminal."""
    a, b = result["reports"]
    lines = [f"A  {a}", f"B  {b}", "", result["verdict"], ""]
    lines += [*_columns([("what differs", "A", "B"), *(result["differs"] or [("nothing", "", "")])]), ""]
    table = [("model", "metric", "A", "B", "B − A", "95 % interval")]
    for (model, metric), (first, second, gap) in result["figures"].items():
        values = [f"{each['value']:.4f}" if each else "–" for each in (first, second)]
        signed = "{value:+.4f} {low:+.4f} to {high:+.4f}".format(**gap).replace("-", "−").split(" ", 1) if gap else "––"
        table.append((model_name(model), METRICS[metric], *values, *signed))
    lines += _columns(table) if result["figures"] else []
    same = ", ".join(map(model_name, result["same"]))
    return "\n".join(lines + ([f"The same for every listener: {same}"] if same else []))


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 if there is no verdict, 2 for wrong arguments."""
    parser = argparse.ArgumentParser("python -m recsys.reports.comparison", description=__doc__)
    parser.add_argument("a", nargs="?", default="", help="name of a report (default: the last but one)")
    parser.add_argument("b", nargs="?", default="", help="name of the report to compare with it (default: the last)")
    parser.add_argument("--reports", type=Path, default=project_root() / "reports", help="folder of the reports")
    options = parser.parse_args(arguments)
    reports = options.reports
    made = [path.parent for path in reports.glob("[!.]*/metrics.json")]
    made.sort(key=lambda folder: read_json(folder / "run.json")["started"])
    try:
        if not (options.a and options.b) and len(made) < 2:
            raise ValueError(f"expected two successful reports in {reports.name}/, got {len(made)}")
        latest = [reports, reports, *made][-2:]
        chosen = [reports / Path(name).name if name else last
                  for name, last in zip((options.a, options.b), latest, strict=True)]  # fmt: skip
        result = compare_reports(*chosen)
    except ValueError as error:
        parser.error(str(error))
    page = reports / "comparisons" / f"{chosen[0].name}_and_{chosen[1].name}.html"
    with write_atomically(page) as temporary:
        temporary.write_text(comparison_page(result), encoding="utf-8")
    write_index(reports)
    print(as_text(result), "", f"{os.path.relpath(page)}", sep="\n")
    return 1 if result["refused"] else 0


if __name__ == "__main__":
    sys.exit(main())
