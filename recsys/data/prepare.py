"""Listens → the prepared folder: positives, drawn users, a split, integer codes, and an account of every row."""

import functools
import hashlib
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
from ibis.expr.types import Column, Table

from recsys.data import readers
from recsys.data.readers.base import DataError, Dataset, epoch_us
from recsys.data.readers.files import beside
from recsys.data.split import PARTS
from recsys.runs import project_root, read_json, sha256, write_json

# the column that each split needs; "auto" takes the first that can be
NEEDS = {"given": "part", "by-time": "timestamp", "random": "user_id", "by-user-last": "timestamp"}
CHOICES = {"split": ("auto", *NEEDS), "positives": ("listened", "all"), "repeats": ("keep", "first")}
ENGINE = {"memory_limit": "1GB", "threads": min(4, os.cpu_count() or 1)}  # what does not fit is spilled to disk
Store = Callable[[Table, str], Table]


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
    """Prepare a data set in `<root>/data/prepared/<dataset>-<key>/`, or find it there.

    The key is of the files' paths, sizes and ages, the parameters, and the code that reads and prepares; nothing is
    read again when a folder of that key has all its files. `split` is `by-time` (two cuts for all users),
    `by-user-last` (everybody's last), `random`, `given`, or `auto`: given, else by time, else random, as data allow.
    `user_fraction` draws whole users by a hash of their id. Minimal counts are applied until they hold for all.
    Raises DataError, before anything is at its place, for input that cannot be used.
    """
    parameters = {name: value for name, value in locals().items() if name not in ("dataset", "path", "root")}
    _check(parameters)
    home = (root or project_root()) / "data"
    work = home / "prepared" / f".making-{uuid.uuid4().hex[:12]}"
    (work / "scratch").mkdir(parents=True)
    try:
        connection = ibis.duckdb.connect(temp_directory=str(work / "scratch" / "spill"), **ENGINE)
        columns = {name: value for name, value in parameters.items() if name.endswith("_column")}
        read = readers.read(dataset, path, connection=connection, made=home / "raw", **columns)
        key = _key(read, parameters, home)
        folder = home / "prepared" / f"{dataset}-{key}"
        if found := _found(folder):
            return Prepared(folder, True, found)
        _build(connection, read, work, parameters, key)
        connection.disconnect()
        shutil.rmtree(work / "scratch")
        if not _found(folder):  # it would be another process's, ready first
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
        wanted = "VALIDATION_FRACTION and TEST_FRACTION over 0 and below 1 together"
        raise DataError(f"expected {wanted}, got {validation} and {test}")
    if not 0 < users <= 1:
        raise DataError(f"USER_FRACTION: expected a number over 0, at most 1, got {users}")


def _key(read: Dataset, parameters: dict[str, Any], home: Path) -> str:
    files = [os.path.relpath(path, home) if home in path.parents else str(path.resolve()) for path in read.files]
    stats = [path.stat() for path in read.files]
    code = [sha256(path) for path in (Path(__file__), *sorted(Path(readers.__file__).parent.glob("*.py")))]
    facts = [read.name, parameters, files, [(each.st_size, each.st_mtime_ns) for each in stats], code]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _found(folder: Path) -> dict[str, Any] | None:
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_json(folder / "manifest.json")
    return manifest if all((folder / name).exists() for name in manifest["files"]) else None


