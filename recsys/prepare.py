"""Listens → the prepared folder: positives, sampled users, a split, integer codes, and an account of every row."""

import dataclasses
import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow.parquet as pq
from ibis import BaseBackend
from ibis.expr.types import Column, Table

from recsys import datasets
from recsys.datasets import DataError, Dataset, epoch_us
from recsys.runs import project_root, read_json, sha256, write_json

PARTS = ("train", "validation", "test")
SPLITS = ("auto", "by-time", "by-user-last", "random", "given")
MEMORY = "1GB"


@dataclass(frozen=True)
class Prepared:
    """A prepared folder, whether it was there already, and its manifest."""

    folder: Path
    reused: bool
    manifest: dict[str, Any]


def prepare(
    dataset: str = "sample",
    path: Path | str | None = None,
    *,
    root: Path | None = None,
    split: str = "auto",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    positives: str = "listened",
    repeats: str = "keep",
    user_fraction: float = 1.0,
    min_user_listens: int = 1,
    min_item_listens: int = 1,
    n_candidates: int = 21,
    seed: int = 0,
    user_column: str = "",
    item_column: str = "",
    time_column: str = "",
    listened_column: str = "",
    seconds_column: str = "",
) -> Prepared:
    """Prepare a data set (a name in datasets.READERS) once, in `<root>/data/prepared/<dataset>-<key>/`."""
    parameters = {name: value for name, value in locals().items() if name not in ("dataset", "path", "root")}
    home = (root or project_root()) / "data"
    work = home / "prepared" / f".making-{uuid.uuid4().hex[:12]}"
    work.mkdir(parents=True)
    try:
        connection = ibis.duckdb.connect(memory_limit=MEMORY, temp_directory=str(work / "spill"))
        columns = {name: value for name, value in parameters.items() if name.endswith("_column")}
        read = datasets.read(dataset, path, connection=connection, made=home / "raw", **columns)
        key = _key(read, parameters, home)
        folder = home / "prepared" / f"{dataset}-{key}"
        manifest = _manifest(folder)
        if manifest:
            return Prepared(folder, True, manifest)
        _build(connection, read, work, key, parameters)
        connection.disconnect()
        shutil.rmtree(work / "scratch")
        shutil.rmtree(work / "spill", ignore_errors=True)
        os.rename(work, folder)
        return Prepared(folder, False, read_json(folder / "manifest.json"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _key(read: Dataset, parameters: dict[str, Any], home: Path) -> str:
    files = [source.path.resolve() for source in read.sources]
    facts = [
        (str(os.path.relpath(file, home.resolve()) if file.is_relative_to(home.resolve()) else file), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
    ]
    code = [sha256(Path(module)) for module in (__file__, datasets.__file__)]
    return hashlib.sha256(json.dumps([read.name, parameters, facts, code]).encode()).hexdigest()[:12]


def _manifest(folder: Path) -> dict[str, Any] | None:
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_json(folder / "manifest.json")
    return manifest if all((folder / name).exists() for name in manifest["files"]) else None


def _store(connection: BaseBackend, table: Table, path: Path) -> Table:
    table.to_parquet(path)
    return connection.read_parquet(path)


def _rows(table: Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _build(connection: BaseBackend, read: Dataset, work: Path, key: str, parameters: dict[str, Any]) -> None:
    scratch = work / "scratch"
    scratch.mkdir()
    steps = []

    def step(name: str, before: int, **dropped: int) -> int:
        steps.append({"step": name, "rows_in": before, "dropped": dropped, "rows_out": before - sum(dropped.values())})
        return steps[-1]["rows_out"]

    listens = _store(connection, read.interactions, scratch / "listens.parquet")
    rows = step("read", _rows(listens))
    kept = listens.filter(listens.listened)
    rows = step("positives", rows, skipped=rows - _rows(kept))
    given = parameters["split"] == "given" or (parameters["split"] == "auto" and "part" in kept.columns)
    split = read.default_split if parameters["split"] == "auto" else parameters["split"]
    cuts = {}
    if split == "by-time":
        per = kept.group_by("timestamp").agg(n=kept.count())
        per = per.mutate(until=per.n.sum().over(order_by="timestamp", rows=(None, 0)))
        cut = []
        for fraction in (parameters["test_fraction"] + parameters["validation_fraction"], parameters["test_fraction"]):
            late = per.filter(per.until > rows * (1 - fraction))
            cut.append(late.timestamp.min().to_pyarrow().as_py())
        part = (kept.timestamp >= cut[0]).cast("int8") + (kept.timestamp >= cut[1]).cast("int8")
        kept = kept.mutate(part=part)
    elif split == "given":
        h = (ibis.literal(f"{parameters['seed']}:") + kept.user_id.cast("string") + ":" + kept.item_id.cast("string")).hexdigest("md5")
        kept = kept.mutate(h=h)
        train = kept.filter(kept.part == 0)
        bu = train.group_by("user_id").agg(bu=train.h.max())
        bi = train.group_by("item_id").agg(bi=train.h.max())
        j = datasets.beside(datasets.beside(kept, bu, "user_id"), bi, "item_id")
        move = (j.part == 0) & (j.h < format(int(parameters["validation_fraction"] * 16**8), "08x")) & (j.h < j.bu) & (j.h < j.bi)
        kept = j.mutate(part=move.ifelse(1, j.part).cast("int8"))
    listens = _store(connection, kept.select(*[c for c in ("user_id", "item_id", "timestamp", "part") if c in kept.columns]), scratch / "split.parquet")
    counts = {}
    for what, column, about in (("users", "user_id", read.users), ("items", "item_id", read.items)):
        ids = listens.group_by(column).agg(first=listens.part.min())
        ids = ids.mutate(cold=ids["first"] > 0)
        ids = ids.mutate(code=ibis.row_number().over(order_by=["cold", column]).cast("int32"))
        codes = _store(connection, ids, scratch / f"{what}.parquet")
        counts[f"n_{what}"] = _rows(codes.filter(~codes.cold))
        counts[f"n_{what}_all"] = _rows(codes)
        full = codes if about is None else datasets.beside(codes, about, column)
        full = full.order_by("code").drop("first", "cold", "code")
        full.to_parquet(work / f"{what}.parquet")
        listens = listens.join(codes.select(column, "code"), column).rename({what[:-1]: "code"})
    parts = {}
    for number, part in enumerate(PARTS):
        own = listens.filter(listens.part == number)
        order = [c for c in ("timestamp", "user", "item") if c in own.columns]
        own.order_by(order).select("user", "item", *[c for c in ("timestamp",) if c in own.columns]).to_parquet(work / f"{part}.parquet")
        parts[part] = {"rows": pq.read_metadata(work / f"{part}.parquet").num_rows}
    write_json(work / "manifest.json", {
        "dataset": read.name, "key": key, "split": split, "parameters": parameters,
        "source": [{"name": s.path.name, "bytes": s.path.stat().st_size, "sha256": sha256(s.path)} for s in read.sources],
        "steps": steps, "parts": parts, **counts,
        "files": {f"{name}.parquet": sha256(work / f"{name}.parquet") for name in (*PARTS, "users", "items")},
    })
