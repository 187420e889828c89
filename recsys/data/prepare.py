"""Listens → the prepared folder: select positives, split them, replace ids by codes, and account for every row."""

import functools
import hashlib
import itertools
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis import BaseBackend
from ibis.expr.types import Table

from recsys.data import partition, readers
from recsys.data.partition import COLUMN_NEEDED, assign_parts, choose_split, count_rows, hash_bound, hash_values
from recsys.data.readers.files import DataError, Dataset, add_columns
from recsys.data.split import PARTS
from recsys.runs import project_root, read_json, sha256, write_json

CHOICES = {"split": ("auto", *COLUMN_NEEDED), "positives": ("listened", "all"), "repeats": ("keep", "first")}
ENGINE = {"memory_limit": "1GB", "threads": min(4, os.cpu_count() or 1)}  # what does not fit is spilled to disk
Store = Callable[[Table, str], Table]  # writes a table to a file and opens it: later queries start from the file


@dataclass(frozen=True)
class Prepared:
    """A prepared folder, whether it was there already, and its manifest."""

    folder: Path
    reused: bool
    manifest: dict[str, Any]


def prepare(
    dataset: str = "sample", path: Path | str | None = None, *, root: Path | None = None,
    split: str = "auto", validation_fraction: float = 0.1, test_fraction: float = 0.1,
    positives: str = "listened", repeats: str = "keep", user_fraction: float = 1.0,
    min_user_listens: int = 1, min_item_listens: int = 1, n_candidates: int = 21, seed: int = 0,
    user_column: str = "", item_column: str = "", time_column: str = "",
    listened_column: str = "", seconds_column: str = "",
) -> Prepared:  # fmt: skip
    """Write `<root>/data/prepared/<dataset>-<key>/` from a data set, or find it there.

    The key depends on the files' paths, sizes and dates, on the parameters, and on the code that reads and prepares. A
    folder with the same key and all of its files is used again, and nothing is read.

    - `dataset` is a key of `recsys.data.readers.READERS`, `path` its file or folder.
    - `split` is `by-time` (two cuts for all users), `by-user-last` (the last listens of each user), `random`, `given`,
      or `auto`, which is the first of `given`, `by-time` and `random` that the data allow.
    - `positives="all"` keeps skips too; `repeats="first"` keeps only a user's first listen to a song.
    - `user_fraction` is the share of users to keep, drawn by a hash of their ids.
    - The minimal numbers of listens are applied until all remaining users and songs reach them.
    - `n_candidates` is the smallest number of songs that is accepted.
    - The `_column` parameters belong to the data set `csv`: see `recsys.data.readers.custom_table`.

    Raises DataError for input that cannot be used; no folder is left behind then.
    """
    parameters = {name: value for name, value in locals().items() if name not in ("dataset", "path", "root")}
    _check(parameters)
    home = (root or project_root()) / "data"
    work = home / "prepared" / f".making-{uuid.uuid4().hex[:12]}"
    (work / "scratch").mkdir(parents=True)
    try:
        connection = ibis.duckdb.connect(temp_directory=str(work / "scratch" / "spill"), **ENGINE)
        columns = {name: value for name, value in parameters.items() if name.endswith("_column")}
        data = readers.open_dataset(dataset, path, connection=connection, raw_folder=home / "raw", **columns)
        key = _key(dataset, data, parameters, home)
        folder = home / "prepared" / f"{dataset}-{key}"
        if manifest := _manifest_if_complete(folder):
            return Prepared(folder, True, manifest)
        manifest = {"dataset": dataset, "key": key, **_write_tables(connection, data, work, parameters)}
        write_json(work / "manifest.json", manifest)
        connection.disconnect()
        shutil.rmtree(work / "scratch")
        if not _manifest_if_complete(folder):  # another process may have finished it in the meantime
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(work, folder)
        return Prepared(folder, False, read_json(folder / "manifest.json"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check(parameters: dict[str, Any]) -> None:
    for name, choices in CHOICES.items():
        if parameters[name] not in choices:
            raise DataError(f"{name.upper()}: expected one of {', '.join(choices)}, got {parameters[name]!r}")
    validation, test, users = (parameters[name] for name in ("validation_fraction", "test_fraction", "user_fraction"))
    if not (validation > 0 and test > 0 and validation + test < 1):
        names = "VALIDATION_FRACTION and TEST_FRACTION"
        raise DataError(f"{names}: expected numbers above 0 with a sum below 1, got {validation} and {test}")
    if not 0 < users <= 1:
        raise DataError(f"USER_FRACTION: expected a number above 0 and at most 1, got {users}")


def _key(dataset: str, data: Dataset, parameters: dict[str, Any], home: Path) -> str:
    files = [os.path.relpath(path, home) if home in path.parents else str(path.resolve()) for path in data.files]
    stats = [path.stat() for path in data.files]
    sources = (Path(__file__), Path(partition.__file__), *sorted(Path(readers.__file__).parent.glob("*.py")))
    code = [sha256(path) for path in sources]
    facts = [dataset, parameters, files, [(each.st_size, each.st_mtime_ns) for each in stats], code]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _manifest_if_complete(folder: Path) -> dict[str, Any] | None:
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_json(folder / "manifest.json")
    return manifest if all((folder / name).exists() for name in manifest["files"]) else None


def _write_tables(connection: BaseBackend, data: Dataset, work: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """Write the Parquet files of the prepared folder into `work`, and return the manifest without its name and key."""

    def store(table: Table, name: str) -> Table:
        path = work / "scratch" / f"{name}.parquet"
        table.to_parquet(path)
        return connection.read_parquet(path)

    positives, steps = _select_positives(_read_listens(data, store), store, parameters)
    split = choose_split(parameters["split"], positives)
    fractions = parameters["validation_fraction"], parameters["test_fraction"]
    listens = store(assign_parts(positives, split, *fractions, parameters["seed"]), "split")
    steps.append({"step": "split", "rows_in": count_rows(positives), "dropped": {}, "rows_out": count_rows(listens)})
    counts: dict[str, int] = {}
    for what, known, least in (("user", data.users, 2), ("item", data.items, parameters["n_candidates"])):
        codes = store(_number_ids(listens, f"{what}_id"), what)
        n_warm, n_all = count_rows(codes.filter(codes.first_part == partition.TRAIN)), count_rows(codes)
        if n_all < least:
            word = {"user": "users", "item": "songs"}[what]
            raise DataError(f"{_file_names(data)}: expected at least {least} {word} with positives, got {n_all}")
        counts |= {f"n_{what}s": n_warm, f"n_{what}s_all": n_all}
        described = codes if known is None else add_columns(codes, known, f"{what}_id")
        described.order_by("code").drop("code", "first_part").to_parquet(work / f"{what}s.parquet")
        listens = listens.join(codes.select(f"{what}_id", codes.code.name(what)), f"{what}_id").drop(f"{what}_id")
    rows = _write_parts(store(listens, "coded"), work)
    if empty := [part for part, n in rows.items() if not n]:
        raise DataError(
            f"{_file_names(data)}: expected listens in every part, got none in {empty[0]} (split {split}); "
            "change SPLIT, VALIDATION_FRACTION or TEST_FRACTION"
        )
    return {
        "split": split, "parameters": parameters,
        "source": [{"name": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)} for file in data.files],
        "steps": steps, "parts": rows, **counts,
        "files": {f"{name}.parquet": sha256(work / f"{name}.parquet") for name in (*PARTS, "users", "items")},
    }  # fmt: skip


def _number_ids(listens: Table, column: str) -> Table:
    """Return the distinct ids, the `first_part` that has them, and their `code`: ids of train first, then by id."""
    ids = listens.group_by(column).agg(first_part=listens.part.min())
    order = [ids.first_part > partition.TRAIN, ids[column]]
    return ids.mutate(code=ibis.row_number().over(ibis.window(order_by=order)).cast("int32"))


def _write_parts(coded: Table, work: Path) -> dict[str, int]:
    """Write a file for each part, in the order of time, user and song, and return their numbers of rows."""
    times = [column for column in ("timestamp",) if column in coded.columns]
    counts: dict[str, int] = {}
    for number, part in enumerate(PARTS):
        rows = coded.filter(coded.part == number).order_by([*times, "user", "item"]).select("user", "item", *times)
        rows.to_parquet(work / f"{part}.parquet")
        counts[part] = count_rows(rows)
    return counts


def _file_names(data: Dataset) -> str:
    return ", ".join(source.path.name for source in data.sources)


def _read_listens(data: Dataset, store: Store) -> Table:
    """Read and store the listens. Raises DataError for a row or value that cannot be read."""
    try:
        listens = store(data.listens, "listens")
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        text = str(error).split("Possible")[0].strip()
        files = [path.name for path in data.files if str(path) in str(error)] or [_file_names(data)]
        line = re.search(r"Line: (\d+)", text)
        place = f"{', '.join(files)}{f', line {line[1]}' if line else ''}"
        raise DataError(f"{place}: expected rows like the header, got: {text.splitlines()[-1]}") from error
    if not count_rows(listens):
        raise DataError(f"{_file_names(data)}: expected listens, got a header without rows")
    unreadable = functools.reduce(lambda a, b: a | b, (listens[column].isnull() for column in listens.columns))
    if count_rows(listens.filter(unreadable)):
        for source in data.sources:
            source.check_values()
    return listens


def _select_positives(listens: Table, store: Store, parameters: dict[str, Any]) -> tuple[Table, list[dict[str, Any]]]:
    """Return the positives to keep, and the account of each step: rows in, rows dropped by reason, rows out."""
    n_read = count_rows(listens)
    steps: list[dict[str, Any]] = [{"step": "read", "rows_in": n_read, "dropped": {}, "rows_out": n_read}]

    def account(step: str, **dropped: int) -> None:
        rows_in = steps[-1]["rows_out"]
        rows_out = rows_in - sum(dropped.values())
        reasons = {reason.replace("_", " "): n for reason, n in dropped.items()}
        steps.append({"step": step, "rows_in": rows_in, "dropped": reasons, "rows_out": rows_out})
        if not rows_out:
            raise DataError(
                f"expected positives, got none: the step {step!r} dropped the last of {n_read:,} listens ({reasons})"
            )

    if parameters["positives"] == "listened":
        listens = listens.filter(listens.listened)
    account("positives", skipped=n_read - count_rows(listens))
    listens = listens.drop("listened")
    if parameters["user_fraction"] < 1:
        drawn = hash_values(parameters["seed"], listens.user_id) < hash_bound(parameters["user_fraction"])
        listens = store(listens.filter(drawn), "users")
    account("users", of_users_not_drawn=steps[-1]["rows_out"] - count_rows(listens))
    if parameters["repeats"] == "first":
        listens = store(_first_listens(listens), "firsts")
    account("repeats", later_listens_of_a_pair=steps[-1]["rows_out"] - count_rows(listens))
    listens, dropped = _drop_rare(listens, store, parameters["min_user_listens"], parameters["min_item_listens"])
    account("minimal counts", **dropped)
    return listens, steps


def _first_listens(listens: Table) -> Table:
    """Return one row for each user and song: the earliest, in the earliest part."""
    columns = [column for column in ("part", "timestamp") if column in listens.columns]
    earliest = ibis.struct({column: listens[column] for column in columns or ["item_id"]}).min()
    firsts = listens.group_by("user_id", "item_id").agg(first=earliest)
    return firsts.mutate(**{column: firsts["first"][column] for column in columns}).drop("first")


def _drop_rare(listens: Table, store: Store, min_user: int, min_item: int) -> tuple[Table, dict[str, int]]:
    """Drop users and songs with too few listens until none is left, and return how many listens went with them."""
    dropped = {"of_rare_users": 0, "of_rare_songs": 0}
    for round_ in itertools.count():
        before = count_rows(listens)
        for reason, column, least in (("of_rare_users", "user_id", min_user), ("of_rare_songs", "item_id", min_item)):
            if least > 1:
                n_listens, sizes = count_rows(listens), listens.group_by(column).agg(n=listens.count())
                frequent = sizes.filter(sizes.n >= least)
                listens = store(listens.semi_join(frequent, column), f"frequent-{column}-{round_}")
                dropped[reason] += n_listens - count_rows(listens)
        if count_rows(listens) == before:
            break
    return listens, dropped
