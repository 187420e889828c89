"""Recommendations outside the notebooks: by raw id in Python, and for every listener as files by command."""

import contextlib
import csv
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from recsys.data.prepare import ENGINES
from recsys.evaluation import metrics
from recsys.evaluation.bootstrap import estimate, estimate_mean, ratio
from recsys.evaluation.ranking import Ranking, Scorer, batches_of_users, rank
from recsys.files import write_atomically
from recsys.lists import REPEATS, Lists, listed
from recsys.lists_on_spark import write_on_spark
from recsys.models.baselines.scorers import Product
from recsys.models.neighbours import nearest, unit_vectors
from recsys.models.repeats import activation
from recsys.reports import explorer
from recsys.reports.parameters import Parameter, read_values
from recsys.runs import Run, newest_run, project_root, run_of_report
from recsys.workflow import open_models

PARAMETERS = {
    "RUN": Parameter("RUN", str, "", "name of the run whose model recommends; empty: the newest finished run"),
    "RECIPE": Parameter("RECIPE", str, "", "recipe of that model; empty: the last of the run"),
    "K": Parameter("K", int, 20, "number of songs for each listener"),
    "REPEATS": Parameter(
        "REPEATS", str, "new", "songs new to the listener, songs to hear again, or both", choices=REPEATS
    ),
    "ENGINE": Parameter(
        "ENGINE", str, "duckdb", "duckdb: on this machine; spark: as a Spark job, into a folder", choices=ENGINES
    ),
}  # fmt: skip

READ_PARQUET = "For programs: pd.read_parquet({}, partitioning=None)"
READ_CSV = "The CSV file has the same ids: pd.read_csv({}, dtype=str, keep_default_na=False)"
IN_A_SPREADSHEET = "In a spreadsheet, import all columns as text: it runs text such as =1+1, and makes 7 of 007."