def _build(connection: BaseBackend, read: Dataset, work: Path, parameters: dict[str, Any], key: str) -> None:
    def store(table: Table, name: str) -> Table:
        table.to_parquet(work / "scratch" / f"{name}.parquet")
        return connection.read_parquet(work / "scratch" / f"{name}.parquet")

    arrived = _arrive(read, store)
    kept, steps = _select(arrived, store, parameters)
    split = parameters["split"]
    if split == "auto":
        split = next(name for name, column in NEEDS.items() if column in kept.columns)
    listens = store(_part(kept, split, parameters), "split")
    steps.append({"step": "split", "rows_in": _rows(kept), "dropped": {}, "rows_out": _rows(listens)})
    counts = {}
    for what, about, least in (("user", read.users, 2), ("item", read.items, parameters["n_candidates"])):
        codes = store(_codes(listens, f"{what}_id"), what)
        counts[f"n_{what}s"], counts[f"n_{what}s_all"] = _rows(codes.filter(codes["first"] == 0)), _rows(codes)
        if (n := counts[f"n_{what}s_all"]) < least:
            raise DataError(f"{_names(read)}: expected at least {least} {what}s with positives, got {n}")
        described = beside(codes, about, f"{what}_id") if about is not None else codes
        described.order_by("code").drop("code", "first").to_parquet(work / f"{what}s.parquet")
        code = codes.select(f"{what}_id", codes["code"].name(what))
        listens = listens.join(code, f"{what}_id").drop(f"{what}_id")
    coded, times = store(listens, "coded"), [column for column in ("timestamp",) if column in listens.columns]
    parts = {}
    for number, part in enumerate(PARTS):
        rows = coded.filter(coded.part == number).order_by([*times, "user", "item"]).select("user", "item", *times)
        rows.to_parquet(work / f"{part}.parquet")
        parts[part] = _rows(rows)
        if not parts[part]:
            raise DataError(f"{_names(read)}: expected listens in every part, got none in {part}, split {split}")
    write_json(work / "manifest.json", {
        "dataset": read.name, "key": key, "split": split, "parameters": parameters,
        "source": [{"name": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)} for file in read.files],
        "steps": steps, "parts": parts, **counts,
        "files": {f"{name}.parquet": sha256(work / f"{name}.parquet") for name in (*PARTS, "users", "items")},
    })  # fmt: skip


def _rows(table: Table) -> int:
    return table.count().to_pyarrow().as_py()


def _names(read: Dataset) -> str:
    return ", ".join(source.path.name for source in read.sources)


def _arrive(read: Dataset, store: Store) -> Table:
    """Store the listens as they came, and check that every value could be read."""
    try:
        listens = store(read.interactions, "listens")
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        text = str(error).split("Possible")[0].strip()
        files = [path.name for path in read.files if str(path) in str(error)] or [_names(read)]
        line = re.search(r"Line: (\d+)", text)
        place = f"{', '.join(files)}{f', line {line[1]}' if line else ''}"
        raise DataError(f"{place}: expected rows like the header, got: {text.splitlines()[-1]}") from error
    if not _rows(listens):
        raise DataError(f"{_names(read)}: expected listens, got a header and no rows")
    missing = functools.reduce(lambda a, b: a | b, (listens[column].isnull() for column in listens.columns))
    if _rows(listens.filter(missing)):
        for source in read.sources:
            source.blame()
    return listens


def _select(listens: Table, store: Store, parameters: dict[str, Any]) -> tuple[Table, list[dict[str, Any]]]:
    """Return the positives that remain, and the account of what was dropped, step by step."""
    rows = _rows(listens)
    steps: list[dict[str, Any]] = [{"step": "read", "rows_in": rows, "dropped": {}, "rows_out": rows}]

    def step(name: str, **dropped: int) -> None:
        before = steps[-1]["rows_out"]
        reasons = {reason.replace("_", " "): n for reason, n in dropped.items()}
        steps.append({"step": name, "rows_in": before, "dropped": reasons, "rows_out": before - sum(dropped.values())})
        if not steps[-1]["rows_out"]:
            raise DataError(f"expected positives, got none: of {rows:,} listens none is left after {name}, {reasons}")

    if parameters["positives"] == "listened":
        listens = listens.filter(listens.listened)
    step("positives", skipped=rows - _rows(listens))
    listens = listens.drop("listened")
    if parameters["user_fraction"] < 1:
        drawn = _hash(parameters["seed"], listens.user_id) < _share(parameters["user_fraction"])
        listens = store(listens.filter(drawn), "users")
    step("users", of_users_not_drawn=steps[-1]["rows_out"] - _rows(listens))
    if parameters["repeats"] == "first":
        order = [column for column in ("part", "timestamp") if column in listens.columns]
        moments = ibis.struct({column: listens[column] for column in order or ["item_id"]})
        firsts = listens.group_by("user_id", "item_id").agg(first=moments.min())
        firsts = firsts.mutate(**{column: firsts["first"][column] for column in order}).drop("first")
        listens = store(firsts, "firsts")
    step("repeats", later_listens_of_a_pair=steps[-1]["rows_out"] - _rows(listens))
    dropped, rows = {"of_rare_users": 0, "of_rare_songs": 0}, 0
    minima = (("of_rare_users", "user_id", "min_user_listens"), ("of_rare_songs", "item_id", "min_item_listens"))
    while rows != (rows := _rows(listens)):
        for reason, column, parameter in minima:
            if parameters[parameter] > 1:
                before, often = _rows(listens), listens.group_by(column).agg(n=listens.count())
                often = often.filter(often.n >= parameters[parameter])
                listens = store(listens.semi_join(often, column), f"often-{sum(dropped.values())}-{column}")
                dropped[reason] += before - _rows(listens)
    step("minimal counts", **dropped)
    return listens, steps


