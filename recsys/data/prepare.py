"""Listens → the prepared folder: select positives, split them, replace ids by codes, and account for every row."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ibis.expr.types import Table

from recsys.data import readers
from recsys.data.coding import NOWHERE, describe, number_ids, write_parts
from recsys.data.engine import Engine, start_engine
from recsys.data.enough import LEAST, why_too_few
from recsys.data.errors import DataError, check_choice
from recsys.data.given_split import WORDS, carve_validation, drop_places_of_sorted_lists
from recsys.data.leaks import drop_leaks
from recsys.data.likeness import compare_validation_with_test
from recsys.data.oddities import (
    share_of_equal_times,
    warn_of_alike_ids,
    warn_of_alike_songs,
    warn_of_heavy_users,
    warn_of_late_gap,
)
from recsys.data.partition import COLUMN_NEEDED, TRAIN, VALIDATION, assign_parts, choose_split, count_rows
from recsys.data.readers.addresses import locate
from recsys.data.readers.dataset import Dataset
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import AUTO
from recsys.data.reading import WAYS, Read, file_names, read_all
from recsys.data.spark import start_spark
from recsys.data.split import PARTS
from recsys.data.steps import select_positives
from recsys.files import read_json, replace_folder, sha256, working_folder, write_json
from recsys.runs import project_root

ENGINES: dict[str, Callable[..., AbstractContextManager[Engine]]] = {"duckdb": start_engine, "spark": start_spark}
CHOICES = {
    "split": ("auto", *COLUMN_NEEDED), "positives": ("listened", "all"), "repeats": ("keep", "first"),
    "validation": ("", *WORDS),
    "repeated_events": ("drop", "keep"), **WAYS, "on_leak": ("stop", "drop", "report"), "engine": tuple(ENGINES),
}  # fmt: skip
FRACTIONS = ("validation_fraction", "test_fraction", "user_fraction")
# the key depends on all other files of this package
NOT_PREPARING = (
    "synthetic.py", "split.py", "samples.py", "interactions.py", "inspection.py", "guesses.py", "unused.py",
)  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """A prepared folder, whether it was there already, and its manifest."""

    folder: Path
    reused: bool
    manifest: dict[str, Any]


def prepare(
    dataset: str = "sample", path: Path | str | None = None, *, root: Path | str | None = None,
    split: str = "auto", validation_fraction: float = 0.1, test_fraction: float = 0.1, validation: str = "",
    positives: str = "listened", repeats: str = "keep", user_fraction: float = 1.0,
    min_user_listens: int = 1, min_item_listens: int = 1, n_candidates: int = LEAST["item"], seed: int = 0,
    repeated_events: str = "drop", empty_ids: str = "error", times_outside: str = "error", on_leak: str = "stop",
    user_column: str = "", item_column: str = "", time_column: str = "", listened_column: str = "",
    seconds_column: str = "", milliseconds_column: str = "", name_column: str = "", artist_column: str = "",
    positive_from: float = 0.0, columns: str = "", separator: str = "", time_format: str = "", encoding: str = "",
    engine: str = "duckdb",
) -> Prepared:  # fmt: skip
    """Write `<root>/data/prepared/<dataset>-<key>/` from a data set, or find it there.

    The key depends on the files' paths, sizes and dates, on the parameters, and on the code that reads and prepares. A
    folder with the same key and all of its files is used again, and nothing is read.

    - `dataset` is a key of `recsys.data.readers.READERS`, `path` its file or folder; `auto` finds the key that fits.
    - `split` is `by-time` (two cuts for all users), `by-user-last` (the last listens of each user), `random`, `given`,
      or `auto`, which is the first of `given`, `by-time` and `random` that the data allow.
    - `validation` says how it is taken out of the train part of a given split: `random`, `by-user-last` or `by-time`;
      "" takes it as test was taken. Each user has the same share of listens in it as in test.
    - `positives="all"` keeps skips too; `repeats="first"` keeps only a user's first listen to a song.
    - `user_fraction` is the share of users to keep, drawn by a hash of their ids.
    - The minimal numbers of listens are applied until all remaining users and songs reach them.
    - `n_candidates` is the smallest number of songs that is accepted.
    - `repeated_events="drop"` takes the same user, song and second for one listen.
    - `empty_ids="drop"` leaves out rows without a user or a song, `times_outside="drop"` those with a time before 1970
      or in the future; both are counted. With "error", the first such row stops everything.
    - `on_leak="drop"` takes a listen that an earlier part has too out of the later one. With "stop" it is left for the
      checks to find, which stop training and evaluation; with "report" these go on, and the pages say so.
    - The other parameters say what the files mean: see `recsys.data.readers.options` and `.custom_table`.

    - `engine="spark"` prepares on Spark, and gives the same rows; `path` may then also be an address or a table's name.

    Raises DataError for input that cannot be used; no folder is left behind then.
    """
    parameters = {name: value for name, value in locals().items() if name not in ("dataset", "path", "root")}
    _check(parameters)
    options = Options(**{each.name: parameters[each.name] for each in fields(Options)})
    home = Path(root or project_root()) / "data"
    place = locate(path, engine) if path else None
    with working_folder(home / "prepared") as work:
        (work / "scratch").mkdir()
        with ENGINES[engine](work / "scratch", home / "raw") as started:
            asked, dataset = dataset, readers.find_dataset(place, started, options) if dataset == AUTO else dataset
            data = readers.open_dataset(dataset, place, started, options)
            key = _key(asked, data, parameters, home)
            folder = home / "prepared" / f"{dataset}-{key}"
            if manifest := _manifest_if_complete(folder):
                return Prepared(folder, True, manifest)
            manifest = {"dataset": dataset, "key": key, **_write_tables(started, data, parameters)}
            for name in manifest["files"]:
                os.rename(work / "scratch" / name, work / name)
        write_json(work / "manifest.json", manifest)
        shutil.rmtree(work / "scratch")
        if not _manifest_if_complete(folder):  # another process may have finished it in the meantime
            replace_folder(folder, work)
        return Prepared(folder, False, read_json(folder / "manifest.json"))


def _check(parameters: dict[str, Any]) -> None:
    for name, choices in CHOICES.items():
        check_choice(name.upper(), parameters[name], choices)
    check_fractions(*(parameters[name] for name in FRACTIONS))


def check_fractions(validation: float, test: float, users: float) -> None:
    """Raise DataError for shares of listens or of users that cannot be, in the order of `FRACTIONS`."""
    if not (validation > 0 and test > 0 and validation + test < 1):
        names = "VALIDATION_FRACTION and TEST_FRACTION"
        raise DataError(f"{names}: expected numbers above 0 with a sum below 1, got {validation} and {test}")
    if not 0 < users <= 1:
        raise DataError(f"USER_FRACTION: expected a number above 0 and at most 1, got {users}")


def _key(dataset: str, data: Dataset, parameters: dict[str, Any], home: Path) -> str:
    sources = [path for path in sorted(Path(__file__).parent.rglob("*.py")) if path.name not in NOT_PREPARING]
    code = [sha256(path) for path in sources]
    facts = [
        dataset,
        parameters,
        [each.place(home) for each in data.files],
        [each.stamp() for each in data.files],
        code,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _manifest_if_complete(folder: Path) -> dict[str, Any] | None:
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_json(folder / "manifest.json")
    return manifest if all((folder / name).exists() for name in manifest["files"]) else None


def _look_for_oddities(engine: Engine, listens: Table, read: Read) -> dict[str, float]:
    """Warn of what looks odd. Where there are times, return the share of neighbouring listens with equal ones."""
    equal = {}
    if "timestamp" in listens.columns:
        equal["equal_times"] = share_of_equal_times(engine, listens)
        warn_of_late_gap(engine, listens)
    warn_of_heavy_users(engine, listens)
    for what, names in read.names.items():
        warn_of_alike_ids(engine, names, what)
    return equal


def _describe_files(data: Dataset) -> list[dict[str, Any]]:
    """Return the name, size and hash of each file; a number instead of the name if that may be a person's."""
    n = len(data.files)
    names = [
        f"{number} of {n}" if data.named_after_people else each.path.name for number, each in enumerate(data.files, 1)
    ]
    return [fact for name, each in zip(names, data.files, strict=True) for fact in each.described(name)]


