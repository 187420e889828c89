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
from recsys.files import read_json, write_atomically
from recsys.reports.exploration import one_line
from recsys.reports.folder import write_index
from recsys.reports.narrative import model_name, named, signed_spread
from recsys.reports.pages import METRICS, best_model, comparison_page
from recsys.runs import check_results, project_root

WIDTH = 40  # characters of a value on a terminal
JUDGED = ""  # the key of the two models that the verdict compares


def compare_reports(a: Path, b: Path) -> dict[str, Any]:
    """Compare two report folders: what differs, the metrics side by side, differences B − A over the same users.

    Returns the names of both `reports`; `differs` as [(what, in A, in B)]; `figures` as {(model, metric): (entry of A,
    of B, difference or None)}; the models that are the `same` for every user, which are not in `figures`; `refused`
    (why there is no verdict, or empty); and the `verdict` in words. Raises ValueError if a folder holds no report.
    """
    records, metrics = ([_read(folder, name) for folder in (a, b)] for name in ("run.json", "metrics.json"))
    for folder, record in zip((a, b), records, strict=True):
        check_results(folder, record)
    judged = _judged(records, metrics)
    shared = [name for name in metrics[1]["models"] if name in metrics[0]["models"]]
    shared.sort(key=lambda name: -metrics[1]["models"][name][MAIN_METRIC]["value"])
    users_a, users_b = (_per_user(folder, shared, model) for folder, model in zip((a, b), judged, strict=True))
    gaps: dict[tuple[str, str], dict[str, Any]] = {}
    same: list[str] = []
    refused = _refusal(records, metrics, users_a.index, users_b.index)
    verdict = f"No verdict: {refused}."
    if not refused:
        columns = [column for column in users_a if column in users_b]
        rows = compare({"B": users_b[columns], "A": users_a[columns]}, seed=0)[1].to_dict("records")
        gaps = {row["metric"]: row for row in rows if row["a"] == "B"}
        same = [name for name in shared if users_a[name].equals(users_b[name])]
        verdict = _verdict(judged, gaps[JUDGED, MAIN_METRIC], len(users_a))
    figures = {
        (model, metric): (*(each["models"][model].get(metric) for each in metrics), gaps.get((model, metric)))
        for model, metric in itertools.product(shared, METRICS)
        if model not in same and any(metric in each["models"][model] for each in metrics)
    }
    facts = [_facts(record) for record in records]
    rows = [(name, *(str(each.get(name, "–")) for each in facts)) for name in {**facts[0], **facts[1]}]
    result = {"reports": [a.name, b.name], "differs": [row for row in rows if row[1] != row[2]]}
    return result | {"figures": figures, "same": same, "refused": refused, "verdict": verdict}


def _judged(records: list[dict], metrics: list[dict]) -> list[str]:
    """Return the model of each report that the verdict is about: a recipe that both have, else each one's leader.

    Of several recipes it is the last whose settings differ, or else the last.
    """
    before, after = (record.get("recipes", {}) for record in records)
    both = [name for name in after if name in before and all(name in each["models"] for each in metrics)]
    both = [name for name in both if before[name] != after[name]] or both
    return [both[-1]] * 2 if both else [best_model(each) or "" for each in metrics]


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).is_file():
        raise ValueError(f"{folder.name}: expected the folder of a successful report, but it has no {name}")
    found = read_json(folder / name)
    if (key := {"run.json": "hashes", "metrics.json": "models"}[name]) not in found:
        raise ValueError(f"{folder.name}/{name}: expected a file with {key!r}, got another file of this name")
    return found


def _per_user(folder: Path, models: list[str], judged: str) -> pd.DataFrame:
    """Read one row for each user and one column for each (model, metric); the judged model also as JUDGED."""
    filters = [("model", "in", [*models, judged]), ("metric", "in", list(METRICS))]
    table = pd.read_parquet(folder / "per_user.parquet", filters=filters, partitioning=None)
    table = table.pivot(index="user", columns=["model", "metric"], values="value")
    table[JUDGED, MAIN_METRIC] = table[judged, MAIN_METRIC]
    return table.sort_index()


