"""Writes README's table of results from reports: python tools/results.py [report folder …]

The figures of each folder are put into docs/results.json, in place of earlier ones with the same title. Then README.md
is updated from that file, and the table of recipes in docs/training.md from the code. With --run the reports are made
first: the sample's, and those whose data are given as LIGHTGCN=<folder>, AMAZONCDS=<folder> and MUSIC=<file>.
"""

import argparse
import dataclasses
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.files import read_json, write_json
from recsys.reports.narrative import model_name, named, signed_spread
from recsys.training.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent
README, RESULTS, TRAINING = ROOT / "README.md", ROOT / "docs" / "results.json", ROOT / "docs" / "training.md"
MAIN, METRICS = "ndcg@20", ("ndcg@20", "recall@20")
COMPARED = "best"  # the recipe that is compared with the strongest other model
MARKS = ("<!-- begin: make results -->\n", "<!-- end -->")  # the text between them is generated
RUNS = {  # name of the report: title, the path's name on the command line, the parameters
    "example": ("sample", "", []),
    "results-lightgcn": ("MovieLens-1M", "LIGHTGCN", ["DATASET=lightgcn"]),
    "results-amazoncds": ("Amazon-CDs", "AMAZONCDS", ["DATASET=lightgcn"]),
    "results-30music-last": ("30Music, last listens", "MUSIC", ["DATASET=30music", "SPLIT=by-user-last"]),
    "results-30music-time": ("30Music, by time", "MUSIC", ["DATASET=30music"]),
}


def run(paths: dict[str, str]) -> list[Path]:
    """Make the reports whose data are given and return their folders; a message names each report that is skipped."""
    folders = []
    for name, (title, key, parameters) in RUNS.items():
        path = Path(paths.get(key, "")).expanduser().resolve()
        if key and not (key in paths and path.exists()):
            print(f"{title}: SKIPPED, expected {key}=<path of the data>, got {paths.get(key, 'nothing')}")
            continue
        parameters = [*parameters, f"DATA_PATH={path}"] if key else parameters
        subprocess.run([sys.executable, "-m", "recsys.reports", f"--name={name}", *parameters], cwd=ROOT, check=True)
        folders.append(ROOT / "reports" / name)
    return folders


def collect(folder: Path) -> dict[str, Any]:
    """Return what the table needs from a report, without its paths."""
    record, metrics = read_json(folder / "run.json"), read_json(folder / "metrics.json")
    given = {name: each["value"] for name, each in record["parameters"].items() if each["given"]}
    values = [f"{name}={'…' if name.endswith('_PATH') else shlex.quote(str(given[name]))}" for name in given]
    title = RUNS.get(folder.name, (f"{metrics['dataset']}, {metrics['split']}",))[0]
    models = {name: {metric: model[metric] for metric in METRICS} for name, model in metrics["models"].items()}
    differences = [each for each in metrics["differences"] if (each["a"], each["metric"]) == (COMPARED, MAIN)]
    return {
        "title": title, "command": " ".join(["make reports", *values]), "dataset": metrics["dataset"],
        "split": metrics["split"], "users": metrics["users"], "models": models, "differences": differences,
        "seconds": round(sum(record["seconds"].values())), "seed": record["seed"], "device": record["device"],
        "revision": record["revision"], "started": record["started"],
    }  # fmt: skip


def render(results: Sequence[dict[str, Any]]) -> str:
    """Return the table as Markdown, then a line for each data set: what the comparison says, and how to repeat it."""
    rows = [["NDCG@20", *(each["title"] for each in results)], ["---", *["---:"] * len(results)]]
    for model in dict.fromkeys(name for each in results for name in each["models"]):
        cells = [_cell(each["models"].get(model)) for each in results]
        highest = [max(each["models"], key=lambda name: _value(each, name)) == model for each in results]
        marked = [f"**{cell}**" if top else cell for cell, top in zip(cells, highest, strict=True)]
        rows.append([model_name(model), *marked])
    lines = [f"| {' | '.join(row)} |" for row in rows] + [""]
    for each in results:
        revision = each["revision"] or {}
        commit = (revision.get("commit") or "unknown")[:7] + ", with changes" * bool(revision.get("dirty"))
        facts = f"{each['users']:,} listeners, split `{each['split']}`, {each['seconds'] / 60:.1f} minutes"
        origin = f"Made by `{each['command']}` ({facts}, commit {commit})."
        lines.append(f"- **{each['title']}.** {_comparison(each)}{origin}")
    return "\n".join(lines) + "\n"


def _value(result: dict[str, Any], model: str) -> float:
    return result["models"][model][MAIN]["value"]


def _cell(model: dict[str, Any] | None) -> str:
    return "{value:.4f} ({low:.3f}–{high:.3f})".format(**model[MAIN]) if model else "–"


def _comparison(result: dict[str, Any]) -> str:
    """Compare `COMPARED` with the strongest other model in a sentence."""
    others = [name for name in result["models"] if name != COMPARED]
    strongest = max(others, key=lambda name: _value(result, name), default=None)
    for each in result["differences"]:
        if each["b"] == strongest:
            first, second = named(COMPARED), named(strongest)
            figures = signed_spread(each)
            if each["verdict"] == "not distinguishable":
                return f"The difference between {first} and {second} is not certain: {figures}. "
            return f"{first} is {each['verdict']} than {second}: {figures}. "
    return ""


def recipes() -> str:
    """Return the recipes' settings as a table in Markdown."""
    rows = [["setting", *(f"`{name}`" for name in RECIPES)], ["---"] * (1 + len(RECIPES))]
    for field in dataclasses.fields(next(iter(RECIPES.values())))[1:]:
        values = (getattr(recipe, field.name) for recipe in RECIPES.values())
        rows.append([f"`{field.name}`", *(_text(value) for value in values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(each).replace(", ", "/") for each in value) or "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def write(results: Sequence[dict[str, Any]]) -> None:
    """Write docs/results.json and the generated parts of README.md and docs/training.md."""
    write_json(RESULTS, results)
    for path, table in ((README, render(results)), (TRAINING, recipes())):
        before, begin, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        path.write_text(before + begin + table + end + after, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python tools/results.py", description=__doc__.partition("\n\n")[2])
    parser.add_argument("reports", nargs="*", help="folders of reports; with --run, paths of data as NAME=path")
    parser.add_argument("--run", action="store_true", help="make the reports first")
    options = parser.parse_args(arguments)
    given = dict(each.partition("=")[::2] for each in options.reports) if options.run else {}
    if unknown := [name for name in given if name not in {key for _, key, _ in RUNS.values()}]:
        parser.error(f"expected LIGHTGCN=<folder>, AMAZONCDS=<folder> or MUSIC=<file>, got {unknown[0]!r}")
    folders = run(given) if options.run else [Path(each) for each in options.reports]
    known = {each["title"]: each for each in (read_json(RESULTS) if RESULTS.exists() else [])}
    known |= {each["title"]: each for each in map(collect, folders)}
    order = [title for title, *_ in RUNS.values()]
    write([known[title] for title in dict.fromkeys((*order, *known)) if title in known])


if __name__ == "__main__":
    main()
