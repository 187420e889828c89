"""A run's vectors as Parquet and NumPy files, with an index of the songs: python -m recsys.export RUN=… RECIPE=…

The dot product of a user's and a song's vector is the model's score, so a service needs nothing of this project.
"""

import json
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.evaluation.ranking import top_k
from recsys.files import replace_folder, sha256, working_folder, write_json
from recsys.lists import SONG_COLUMNS
from recsys.recommend import PARAMETERS, Recommender
from recsys.reports.parameters import Parameter, read_values
from recsys.runs import project_root

K, SAMPLE, USERS_AT_ONCE = 100, 1000, 32  # songs in a list, and users, by which index and exact search are compared
LINKS, EF_CONSTRUCTION = 32, 400  # of the graph that the index is: more find more songs, and take more time to build
WIDTHS, ENOUGH = (128, 256, 512, 1024, 2048, 4096), 0.99  # of a search, to try until so many of the songs are found
ROWS_AT_ONCE = 2**16  # of a Parquet file's row group
LIBRARY = "faiss-cpu"
USERS = Parameter("USERS", bool, True, "write the vectors and raw ids of users too; False writes those of songs only")
PERSONAL = "{}: raw ids and tastes of {:,} listeners, which are personal data; USERS=False leaves them out"
NO_INDEX = f"songs.faiss: not written, as {LIBRARY} is not installed; type: pip install {LIBRARY}"


def export(recommender: Recommender, users: bool = True) -> tuple[Path, dict[str, Any]]:
    """Write the vectors of warm songs, and of users if wanted, to the run's folder `export`, in place of an older one.

    Returns the folder and what its export.json says. Without the library of the index, `index` there is None.
    """
    run, split, started = recommender.run, recommender.split, time.perf_counter()
    user_vectors, song_vectors = vectors(recommender)
    with run.lock(), working_folder(run.folder) as aside:
        folder = aside / "export"
        folder.mkdir()
        songs = split.items[: split.n_items]
        names = [name for name in SONG_COLUMNS if name in songs]
        _write(folder, "songs", "song_ids", songs[["item_id", *names]], song_vectors)
        if users:
            _write(folder, "users", "user_ids", split.users[: split.n_users][["user_id"]], user_vectors)
        index = _write_index(folder / "songs.faiss", user_vectors, song_vectors) if find_spec("faiss") else None
        facts = {
            "run": run.name, "recipe": recommender.recipe, "prepared": split.manifest["key"],
            "similarity": recommender.model.similarity, "score": "dot product", "dim": song_vectors.shape[1],
            "songs": split.n_items, "users": split.n_users if users else 0, "index": index,
            "versions": {name: version(name) for name in ("numpy", "pyarrow", *([LIBRARY] if index else []))},
            "files": {each.name: {"bytes": each.stat().st_size, "sha256": sha256(each)} for each in _files(folder)},
            "seconds": round(time.perf_counter() - started, 1),
        }  # fmt: skip
        write_json(folder / "export.json", facts)
        final = run.folder / "export"
        replace_folder(final, folder)
    return final, facts


def vectors(recommender: Recommender) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of warm users (n_users, dim) and songs (n_items, dim) whose dot products are the scores."""
    model, split = recommender.model, recommender.split
    tables = (model.user_embeddings, split.n_users), (model.item_embeddings, split.n_items)
    users, songs = (np.asarray(model.normalised(table.value.read_value()))[:n] for table, n in tables)
    return users, songs


def _write(folder: Path, name: str, ids: str, rows: pd.DataFrame, values: np.ndarray) -> None:
    """Write vectors to <name>.npy, their raw ids in the same order to <ids>.json, and both to <name>.parquet."""
    np.save(folder / f"{name}.npy", np.ascontiguousarray(values), allow_pickle=False)
    (folder / f"{ids}.json").write_text(json.dumps(rows.iloc[:, 0].tolist(), ensure_ascii=False), encoding="utf-8")
    table = pa.Table.from_pandas(rows, preserve_index=False)
    flat = pa.array(np.ascontiguousarray(values).ravel())
    table = table.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
    pq.write_table(table, folder / f"{name}.parquet", row_group_size=ROWS_AT_ONCE)


def _write_index(path: Path, users: np.ndarray, songs: np.ndarray) -> dict[str, Any]:
    """Write an index of the songs for inner products; return how it was made and its recall against exact search.

    The width of its search is chosen on some users, and its recall is measured on others: it is the share of the `K`
    best of all songs that it finds, on average.
    """
    import faiss

    started = time.perf_counter()
    index = faiss.IndexHNSWFlat(songs.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    index.add(songs)
    seconds, k = time.perf_counter() - started, min(K, len(songs))
    drawn = np.random.default_rng(0).permutation(len(users))[: 2 * SAMPLE]
    to_choose, to_measure = drawn[::2], drawn[1::2] if len(drawn) > 1 else drawn
    for width in WIDTHS:
        index.hnsw.efSearch = width
        if _recall(index, users[to_choose], songs, k)[0] >= ENOUGH:
            break
    faiss.write_index(index, str(path))  # with this width
    recall, milliseconds = _recall(index, users[to_measure], songs, k)
    return {
        "library": LIBRARY, "kind": "HNSW", "metric": "inner product", "links": LINKS,
        "ef_construction": EF_CONSTRUCTION, "ef_search": width, "recall": recall, "k": k,
        "measured_users": len(to_measure), "build_seconds": round(seconds, 2), "milliseconds_per_user": milliseconds,
    }  # fmt: skip


def _recall(index: Any, users: np.ndarray, songs: np.ndarray, k: int) -> tuple[float, float]:
    """Return the share of users' k best songs that an index finds, and the milliseconds of a search."""
    found, spent = [], 0.0
    for start in range(0, len(users), USERS_AT_ONCE):
        batch = users[start : start + USERS_AT_ONCE]
        exact = top_k(batch @ songs.T, k)[0]
        before = time.perf_counter()
        listed = index.search(batch, k)[1]
        spent += time.perf_counter() - before
        found += [np.isin(one, other).mean() for one, other in zip(exact, listed, strict=True)]
    return float(np.mean(found)), round(1000 * spent / len(users), 3)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, 0 or 2."""
    known = {name: PARAMETERS[name] for name in ("RUN", "RECIPE")} | {USERS.name: USERS}
    values = {name: each.default for name, each in known.items()}
    try:
        values |= read_values(sys.argv[1:] if arguments is None else arguments, known, project_root())
        recommender = Recommender.load(values["RUN"], values["RECIPE"])
        folder, facts = export(recommender, values["USERS"])
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    where = folder.relative_to(recommender.run.root)
    for name, each in facts["files"].items():
        print(f"{where / name}: {each['bytes']:,} bytes")
    if facts["users"]:
        print(PERSONAL.format(where / "users.*, user_ids.json", facts["users"]))
    if index := facts["index"]:
        figures = f"{index['recall']:.2%} of the {index['k']} best songs, over {index['measured_users']:,} listeners"
        print(f"{where / 'songs.faiss'} finds {figures}, in {index['milliseconds_per_user']} ms a listener")
    else:
        print(NO_INDEX)
    print(f"README.md shows the lines that load {where} in a service.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