def _write_tables(engine: Engine, data: Dataset, parameters: dict[str, Any]) -> dict[str, Any]:
    """Write the Parquet files of the prepared folder into the scratch folder, and return the rest of the manifest."""
    read = read_all(engine, data, parameters["seed"], parameters["empty_ids"], parameters["times_outside"])
    positives, account = select_positives(engine, read, parameters)
    positives = drop_places_of_sorted_lists(engine, positives)
    split = choose_split(parameters["split"], positives)
    fractions = parameters["validation_fraction"], parameters["test_fraction"]
    listens = engine.store(assign_parts(positives, split, *fractions))
    if split == "given" and not count_rows(listens.filter(listens.part == VALIDATION)):
        listens = engine.store(carve_validation(engine, listens, parameters["validation"]))
    elif parameters["validation"]:
        expected = f"'', as the split {split} has a validation part"
        raise DataError(f"VALIDATION: expected {expected}, got {parameters['validation']!r}")
    account.add("split")
    if parameters["on_leak"] == "drop":
        listens = drop_leaks(engine, listens, account)
    equal = _look_for_oddities(engine, listens, read)
    empty = [name for number, name in enumerate(PARTS) if not count_rows(listens.filter(listens.part == number))]
    likeness = {} if empty else compare_validation_with_test(engine, listens)
    coded = {what: number_ids(engine, listens, read, what) for what in LEAST}
    n_all = {what: count_rows(codes) for what, codes in coded.items()}
    if too_few := why_too_few(n_all, LEAST | {"item": parameters["n_candidates"]}):
        raise DataError(f"{file_names(data)}: {too_few}")
    counts: dict[str, int] = {}
    for what, codes in coded.items():
        n_warm = count_rows(codes.filter(codes.first_part == TRAIN))
        n_nowhere = count_rows(codes.filter(codes.first_part == NOWHERE))
        counts |= {f"n_{what}s": n_warm, f"n_{what}s_all": n_all[what], f"n_{what}s_in_no_part": n_nowhere}
        described = describe(engine, codes, read, what)
        engine.write(described, engine.scratch / f"{what}s.parquet")
        if what == "item":
            warn_of_alike_songs(engine, described)
        numbered = codes.select(key="key", **{what: codes.code})
        listens = listens.inner_join(numbered, listens[f"{what}_id"] == numbered.key).drop(f"{what}_id", "key")
    rows = write_parts(engine, engine.store(listens))
    if empty:
        raise DataError(
            f"{file_names(data)}: expected listens in every part, got none in {empty[0]} (split {split}); "
            "change SPLIT, VALIDATION_FRACTION or TEST_FRACTION"
        )
    return {
        "split": split, "parameters": parameters, "source": _describe_files(data), "steps": account.steps,
        "parts": rows, **counts, **equal, "likeness": likeness, "decisions": engine.decisions,
        "warnings": [asdict(warning) for warning in engine.warnings],
        "files": {f"{name}.parquet": sha256(engine.scratch / f"{name}.parquet") for name in (*PARTS, "users", "items")},
    }  # fmt: skip