class Recommender:
    """A trained model that recommends songs: `Recommender.load("sample").recommend(["0", "7"], k=10)`.

    `recommend`, `similar` and `from_liked` take ids of your data, one or several, and return a frame with one row per
    listed song. The first column, `user_id`, `song_id` or `listener`, says whose list it is. Then follow `rank` from 1,
    `item_id`, `name` and `artist` where the data have them, and `score`, the higher the better. A list is shorter than
    k if fewer songs are left. Raises KeyError for an id without a listen in train, ValueError for k below 1.
    """

    def __init__(self, run: Run, recipe: str = ""):
        self.split, models, _ = open_models(run)
        self.run, self.recipe = run, recipe or list(models)[-1]
        if self.recipe not in models:
            raise ValueError(f"RECIPE: expected one of {', '.join(models)}, as in run {run.name!r}; got {recipe!r}")
        self.model = models[self.recipe]

    @classmethod
    def load(cls, run: str = "", recipe: str = "", root: Path | str | None = None) -> "Recommender":
        """Load the model of a run or of its report: by default the newest finished run, and the last of its recipes.

        `root` is the project's folder. Raises FileNotFoundError for a missing model, ValueError for an unknown recipe.
        """
        folder = Path(root or project_root())
        return cls(Run(run_of_report(run, folder / "reports") or newest_run(folder), folder), recipe)

    def recommend(self, user_ids: Sequence[Any], k: int = 20, repeats: str = "new") -> pd.DataFrame:
        """Return the k best songs for each listener: new ones, ones to hear again, or both.

        New are the songs that the listener does not have in train and validation, ranked by the model. Those to hear
        again are ranked by how often and how recently they were played: see `models.repeats`. With "both" the two
        lists take turns, the column `again` tells them apart, and scores compare only within a list.
        """
        return self.recommend_by_code(self._codes("user", user_ids), k, repeats)

    def similar(self, song_ids: Sequence[Any], k: int = 20) -> pd.DataFrame:
        """Return the k songs most similar to each song, by the cosine of their vectors."""
        songs = self._codes("song", song_ids)
        ids = self.split.items["item_id"].to_numpy()[songs]
        return listed(self.split.items, "song_id", ids, *nearest(unit_vectors(self.vectors), songs, k))

    def from_liked(self, song_ids: Sequence[Any], k: int = 20) -> pd.DataFrame:
        """Return the k best songs for a new listener who likes the given songs, without these. Nothing is trained."""
        ranking = self.rank_liked(self._codes("song", song_ids), k)
        return listed(self.split.items, "listener", np.array(["new"]), ranking.items, ranking.scores)

    @cached_property
    def vectors(self) -> np.ndarray:
        """The warm songs' vectors as they are in the model: float32 (n_items, dim)."""
        return self.model.item_embeddings.numpy()[: self.split.n_items]

    @cached_property
    def listener_map(self) -> np.ndarray:
        """The linear map from the mean direction of a history to a listener's vector: (dim, dim).

        It is fitted to the model's own listeners by ridge regression.
        """
        users = self.model.user_embeddings.numpy()[: self.split.n_users]
        if self.model.similarity == "cosine":
            users = unit_vectors(users)
        known = unit_vectors(self.split.known @ unit_vectors(self.vectors))  # (n_users, dim)
        return np.linalg.solve(known.T @ known + np.eye(known.shape[1], dtype=known.dtype), known.T @ users)

    @cached_property
    def other_vectors(self) -> np.ndarray | None:
        """The warm songs' vectors from a training with another seed: (n_items, dim); None if the run has one seed."""
        from recsys.models.embeddings import load

        folders = [self.run.folder / self.recipe / seed for seed in self.run.record.get("other_seeds", [])]
        return load(folders[0]).item_embeddings.numpy()[: self.split.n_items] if folders else None

    def recommend_by_code(self, users: np.ndarray, k: int, repeats: str = "new") -> pd.DataFrame:
        """Return the same as `recommend`, for codes of listeners."""
        return self.lists(repeats).by_code(users, k, repeats)

    def lists(self, repeats: str = "new") -> Lists:
        """Return what makes lists by code."""
        activation = None if repeats == "new" else self.activation
        users = self.split.users["user_id"].to_numpy()
        return Lists(self.model, self.split.known, users, self.split.items, activation)

    def lists_to_send(self, repeats: str = "new") -> Lists:
        """Return the same for workers that have no TensorFlow: arrays instead of the model, with equal scores."""
        model, n = self.model, self.split.n_users
        parts = [
            np.asarray(model.normalised(model.user_embeddings[batch[0] : batch[-1] + 1]))
            for batch in batches_of_users(np.arange(n), self.split.n_items)
        ]
        songs = np.asarray(model.normalised(model.item_embeddings.value.read_value()))
        scorer = Product(np.pad(np.concatenate(parts), ((0, 1), (0, 0))), songs.T)
        return replace(self.lists(repeats), scorer=scorer)

    @cached_property
    def activation(self) -> sparse.csr_matrix:
        """How present each song is in each listener's memory: see `models.repeats`."""
        return activation(self.split)

    def place(self, k: int, repeats: str) -> tuple[Path, dict[str, str]]:
        """Return the path of the lists of all listeners, without a suffix, and what the lists are."""
        name = f"{self.recipe}{'' if repeats == 'new' else f'-{repeats}'}"
        facts = {"run": self.run.name, "recipe": self.recipe, "k": str(k), "repeats": repeats}
        return self.run.folder / "recommendations" / name, facts | {"prepared": self.split.manifest["key"]}

    def rank_liked(self, songs: np.ndarray, k: int) -> Ranking:
        """Rank all other songs for one new listener who likes the songs with these codes."""
        songs = np.unique(songs)
        liked = sparse.csr_matrix((np.ones(len(songs)), ([0] * len(songs), songs)), (1, self.split.n_items))
        return rank(self.fold_in(liked), np.zeros(1, int), liked, sparse.csr_matrix(liked.shape), k)

    def fold_in(self, histories: sparse.csr_matrix) -> Product:
        """Return a scorer for listeners whom the model does not know, from their histories: 0/1 (listeners, n_items).

        A listener's vector is the mean direction of their songs times `listener_map`.
        """
        directions = unit_vectors(self.vectors)
        songs = directions if self.model.similarity == "cosine" else self.vectors
        new = unit_vectors(histories @ directions) @ self.listener_map  # (listeners, dim)
        return Product(np.pad(new, ((0, 1), (0, 0))), songs.T)

    def explorer_data(self, positions: np.ndarray, seed: int = 0) -> bytes:
        """Return the data of the page that `make explore` writes, with the songs at these positions: (n_items, 2)."""
        found = self.listener_map, self.model.similarity, self.recipe
        return explorer.collect(self.split, self.vectors, positions, *found, seed)

    def check_fold_in(self, k: int = 20, most: int = 2000, seed: int = 0) -> dict[str, Any]:
        """Compare lists from `fold_in` with those of the trained vectors, for up to `most` listeners of test.

        Returns `users`; `k`; `ndcg`, the mean of each kind of list; and value, low, high of: their `ratio`; `shared`,
        the share of songs that are in the same listener's other list; `by chance`, the same with the next listener's.
        """
        known, relevant = self.split.known, self.split.relevant("test")
        users = np.flatnonzero(np.diff(relevant.indptr))
        users = np.sort(np.random.default_rng(seed).permutation(users)[:most])
        scorers: dict[str, Scorer] = {"trained": self.model, "folded in": self.fold_in(known)}
        rankings = {name: rank(scorer, users, known, relevant, k) for name, scorer in scorers.items()}
        ndcg = {name: metrics.ndcg(ranking.ranks, k) for name, ranking in rankings.items()}
        trained, folded = (ranking.items for ranking in rankings.values())
        others = (folded, np.roll(trained, 1, axis=0))
        shares = [(trained[:, :, None] == other[:, None]).any(axis=2).mean(axis=1) for other in others]
        shared, by_chance = (estimate_mean(users, share, seed) for share in shares)
        return {
            "users": len(users), "k": k, "shared": shared, "by chance": by_chance,
            "ndcg": {name: values.mean() for name, values in ndcg.items()},
            "ratio": estimate(users, [ndcg["folded in"], ndcg["trained"]], ratio, seed),
        }  # fmt: skip

    def _codes(self, kind: str, ids: Sequence[Any]) -> np.ndarray:
        ids = [ids] if pd.api.types.is_scalar(ids) else ids
        if kind == "user":
            codes, known, n_warm = self.model.user_codes(ids), self.split.users["user_id"], self.split.n_users
        else:
            codes, known, n_warm = self.model.item_codes(ids), self.split.items["item_id"], self.split.n_items
        if cold := known.iloc[codes[codes >= n_warm]].tolist():
            few = ", ".join(map(repr, cold[:5]))
            raise KeyError(f"{kind} ids: expected a listen in train, got {len(cold)} whose listens are later: {few}")
        return codes