def _refusal(records: list[dict], metrics: list[dict], users_a: pd.Index, users_b: pd.Index) -> str:
    """Return why two reports cannot be compared; empty if they can."""
    if failed := [name for name, each in zip("AB", metrics, strict=True) if each.get("failed_checks")]:
        return f"a check failed in {' and '.join(failed)}"
    first, second = (record["hashes"]["data"] for record in records)
    if first.get("split") != second.get("split"):
        return f"the splits differ, {first.get('split')} and {second.get('split')}"
    if first.get("key") != second.get("key") and first.get("files", 0) != second.get("files", 1):
        keys = [f"{record['dataset']}-{record['hashes']['data'].get('key')}" for record in records]
        return f"the prepared data differ, {keys[0]} and {keys[1]}"
    if not users_a.equals(users_b):
        both = len(users_a.intersection(users_b))
        return f"the users differ, {len(users_a):,} and {len(users_b):,} with {both:,} in both"
    return ""


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a report was made with, by name: parameters, code, data, recipes, device, packages."""
    hashes, revision = record["hashes"], record["revision"] or {}
    code = {"module recsys": hashes["module"], **hashes["notebooks"], "requirements.lock": hashes["lock"] or "none"}
    code |= {each["name"]: each["sha256"] for each in hashes["data"].get("source") or ()}
    facts = {name: each["value"] for name, each in record["parameters"].items() if name != "RUN"}
    facts["revision"] = revision.get("commit", "unknown")[:10] + " with changes" * revision.get("dirty", False)
    facts |= {name: value[:10] for name, value in code.items()}
    facts |= {f"recipe {name}, {key}": v for name, each in record.get("recipes", {}).items() for key, v in each.items()}
    return facts | {"device": record["device"], **record["versions"]}


def _verdict(judged: list[str], difference: dict[str, Any], n_users: int) -> str:
    a, b = map(named, judged)
    if not any(round(difference[name], 4) for name in ("value", "low", "high")):  # the figures have four digits
        outcome = f"{b} in B has the same NDCG@20 as {a} in A, to four digits, over {n_users:,} listeners."
        return outcome[0].upper() + outcome[1:]
    outcome = f"{b} in B is {difference['verdict']} than {a} in A"
    if difference["verdict"] == "not distinguishable":
        outcome = f"the difference between {b} in B and {a} in A is not certain"
    figures = f"NDCG@20 {signed_spread(difference)}, B − A over the same {n_users:,} listeners"
    return f"{outcome[0].upper()}{outcome[1:]}: {figures}."


def as_text(result: dict[str, Any]) -> str:
    """Return a comparison as text for a terminal; values of many characters are cut."""
    differs = {what: pair for what, *pair in result["differs"]} or {"nothing": ["", ""]}
    means = {}
    for (model, metric), (a, b, difference) in result["figures"].items():
        cells = [f"{entry['value']:.4f}" if entry else "–" for entry in (a, b)]
        means[f"{model_name(model)}, {METRICS[metric]}"] = [*cells, signed_spread(difference) if difference else ""]
    parts = ["A  {}\nB  {}".format(*result["reports"]), result["verdict"]]
    for title, rows, columns in (("What differs", differs, ["A", "B"]), ("Means", means, ["A", "B", "B − A"])):
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).map(lambda text: one_line(text, WIDTH))
        table = table.drop(columns="B − A", errors="ignore") if result["refused"] else table
        parts += [f"{title}\n{table.to_string()}"] * bool(rows)
    same = ", ".join(map(model_name, result["same"]))
    return "\n\n".join(parts + [f"The same for every listener: {same}"] * bool(same))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 if there is no verdict, 2 for wrong arguments."""
    parser = argparse.ArgumentParser("python -m recsys.reports.comparison", description=__doc__)
    parser.add_argument("a", nargs="?", default="", help="name of a report (default: the last but one)")
    parser.add_argument("b", nargs="?", default="", help="name of the report to compare with it (default: the last)")
    parser.add_argument("--reports", type=Path, default=project_root() / "reports", help="folder of the reports")
    options = parser.parse_args(arguments)
    reports = options.reports
    try:
        made = [path.parent for path in reports.glob("[!.]*/metrics.json")] if not (options.a and options.b) else []
        made.sort(key=lambda folder: read_json(folder / "run.json")["started"])
        if not (options.a and options.b) and len(made) < 2:
            raise ValueError(f"expected two successful reports in {reports.name}/, got {len(made)}")
        a, b = (reports / Path(name).name for name in (options.a or made[-2], options.b or made[-1]))
        result = compare_reports(a, b)
    except ValueError as error:
        parser.error(str(error))
    page = reports / "comparisons" / f"{a.name}_and_{b.name}.html"
    with write_atomically(page) as temporary:
        temporary.write_text(comparison_page(result), encoding="utf-8")
    write_index(reports)
    print(as_text(result), os.path.relpath(page), sep="\n\n")
    return 1 if result["refused"] else 0


if __name__ == "__main__":
    sys.exit(main())
