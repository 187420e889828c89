"""Compares two reports, as text and as a page: python -m recsys.reports.comparison [A] [B], else the last two."""

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recsys.evaluation.bootstrap import N_RESAMPLES, compare
from recsys.reports.pages import METRICS, best_model, comparison_page
from recsys.reports.runner import write_index
from recsys.runs import project_root, read_json, write_atomically

MAIN = METRICS[0]
PAIR = ""  # the name under which the two models of the verdict are compared
LEVEL = "not distinguishable"


def compare_reports(a: Path, b: Path) -> dict[str, Any]:
    """Compare two folders of reports: what differs, figures side by side, differences B − A over the same users.

    Returns the names of both `reports`, `differs` [(what, in A, in B)], `figures` {(model, metric): (entry of A, of B,
    difference or None)}, the models that are the `same` for every user and stand in no figures, `refused` (why there
    is no verdict, or empty) and the `verdict` in words. Raises ValueError where one of them holds no figures.
    """
    records, metrics = ([_read(folder, name) for folder in (a, b)] for name in ("run.json", "metrics.json"))
    pair = [_judged(each) for each in metrics]
    shared = [name for name in metrics[1]["models"] if name in metrics[0]["models"]]
    shared.sort(key=lambda name: -metrics[1]["models"][name][MAIN]["value"])
    frames = [_per_user(folder, [*shared, model], model) for folder, model in zip((a, b), pair, strict=True)]
    refused = _refusal(*records, *frames)
    gaps = {} if refused else _differences(*frames)
    same = [] if refused else [name for name in shared if frames[0][name].equals(frames[1][name])]
    figures = {
        (model, metric): (*(each["models"][model].get(metric) for each in metrics), gaps.get((model, metric)))
        for model, metric in itertools.product(shared, METRICS)
        if model not in same and any(metric in each["models"][model] for each in metrics)
    }
    verdict = _verdict(pair, gaps.get((PAIR, MAIN)), refused, len(frames[0]))
    result = {"reports": [a.name, b.name], "differs": _differs(*records), "figures": figures, "same": same}
    return result | {"refused": refused, "verdict": verdict}


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).is_file():
        raise ValueError(f"{folder.name}: expected a report that succeeded, with its {name}; got none")
    return read_json(folder / name)


def _judged(metrics: dict[str, Any]) -> str:
    """The recipe `best`, or the best model where it was not trained."""
    return "best" if "best" in metrics["models"] else best_model(metrics) or ""


def _per_user(folder: Path, models: list[str], judged: str) -> pd.DataFrame:
    """Read one row a user and one column a model and metric; the judged model once more, as the pair's."""
    long = pd.read_parquet(folder / "per_user.parquet", filters=[("model", "in", models), ("metric", "in", METRICS)])
    wide = long.pivot(index="user", columns=["model", "metric"], values="value")
    wide[PAIR, MAIN] = wide[judged, MAIN]
    return wide.sort_index()


def _refusal(a: dict[str, Any], b: dict[str, Any], users_a: pd.DataFrame, users_b: pd.DataFrame) -> str:
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
    _, rows = compare({"B": b[columns], "A": a[columns]}, N_RESAMPLES, seed=0)
    return {row["metric"]: row for row in rows.to_dict("records") if row["a"] == "B"}


def _differs(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, str, str]]:
    facts = [_facts(record) for record in (a, b)]
    rows = [(name, str(facts[0].get(name, "–")), str(facts[1].get(name, "–"))) for name in {**facts[0], **facts[1]}]
    return [row for row in rows if row[1] != row[2]]


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    hashes, revision = record["hashes"], record["revision"] or {}
    facts = {name: each["value"] for name, each in record["parameters"].items() if name != "RUN"}
    facts["code, revision"] = f"{revision.get('commit', 'unknown')[:10]}{', changed' * revision.get('dirty', False)}"
    facts["code, recsys"] = hashes["module"][:10]
    facts |= {f"code, {name}": value[:10] for name, value in hashes["notebooks"].items()}
    facts |= {f"data, {name}": hashes["data"].get(name) for name in ("key", "split")}
    facts |= {f"data, {each['name']}": each["sha256"][:10] for each in hashes["data"].get("source") or ()}
    facts |= {f"recipe {name}, {key}": v for name, each in record.get("recipes", {}).items() for key, v in each.items()}
    return facts | {"lock": (hashes["lock"] or "none")[:10], "device": record["device"], **record["versions"]}


def _verdict(pair: list[str], difference: dict[str, Any] | None, refused: str, n_users: int) -> str:
    if difference is None:
        return f"No verdict: the two cannot be compared, {refused}."
    a, b = (f"{name}'s {model}" for name, model in zip("AB", pair, strict=True))
    gap = "NDCG@20 {value:+.4f} ({low:+.4f} to {high:+.4f})".format(**difference).replace("-", "−")
    level = difference["verdict"] == LEVEL
    said = f"{b} and {a} are {LEVEL}" if level else f"{b} is {difference['verdict']} than {a}"
    return f"{said}: {gap}, B minus A over the same {n_users:,} users."


def as_text(result: dict[str, Any]) -> str:
    """Return a comparison as lines for a terminal."""
    a, b = result["reports"]
    lines = [f"A  {a}", f"B  {b}", "", result["verdict"], ""]
    table = [("what differs", "A", "B"), *result["differs"]] if result["differs"] else [("nothing differs", "", "")]
    lines += [*_columns(table), ""]
    table = [("model", "metric", "A", "B", "B − A", "95 % interval")]
    for (model, metric), (first, second, gap) in result["figures"].items():
        values = [f"{each['value']:.4f}" if each else "–" for each in (first, second)]
        signed = "{value:+.4f} {low:+.4f} to {high:+.4f}".format(**gap).replace("-", "−").split(" ", 1) if gap else "––"
        table.append((model, metric, *values, *signed))
    lines += _columns(table) if result["figures"] else []
    return "\n".join(lines + ([f"the same for every user: {', '.join(result['same'])}"] if result["same"] else []))


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 when the verdict is refused, 2 for a wrong call."""
    parser = argparse.ArgumentParser("python -m recsys.reports.comparison", description=__doc__)
    parser.add_argument("a", nargs="?", default="", help="a folder of reports/ (the last but one)")
    parser.add_argument("b", nargs="?", default="", help="another, judged against it (the last)")
    parser.add_argument("--reports", type=Path, default=project_root() / "reports", help="the folder of the reports")
    options = parser.parse_args(arguments)
    reports = options.reports
    made = [path.parent for path in reports.glob("[!.]*/metrics.json")]
    made.sort(key=lambda folder: read_json(folder / "run.json")["started"])
    try:
        if not (options.a and options.b) and len(made) < 2:
            raise ValueError(f"expected two reports that succeeded in {reports.name}/, got {len(made)}")
        chosen = [reports / Path(name).name if name else last for name, last in zip(
            (options.a, options.b), made[-2:] or (None, None), strict=True)]  # fmt: skip
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
