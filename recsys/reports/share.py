"""Writes a report, by default the newest, as one zip that can be sent: python -m recsys.reports.share [REPORT]"""

import html
import json
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from bs4 import BeautifulSoup
from nbformat.v4 import new_output

from recsys.files import read_json, write_atomically
from recsys.reports import explorer
from recsys.reports.pages import notebook_page
from recsys.reports.privacy import own_words, search, searchable_ids
from recsys.runs import Run, check_results, project_root

PERSONAL = "one-listener"  # tag of the cells, and class of the elements, that show a single listener
HIDDEN = "*This shows a single listener and is left out of the shared report.*"
FEWEST = explorer.FEWEST
FEW = f"< {FEWEST}"
COUNTS = {"listen to both", "listeners", "users"}  # heads of columns that count listeners


def share(report: Path, root: Path) -> tuple[Path, list[str]]:
    """Write shared/<report>.zip beside the report; return its path and what it leaves out, in a sentence each.

    Raises ValueError if the folder holds no successful report, if the report shows ids of listeners on purpose, and,
    with the places, if the zip holds what must not leave this machine. FileNotFoundError if its data are not here.
    """
    record = read_json(report / "run.json") if (report / "run.json").is_file() else {}
    if record.get("status") != "succeeded":
        raise ValueError(f"REPORT: expected the name of a successful report, got {report.name!r}")
    check_results(report, record)
    if record["parameters"].get("SHOW_USER_IDS", {}).get("value"):
        raise ValueError("SHOW_USER_IDS: expected False in a report to share, got True; make the report without it")
    ids, n_ids = searchable_ids(Run(record["run"], root), own_words(report))
    files, left_out = _contents(report, record)
    others = " The other ids are short, or they are also words or songs of the report." * (len(ids) < n_ids)
    left_out.append(f"The search for ids of listeners covered {len(ids):,} of all {n_ids:,} in the data.{others}")
    files["left_out.txt"] = "\n".join(left_out) + "\n"
    path = report.parent / "shared" / f"{report.name}.zip"
    with write_atomically(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(zipfile.ZipInfo(f"{report.name}/{name}"), text, zipfile.ZIP_DEFLATED)
        if found := list(search(temporary, ids, root)):
            few = "\n".join(found[:5]) + (f"\nand {len(found) - 5} more" if len(found) > 5 else "")
            raise ValueError(f"{report.name}: expected nothing that must stay on this machine, got\n{few}")
    return path, left_out


def _contents(report: Path, record: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the texts of the zip by file name, and what they leave out."""
    names, n_hidden, n_few, texts = list(record["hashes"]["notebooks"]), 0, 0, {}
    for name in names:
        notebook = nbformat.read(report / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            if PERSONAL in cell.metadata.get("tags", ()) and cell.cell_type == "code":
                n_hidden += bool(cell.outputs)
                cell.outputs = [new_output("display_data", {"text/markdown": HIDDEN})]
        texts[f"{name}.html"] = notebook_page(notebook, name, names)
    if "04_explore" in names and not n_hidden:
        raise ValueError(f"{report.name}: expected cells marked {PERSONAL}, got none; make the report again")
    texts["index.html"] = (report / "index.html").read_text(encoding="utf-8")
    kept = {*texts, "metrics.json", "run.json", "per_user.json", "left_out.txt"}
    kept |= {explorer.PAGE} & {path.name for path in report.iterdir()}
    for name, text in texts.items():
        body = BeautifulSoup(text, "html.parser")
        for element in body.select(f".{PERSONAL}"):
            element.decompose()
            n_hidden += 1
        for link in body.select("a[href]"):
            target = str(link["href"]).partition("#")[0]
            if target and not re.match("[a-z]+:", target) and target not in kept:
                link.unwrap()
        n_few += _withhold(body)
        texts[name] = str(body)
    for name in {explorer.PAGE, "metrics.json"} & {path.name for path in report.iterdir()}:
        texts[name] = (report / name).read_text(encoding="utf-8")
    texts["per_user.json"] = json.dumps(distribution(report / "per_user.parquet"), indent=1)
    texts["run.json"] = json.dumps({**record, "files": sorted(kept)}, indent=1, ensure_ascii=False)
    paths = [str(each["value"]) for name, each in record["parameters"].items() if name.endswith("_PATH")]
    for path in (each for each in paths if "/" in each):
        for form in {path, html.escape(path), json.dumps(path)[1:-1]}:
            shown = "…/" + form.rstrip("/").rpartition("/")[2]
            texts = {name: text.replace(form, shown) for name, text in texts.items()}
    return texts, [
        "per_user.parquet, the values of each listener; per_user.json holds their distribution.",
        "The executed notebooks (.ipynb).",
        f"{n_hidden} outputs that show a single listener.",
        f"{n_few} counts of fewer than {FEWEST} listeners.",
        "The folders of the data.",
    ]


def _withhold(body: BeautifulSoup) -> int:
    """Replace counts of one to four listeners in tables and sentences; return how many."""
    n = 0
    for table in body("table"):
        heads = [head.text.strip() for head in (table("tr") or [table])[0](["th", "td"])]
        for row in table("tr")[1:]:
            cells = row(["th", "td"])
            counts = [place for place, head in enumerate(heads) if head in COUNTS and place < len(cells)]
            for place in counts:
                if re.fullmatch(f"[1-{FEWEST - 1}]", cells[place].text.strip()):
                    cells[place].string = FEW
                    n += 1
                    if heads[place] == "listen to both" and "lift" in heads:
                        cells[heads.index("lift")].string = "–"
    few = re.compile(rf"(?<![\w.,])[1-{FEWEST - 1}] (listener|user)s?\b")
    for text in body.find_all(string=few):
        changed, here = few.subn(rf"{FEW} \1s", str(text))
        text.replace_with(changed)
        n += here
    return n


def distribution(path: Path) -> dict[str, Any]:
    """Return the mean of each metric of each model over listeners, and its deciles if each holds five listeners."""
    found: dict[str, Any] = {}
    if path.is_file():
        table = pd.read_parquet(path, partitioning=None)
        for (model, metric), values in table.groupby(["model", "metric"], observed=True)["value"]:
            entry: dict[str, Any] = {"users": len(values), "mean": round(float(values.mean()), 6)}
            if len(values) >= 10 * FEWEST:
                entry["deciles"] = [round(float(each), 6) for each in values.quantile([i / 10 for i in range(1, 10)])]
            found.setdefault(model, {})[metric] = entry
    return found


def _newest(root: Path) -> str:
    records = {path.parent.name: read_json(path) for path in root.glob("reports/[!.]*/run.json")}
    started = {name: each["started"] for name, each in records.items() if each["status"] == "succeeded"}
    if not started:
        raise ValueError("REPORT: expected the name of a report, got none; `make reports` makes one")
    return max(started, key=lambda name: started[name])


def main(arguments: Sequence[str] | None = None) -> int:
    """Share the report of this name, or the newest. Print the zip and what it leaves out; return 0, or 2 if refused."""
    root = project_root()
    name = next(iter(sys.argv[1:] if arguments is None else arguments), "")
    try:
        path, left_out = share(root / "reports" / (name or _newest(root)), root)
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{path.relative_to(root)}: {path.stat().st_size:,} bytes", "Left out:", *left_out, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
