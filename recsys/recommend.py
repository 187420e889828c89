"""Recommendations outside the notebooks: a few by raw id in Python, all listeners' as files by command."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from recsys.evaluation import metrics
from recsys.evaluation.bootstrap import over_users, ratio
from recsys.evaluation.metrics import Ranks
from recsys.evaluation.ranking import Ranking, Scorer, batches_of_users, rank
from recsys.models.baselines.scorers import Vectors
from recsys.models.neighbours import nearest, unit
from recsys.reports.exploration import SHOWN
from recsys.reports.parameters import Parameter, read_values
from recsys.runs import Run, project_root, read_json, run_of, write_atomically
from recsys.workflow import open_models

PARAMETERS = (
    Parameter("RUN", str, "", "the run whose model recommends; empty is the newest finished one"),
    Parameter("RECIPE", str, "", "the recipe of that model; empty is the run's last"),
    Parameter("K", int, 20, "how many songs for each listener"),
)


class Recommender:
    """A trained model and its data: lists for listeners, songs like a song, lists from liked songs, all by raw id.

    Made by `load`. Frames have the raw ids, `rank` from 1, `item_id`, name and artist where known, and the score.
    """

    def __init__(self, run: Run, recipe: str = ""):
        self.split, models, _ = open_models(run)
        self.run, self.recipe = run, recipe or list(models)[-1]
        if self.recipe not in models:
            raise ValueError(f"RECIPE: expected one of {', '.join(models)}, which the run has; got {recipe!r}")
        self.model = models[self.recipe]

    @classmethod
    def load(cls, run: str = "", recipe: str = "", root: Path | None = None) -> "Recommender":
        """Load a run's model, or a report's by its name: by default of the newest finished run, of its last recipe."""
        home = root or project_root()
        return cls(Run(run_of(run, home / "reports") or newest_run(home), root), recipe)

    @cached_property
    def vectors(self) -> np.ndarray:
        """The songs' vectors as they are in the model, float32 (n_items, dim)."""
        return self.model.item_embeddings.numpy()[: self.split.n_items]

    @cached_property
    def other_vectors(self) -> np.ndarray | None:
        """The songs' vectors after training with another seed, where the run has more than one."""
        from recsys.models.embeddings import load

        for seed in self.run.record.get("other_seeds", []):
            return load(self.run.folder / self.recipe / seed).item_embeddings.numpy()[: self.split.n_items]
        return None

    def recommend(self, user_ids: Sequence[Any], k: int = 20) -> pd.DataFrame:
        """Return k songs for each listener that he does not have yet. Raises KeyError for one that train lacks."""
        return self.lists(self._codes("user", user_ids), k)

    def similar(self, song_ids: Sequence[Any], k: int = 20) -> pd.DataFrame:
        """Return the k songs nearest to each song by cosine. Raises KeyError for a song that train lacks."""
        songs = self._codes("item", song_ids)
        return self._frame("song_id", self._ids("item", songs), *nearest(unit(self.vectors), songs, k))

    def from_liked(self, song_ids: Sequence[Any], k: int = 20) -> pd.DataFrame:
        """Return k songs for somebody who likes these and was never seen, without training. Raises KeyError."""
        ranking = self.rank_liked(self._codes("item", song_ids), k)
        return self._frame("listener", np.array(["new"]), ranking.items, ranking.scores)

    def rank_liked(self, songs: np.ndarray, k: int) -> Ranking:
        """Return the list of one stranger who likes the songs with these codes, in which they do not stand."""
        songs = np.unique(songs)
        liked = sparse.csr_matrix((np.ones(len(songs)), ([0] * len(songs), songs)), (1, self.split.n_items))
        return rank(self.folded_in(liked), np.zeros(1, int), liked, sparse.csr_matrix(liked.shape), k)

    def folded_in(self, histories: sparse.csr_matrix) -> Vectors:
        """Return a scorer for listeners of whom only the songs are known: 0/1 (listeners, n_items).

        A listener's vector is a linear map of the mean direction of his songs. The map is the one that comes closest,
        by ridge regression over the model's own listeners, to their trained vectors.
        """
        users, songs = self.model.user_embeddings.numpy()[: self.split.n_users], self.vectors
        if self.model.similarity == "cosine":
            users, songs = unit(users), unit(songs)
        known, new = (unit(each @ unit(self.vectors)) for each in (self.split.known, histories))  # (listeners, dim)
        fitted = np.linalg.solve(known.T @ known + np.eye(known.shape[1], dtype=known.dtype), known.T @ users)
        return Vectors(np.pad(new @ fitted, ((0, 1), (0, 0))), songs)

    def check_fold_in(self, k: int = 20, most: int = 2000, seed: int = 0) -> dict[str, Any]:
        """Compare, for up to `most` listeners of test, the lists from their histories alone with the trained ones.

        Returns `users`, `k`, mean `ndcg` by kind of list, its `ratio`, the `shared` places, and those shared with the
        next listener's list (`by chance`), each with its 95 % interval.
        """
        known, relevant = self.split.known, self.split.relevant("test")
        users = np.flatnonzero(np.diff(relevant.indptr))
        users = np.sort(np.random.default_rng(seed).permutation(users)[:most])
        scorers: dict[str, Scorer] = {"trained": self.model, "folded in": self.folded_in(known)}
        found = {name: rank(scorer, users, known, relevant, k) for name, scorer in scorers.items()}
        ranks = {name: Ranks(each.owner, each.greater, each.tied, len(users)) for name, each in found.items()}
        ndcg = {name: metrics.ndcg(each, k) for name, each in ranks.items()}
        trained, folded = (each.items for each in found.values())
        others = (folded, np.roll(trained, 1, axis=0))
        places = [(trained[:, :, None] == other[:, None]).any(axis=2).mean(axis=1) for other in others]
        shared, by_chance = (over_users(users, [each, np.ones(len(users))], ratio, seed) for each in places)
        return {
            "users": len(users), "k": k, "shared": shared, "by chance": by_chance,
            "ndcg": {name: values.mean() for name, values in ndcg.items()},
            "ratio": over_users(users, [ndcg["folded in"], ndcg["trained"]], ratio, seed),
        }  # fmt: skip

    def lists(self, users: np.ndarray, k: int) -> pd.DataFrame:
        """Return what `recommend` does, for codes of listeners."""
        ranking = rank(self.model, users, self.split.known, sparse.csr_matrix(self.split.known.shape), k)
        return self._frame("user_id", self._ids("user", users), ranking.items, ranking.scores)

    def _ids(self, kind: str, codes: np.ndarray) -> np.ndarray:
        return getattr(self.split, f"{kind}s")[f"{kind}_id"].to_numpy()[codes]

    def _codes(self, kind: str, ids: Sequence[Any]) -> np.ndarray:
        codes = getattr(self.model, f"{kind}_codes")([ids] if isinstance(ids, str | int) else ids)
        if (cold := codes >= getattr(self.split, f"n_{kind}s")).any():
            later = ", ".join(map(repr, self._ids(kind, codes[cold]).tolist()[:5]))
            raise KeyError(f"expected ids that train has, got {cold.sum()} that occur only later: {later}")
        return codes

    def _frame(self, column: str, ids: np.ndarray, items: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
        row, place = np.nonzero(items >= 0)
        songs = self.split.items.iloc[items[row, place]]
        columns = {column: ids[row], "rank": (place + 1).astype(np.int32), "item_id": songs["item_id"].to_numpy()}
        columns |= {name: songs[name].to_numpy() for name in SHOWN[:2] if name in songs}
        return pd.DataFrame(columns | {"score": scores[row, place]})


def newest_run(root: Path) -> str:
    """Return the name of the run whose training finished last. Raises FileNotFoundError where there is none."""
    finished = {}
    for path in root.glob("data/runs/*/run.json"):
        names = read_json(path).get("recipes", [])
        histories = [read_json(each) for name in names if (each := path.parent / name / "history.json").exists()]
        if names and len(histories) == len(names) and all(each["status"] == "finished" for each in histories):
            finished[path.parent.name] = max(each["finished_at"] for each in histories)
    if not finished:
        raise FileNotFoundError("data/runs: expected a finished run, found none; `make reports` makes one")
    return max(finished, key=lambda name: finished[name])


def write_lists(recommender: Recommender, k: int, say: Callable[[str], None] = print) -> Path:
    """Write the lists of all listeners of train to data/runs/<run>/recommendations/<recipe>.parquet and .csv.

    Some listeners at a time, both files whole or not at all; returns the path of the first. The run, the recipe and
    the prepared data stand in its metadata. In the CSV a text that a spreadsheet would compute gets a ' before it.
    """
    path = recommender.run.folder / "recommendations" / f"{recommender.recipe}.parquet"
    facts = {"run": recommender.run.name, "recipe": recommender.recipe, "k": str(k)}
    facts["prepared"] = recommender.split.manifest["key"]
    n, done, began, file = recommender.split.n_users, 0, time.perf_counter(), None
    with contextlib.ExitStack() as stack:
        parquet, csv = (stack.enter_context(write_atomically(path.with_suffix(each))) for each in (".parquet", ".csv"))
        text = stack.enter_context(open(csv, "w", encoding="utf-8", newline=""))
        for users in batches_of_users(np.arange(n), recommender.split.n_items):
            frame = recommender.lists(users, k)
            if not file:
                types = [(name, _arrow_type(kind)) for name, kind in frame.dtypes.items()]
                file = stack.enter_context(pq.ParquetWriter(parquet, pa.schema(types, facts)))
            file.write_table(pa.Table.from_pandas(frame, file.schema, preserve_index=False))
            _harmless(frame).to_csv(text, index=False, header=not done)
            done += len(users)
            left = (time.perf_counter() - began) * (n - done) / done
            say(f"{done:,} of {n:,} listeners, {left // 60:.0f}:{left % 60:02.0f} left")
    return path


def _arrow_type(kind: Any) -> pa.DataType:
    return pa.from_numpy_dtype(kind) if pd.api.types.is_numeric_dtype(kind) else pa.string()


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    texts = frame.select_dtypes(exclude="number")
    return frame.assign(**texts.replace(r"^(?=[=+\-@\t\r])", "'", regex=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the lists of a run, given as NAME=value: `python -m recsys.recommend RUN=… RECIPE=… K=…`."""
    try:
        given = {each.name: each.default for each in PARAMETERS}
        known = {each.name: each for each in PARAMETERS}
        given |= read_values(sys.argv[1:] if arguments is None else arguments, known, project_root())
        recommender = Recommender.load(given["RUN"], given["RECIPE"])
        print(f"run {recommender.run.name}, recipe {recommender.recipe}, {recommender.split}")
        path = write_lists(recommender, given["K"])
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    for each in (path, path.with_suffix(".csv")):
        print(f"{each.relative_to(recommender.run.root)}: {each.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
