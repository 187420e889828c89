"""The folder of a report: it is claimed under a hidden name, filled with pages, published, and listed in index.html."""

import contextlib
import itertools
import shutil
from pathlib import Path
from typing import Any

import nbformat

from recsys.files import claim, read_json, replace_folder, sha256, write_atomically
from recsys.reports import explorer
from recsys.reports.pages import explorer_page, index_page, notebook_page, report_page
from recsys.runs import Run


def claim_folder(
    reports: Path, stem: str, held: contextlib.ExitStack, replace: bool = False
) -> tuple[Path, str]:  # fmt: skip
    """Make a hidden folder for a report and return it with the report's name, which is new unless `replace`."""
    partial = claim(lambda: _make_partial(reports, stem, replace), held)
    return partial, partial.name[1:].removesuffix(".partial")


def _make_partial(reports: Path, stem: str, replace: bool) -> Path:
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        partial = reports / f".{name}.partial"
        with contextlib.suppress(FileExistsError, FileNotFoundError):  # another command makes or removes this folder
            partial.mkdir(parents=True)
            if replace or not any((reports / f"{name}{ending}").exists() for ending in ("", ".failed", ".interrupted")):
                break
            partial.rmdir()
    return partial


def write_pages(folder: Path, record: dict[str, Any], run: Run) -> None:
    """Write the pages of a report, copy the run's metrics beside them, and add to `record` what the run knows."""
    facts, names, titles = run.record, list(record["hashes"]["notebooks"]), {}
    data = _read(run.root / facts.get("prepared", "") / "manifest.json")
    record["hashes"]["data"] = {key: data.get(key) for key in ("key", "split", "source", "files")}
    histories = {name: _read(run.folder / name / "history.json") for name in facts.get("recipes", ())}
    record["device"] = next(iter(histories.values()), {}).get("device")
    record["recipes"] = {name: history.get("inputs", {}).get("recipe") for name, history in histories.items()}
    for name in ("metrics.json", "per_user.parquet"):
        if (run.folder / name).exists():
            shutil.copyfile(run.folder / name, folder / name)
            record["hashes"].setdefault("results", {})[name] = sha256(folder / name)
    for name in names:
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        titles[name] = notebook.cells[0].source.partition("\n")[0].lstrip("# ")
        (folder / f"{name}.html").write_text(notebook_page(notebook, name, names), encoding="utf-8")
    if (songs := run.folder / explorer.DATA).exists():
        (folder / explorer.PAGE).write_text(explorer_page(songs.read_bytes(), names), encoding="utf-8")
    record["files"] = sorted([*(path.name for path in folder.iterdir()), "index.html", "run.json"])
    page = report_page(record, _read(folder / "metrics.json"), _read(run.folder / "summary.json"), titles)
    (folder / "index.html").write_text(page, encoding="utf-8")


def publish(partial: Path, reports: Path, record: dict[str, Any], remedy: str = "") -> Path:
    """Give a complete folder its name, which replaces an earlier report of that name; return the file to open.

    `remedy` is printed: what to do after a run that did not succeed.
    """
    ending, page = (f".{record['status']}", "run.json") if record["exit_code"] else ("", "index.html")
    folder = reports / f"{record['name']}{ending}"
    replace_folder(folder, partial)
    write_index(reports)
    if remedy:
        print(remedy)
    return folder / page


def write_index(reports: Path) -> None:
    """Write index.html of a folder of reports, newest first, and again if another run ended meanwhile."""
    folders: set[Path] | None = None
    while folders != (now := {path.parent for path in reports.glob("[!.]*/run.json")}):
        folders = now
        rows = [row for folder in folders if (row := _row(folder))]
        rows.sort(key=lambda row: row[1]["started"], reverse=True)
        comparisons = sorted(path.name for path in reports.glob("comparisons/*.html"))
        with write_atomically(reports / "index.html") as temporary:
            temporary.write_text(index_page(rows, comparisons), encoding="utf-8")


def _row(folder: Path) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """Return a report's name, run.json and metrics.json; None, with a message, if one of them is damaged."""
    try:
        return folder.name, _read(folder / "run.json"), _read(folder / "metrics.json")
    except ValueError as error:
        return print(f"index.html leaves out a report. {error}")


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