def write_lists(
    recommender: Recommender, k: int, log: Callable[[str], None] = print, repeats: str = "new"
) -> Path:  # fmt: skip
    """Write k songs for every listener of train to a .parquet and a .csv file of the run; return the first's path.

    All ids and names are written as they came in, so a spreadsheet may take some of the .csv file for formulas.
    """
    split, (path, facts) = recommender.split, recommender.place(k, repeats)
    path = path.with_name(f"{path.name}.parquet")
    n, done, started, file = split.n_users, 0, time.perf_counter(), None
    with contextlib.ExitStack() as stack:
        paths = [path, path.with_suffix(".csv")]
        parquet, table = (stack.enter_context(write_atomically(each)) for each in paths)
        text = stack.enter_context(open(table, "w", encoding="utf-8", newline=""))
        for users in batches_of_users(np.arange(n), split.n_items):
            lists = recommender.recommend_by_code(users, k, repeats)
            if not file:
                schema = recommender.lists(repeats).schema(k, repeats).with_metadata(facts)
                file = stack.enter_context(pq.ParquetWriter(parquet, schema))
            file.write_table(pa.Table.from_pandas(lists, file.schema, preserve_index=False))
            lists.to_csv(text, index=False, header=not done, quoting=csv.QUOTE_NONNUMERIC)
            done += len(users)
            left = (time.perf_counter() - started) * (n - done) / done
            log(f"{done:,} of {n:,} listeners, {left // 60:.0f}:{left % 60:02.0f} left")
    return path


def _write_on_spark(recommender: Recommender, k: int, repeats: str) -> int:
    """Write all lists as a Spark job, and print how to read them."""
    path, facts = recommender.place(k, repeats)
    write_on_spark(recommender.lists_to_send(repeats), path, k, repeats, facts)
    folder = path.relative_to(recommender.run.root)
    print(f"{folder}: {len(list(path.glob('*.parquet'))):,} files", READ_PARQUET.format(repr(str(folder))), sep="\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a run's lists: `python -m recsys.recommend RUN=… K=…` and other PARAMETERS. Return the status, 0 or 2."""
    values = {name: each.default for name, each in PARAMETERS.items()}
    try:
        values |= read_values(sys.argv[1:] if arguments is None else arguments, PARAMETERS, project_root())
        recommender = Recommender.load(values["RUN"], values["RECIPE"])
        print(f"run {recommender.run.name}, recipe {recommender.recipe}, {recommender.split}")
        if values["ENGINE"] == "spark":
            return _write_on_spark(recommender, values["K"], values["REPEATS"])
        path = write_lists(recommender, values["K"], repeats=values["REPEATS"])
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    files = [each.relative_to(recommender.run.root) for each in (path, path.with_suffix(".csv"))]
    for each in files:
        print(f"{each}: {(recommender.run.root / each).stat().st_size:,} bytes")
    print(READ_PARQUET.format(repr(str(files[0]))), READ_CSV.format(repr(str(files[1]))), IN_A_SPREADSHEET, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
