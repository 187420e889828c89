"""README's table of results, from the reports of runs: python tools/results.py [report folder …]

Each folder's figures go into docs/results.json, in place of earlier ones of the same title, and README.md is written
anew from that, docs/training.md's table of recipes from the code. With --run the reports are made first, those of
LIGHTGCN=<folder> and MUSIC=<file> where they are given.
"""

import argparse
import dataclasses
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.runs import read_json, write_json
from recsys.training.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent
README, RESULTS, TRAINING = ROOT / "README.md", ROOT / "docs" / "results.json", ROOT / "docs" / "training.md"
MAIN, METRICS = "ndcg@20", ("ndcg@20", "recall@20")
JUDGED = "best"  # the recipe that is held against the others
MARKS = ("<!-- begin: make results -->\n", "<!-- end -->")  # what stands between them is written anew
RUNS = {  # name of the report: title, the path's name on the command line, the parameters
    "example": ("sample", "", []),
    "results-lightgcn": ("MovieLens-1M", "LIGHTGCN", ["DATASET=lightgcn"]),
    "results-30music-last": ("30Music, last listens", "MUSIC", ["DATASET=30music", "SPLIT=by-user-last"]),
    "results-30music-time": ("30Music, by time", "MUSIC", ["DATASET=30music"]),
}


def run(paths: dict[str, str]) -> list[Path]:
    """Make the reports whose data are there, and return their folders; the others are named."""
    made = []
    for name, (title, key, values) in RUNS.items():
        path = Path(paths.get(key, "")).expanduser().resolve()
        if key and not (key in paths and path.exists()):
            print(f"{title}: SKIPPED, expected {key}=<its path>, got {paths.get(key, 'none')}")
            continue
        values = [*values, f"DATA_PATH={path}"] if key else values
        subprocess.run([sys.executable, "-m", "recsys.reports", f"--name={name}", *values], cwd=ROOT, check=True)
        made.append(ROOT / "reports" / name)
    return made


def collect(folder: Path) -> dict[str, Any]:
    """Return what the table needs of a report; of its paths nothing."""
    record, metrics = read_json(folder / "run.json"), read_json(folder / "metrics.json")
    given = {name: each["value"] for name, each in record["parameters"].items() if each["given"]}
    values = [f"{name}={'…' if name.endswith('_PATH') else shlex.quote(str(given[name]))}" for name in given]
    title = RUNS.get(folder.name, (f"{metrics['dataset']}, {metrics['split']}",))[0]
    models = {name: {metric: model[metric] for metric in METRICS} for name, model in metrics["models"].items()}
    gaps = [each for each in metrics["differences"] if (each["a"], each["metric"]) == (JUDGED, MAIN)]
    return {
        "title": title, "command": " ".join(["make reports", *values]), "dataset": metrics["dataset"],
        "split": metrics["split"], "users": metrics["users"], "models": models, "differences": gaps,
        "seconds": round(sum(record["seconds"].values())), "seed": record["seed"], "device": record["device"],
        "revision": record["revision"], "started": record["started"],
    }  # fmt: skip


def render(results: Sequence[dict[str, Any]]) -> str:
    """Return the table as Markdown, its commands, and a sentence on each data set."""
    models = list(dict.fromkeys(name for each in results for name in each["models"]))
    rows = [["NDCG@20", *(each["title"] for each in results)], ["---", *["---:"] * len(results)]]
    for model in models:
        strongest = [max(each["models"], key=lambda name: _value(each, name)) == model for each in results]
        cells = [_cell(each["models"].get(model)) for each in results]
        marked = [f"**{cell}**" if top else cell for cell, top in zip(cells, strongest, strict=True)]
        rows.append([f"`{model}`", *marked])
    lines = [f"| {' | '.join(row)} |" for row in rows] + [""]
    for each in results:
        commit = ((each["revision"] or {}).get("commit") or "unknown")[:7]
        facts = f"{each['users']:,} listeners, split `{each['split']}`, {each['seconds'] / 60:.1f} minutes, `{commit}`"
        lines.append(f"- {each['title']}: `{each['command']}` ({facts}). {_sentence(each)}")
    return "\n".join(lines) + "\n"


def _value(result: dict[str, Any], model: str) -> float:
    return result["models"][model][MAIN]["value"]


def _cell(model: dict[str, Any] | None) -> str:
    return "{value:.4f} ({low:.3f}–{high:.3f})".format(**model[MAIN]) if model else "–"


def _sentence(result: dict[str, Any]) -> str:
    """Say how the judged recipe stands beside the strongest of the others."""
    if JUDGED not in result["models"] or len(result["models"]) < 2:
        return ""
    other = max((name for name in result["models"] if name != JUDGED), key=lambda name: _value(result, name))
    for gap in result["differences"]:
        if gap["b"] == other:
            said = "can't be told from" if gap["verdict"] == "not distinguishable" else f"is {gap['verdict']} than"
            gap = "{value:+.4f} ({low:+.4f} to {high:+.4f})".format(**gap).replace("-", "−")
            return f"`{JUDGED}` {said} `{other}`: {gap}."
    return ""


def recipes() -> str:
    """Return the recipes' settings as a table in Markdown."""
    rows = [["setting", *(f"`{name}`" for name in RECIPES)], ["---"] * (1 + len(RECIPES))]
    for field in dataclasses.fields(next(iter(RECIPES.values())))[1:]:
        values = (getattr(recipe, field.name) for recipe in RECIPES.values())
        rows.append([f"`{field.name}`", *(_said(value) for value in values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_said(each).replace(", ", "/") for each in value) or "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def write(results: Sequence[dict[str, Any]]) -> None:
    """Write docs/results.json, and what stands between the marks of README.md and docs/training.md."""
    write_json(RESULTS, results)
    for path, table in ((README, render(results)), (TRAINING, recipes())):
        before, begin, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        path.write_text(before + begin + table + end + after, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python tools/results.py", description=__doc__.partition("\n\n")[2])
    parser.add_argument("reports", nargs="*", help="folders of reports; with --run NAME=path of the data")
    parser.add_argument("--run", action="store_true", help="make the reports first")
    options = parser.parse_args(arguments)
    given = dict(each.partition("=")[::2] for each in options.reports) if options.run else {}
    if odd := [name for name in given if name not in {key for _, key, _ in RUNS.values()}]:
        parser.error(f"expected LIGHTGCN=<folder> or MUSIC=<file>, got {odd[0]!r}")
    folders = run(given) if options.run else [Path(each) for each in options.reports]
    known = {each["title"]: each for each in (read_json(RESULTS) if RESULTS.exists() else [])}
    known |= {each["title"]: each for each in map(collect, folders)}
    order = [title for title, *_ in RUNS.values()]
    write([known[title] for title in dict.fromkeys((*order, *known)) if title in known])


if __name__ == "__main__":
    main()