def _hash(seed: int, *values: Column) -> Column:
    """Return 32 hexadecimal digits (MD5) that depend on the seed and the values only, not on rows, order or engine."""
    text = ibis.literal(str(seed))
    for value in values:
        text = text + ":" + value.cast("string")
    return text.hexdigest("md5")


def _share(fraction: float) -> str:
    """Return the bound below which that fraction of the hashes lies."""
    return format(int(fraction * 16**8), "08x")


def _part(listens: Table, split: str, parameters: dict[str, Any]) -> Table:
    """Return the listens with their `part`: 0 train, 1 validation, 2 test."""
    validation, test = parameters["validation_fraction"], parameters["test_fraction"]
    if NEEDS[split] not in listens.columns:
        raise DataError(f"SPLIT: expected one that the data allow, got {split!r}, which needs {NEEDS[split]}s")
    if split == "by-time":
        per = listens.group_by("timestamp").agg(n=listens.count())
        until = per.mutate(until=per.n.sum().over(order_by="timestamp", rows=(None, 0)))
        total = _rows(listens)
        cuts = [until.filter(until.until > total * (1 - late)).timestamp.min() for late in (validation + test, test)]
        cuts = [cut.to_pyarrow().as_py() for cut in cuts]
        return listens.mutate(part=sum((listens.timestamp >= cut).cast("int8") for cut in cuts).cast("int8"))
    if split == "by-user-last":
        own = ibis.window(group_by="user_id", order_by=[ibis.desc("timestamp"), ibis.desc("item_id")])
        ranked = listens.mutate(late=ibis.row_number().over(own), n=listens.count().over(group_by="user_id"))
        end, middle = (ibis.greatest(1, (ranked.n * share + 0.5).floor()) for share in (test, validation))
        part = (ranked.late < end).ifelse(2, (ranked.late < end + middle).ifelse(1, 0))
        return ranked.mutate(part=(ranked.n >= 3).ifelse(part, 0).cast("int8")).drop("late", "n")
    if split == "random":
        return _draw(listens.mutate(part=ibis.literal(0, "int8")), validation, test, parameters["seed"])
    if _rows(listens.filter(listens.part == 1)):
        return listens
    return _draw(listens, validation, 0.0, parameters["seed"])


def _draw(listens: Table, validation: float, test: float, seed: int) -> Table:
    """Draw rows of train by their hash, but of no user or song the last one that train has."""
    times = [epoch_us(listens.timestamp)] if "timestamp" in listens.columns else []
    listens = listens.mutate(hash=_hash(seed, listens.user_id, listens.item_id, *times))
    train = listens.filter(listens.part == 0)
    for column in ("user_id", "item_id"):
        listens = beside(listens, train.group_by(column).agg(train.hash.max().name(f"last_{column}")), column)
    free = (listens.part == 0) & (listens.hash < listens.last_user_id) & (listens.hash < listens.last_item_id)
    to_test, out = listens.hash < _share(test), listens.hash < _share(test + validation)
    part = (free & out).ifelse(to_test.ifelse(2, 1), listens.part).cast("int8")
    return listens.mutate(part=part).drop("hash", "last_user_id", "last_item_id")


def _codes(listens: Table, column: str) -> Table:
    """Return the ids of a column, `first` part they occur in, and their `code`: train's first, then by id."""
    ids = listens.group_by(column).agg(first=listens.part.min())
    order = [ids["first"] > 0, ids[column]]
    return ids.mutate(code=ibis.row_number().over(ibis.window(order_by=order)).cast("int32"))
