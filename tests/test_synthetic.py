"""The invented log is the same in any number of pieces, and no model beats its true probabilities."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from recsys.data import synthetic

COLUMNS = [
    "genre_id", "ts_listen", "media_id", "album_id", "context_type", "release_date", "platform_name", "platform_family",
    "media_duration", "listen_type", "user_gender", "user_id", "artist_id", "user_age", "is_listened",
]  # fmt: skip
SIZE = synthetic.SAMPLE


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    return pa.concat_tables(synthetic.listens(**SIZE)).to_pandas()


@pytest.fixture(scope="module")
def halves(log) -> tuple[np.ndarray, np.ndarray, np.datetime64]:
    """Return which songs each user heard before a cut in time and after it, both (users, n_items), and the cut."""
    code = {media: number for number, media in enumerate(synthetic.songs(SIZE["n_items"], SIZE["seed"]).media_id)}
    heard = log[log.is_listened == 1]
    cut = int(heard.ts_listen.quantile(0.85))
    matrices = []
    for rows in (heard[heard.ts_listen < cut], heard[heard.ts_listen >= cut]):
        where = rows.user_id.astype(int), rows.media_id.map(code)
        shape = (SIZE["n_users"], SIZE["n_items"])
        matrices.append(sparse.csr_matrix((np.ones(len(rows)), where), shape).toarray() > 0)
    return *matrices, np.datetime64(cut, "s")


def test_the_log_has_the_15_columns_and_the_proportions_of_the_raw_logs(log):
    assert list(log.columns) == COLUMNS
    assert len(log) == SIZE["n_listens"]
    assert log.user_id.nunique() > 0.98 * SIZE["n_users"]
    assert log.media_id.nunique() > 0.85 * SIZE["n_items"]
    assert abs(log.is_listened.mean() - 0.684) < 0.02
    assert log.ts_listen.min() >= pd.Timestamp("2016-11-01").timestamp()
    assert log.ts_listen.max() < pd.Timestamp("2016-12-01").timestamp()
    assert log.user_age.between(18, 30).all()
    assert 0.2 < log.listen_type.mean() < 0.4
    assert log.groupby("user_id")[["user_age", "user_gender"]].nunique().max().max() == 1
    per_song = ["album_id", "artist_id", "genre_id", "release_date", "media_duration"]
    assert log.groupby("media_id")[per_song].nunique().max().max() == 1
    assert log.groupby("album_id").artist_id.nunique().max() == 1
    assert log.groupby("artist_id").genre_id.nunique().max() == 1


def test_no_song_is_heard_before_it_is_out_and_some_come_out_during_the_log(log):
    out = pd.to_datetime(log.release_date.astype(str))
    assert (pd.to_datetime(log.ts_listen, unit="s") >= out).all()
    assert 0.04 < log[out > "2016-11-01"].media_id.nunique() / log.media_id.nunique() < 0.2


def test_popularity_is_steep_and_songs_are_repeated(log):
    plays = log.media_id.value_counts()
    assert plays.head(len(plays) // 10).sum() > 0.4 * len(log)
    assert 0.3 < 1 - len(log.drop_duplicates(["user_id", "media_id"])) / len(log) < 0.7
    assert log.user_id.value_counts().quantile([0.1, 0.9]).pipe(lambda q: q[0.9] / q[0.1]) > 6


def test_the_number_of_pieces_changes_nothing_and_the_seed_almost_everything(log):
    for pieces in (1, 7, 5_000):
        again = pa.concat_tables(synthetic.listens(**SIZE, pieces=pieces)).to_pandas()
        pd.testing.assert_frame_equal(again, log)
    other = pa.concat_tables(synthetic.listens(**{**SIZE, "seed": 18})).to_pandas()
    assert (other.media_id != log.media_id).mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 1), (50, 1, 40), (3, 2, 1_000)])
def test_small_sizes_work(size):
    assert sum(len(piece) for piece in synthetic.listens(*size, seed=0)) == size[2]
    assert synthetic.truth(np.arange(size[0]), size[1], 0).shape == size[:2]


def test_a_written_log_is_the_yielded_one_in_bounded_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "PIECE", 1_000)
    size = {"n_users": 200, "n_items": 100, "n_listens": 10_000, "seed": 3}
    assert max(len(piece) for piece in synthetic.listens(**size)) < 2_500
    synthetic.write(tmp_path / "log.parquet", **size)
    assert pq.read_table(tmp_path / "log.parquet").equals(pa.concat_tables(synthetic.listens(**size)))
    assert pq.read_metadata(tmp_path / "log.parquet").num_row_groups > 5


def test_songs_have_distinct_ids_and_readable_names():
    songs = synthetic.songs(SIZE["n_items"], SIZE["seed"])
    assert songs.columns.tolist() == ["media_id", "title", "artist", "album"]
    assert songs.media_id.is_unique and songs.media_id.between(0, 2**27).all()
    assert songs.title.str.fullmatch(r"[A-Z][a-z]+( [A-Za-z]+){3}").all()
    assert 100 < songs.artist.nunique() < 250
    assert songs.groupby("album").size().mean() > 2


def test_the_draws_are_even_and_independent():
    keys = np.arange(50_000)
    draws = np.stack([synthetic.uniform(seed, stream, keys) for seed, stream in ((0, 1), (0, 2), (1, 1), (1, 2))])
    assert abs(draws.mean(axis=1) - 0.5).max() < 0.006
    assert abs(np.histogram(draws[0], 20, (0, 1))[0] - 2_500).max() < 250
    for lag in range(3):
        pairs = np.corrcoef(np.vstack([draws[:, lag:], draws[:, : len(keys) - lag]]) if lag else draws)
        assert abs(pairs - np.eye(len(pairs))).max() < 0.02


def test_truth_is_a_distribution_and_the_same_for_any_selection_of_users():
    whole = synthetic.truth(np.arange(40), 300, 5)
    assert whole.dtype == np.float32 and whole.shape == (40, 300)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
    assert (whole > 0).all()
    np.testing.assert_array_equal(whole[[7, 3]], synthetic.truth(np.array([7, 3]), 300, 5))


def test_new_songs_occur_as_often_as_the_truth_says(halves):
    """At each level of probability, the number of new songs after the cut is the one that the truth predicts."""
    before, after, cut = halves
    truth = synthetic.truth(np.arange(len(before)), before.shape[1], SIZE["seed"], cut)
    truth = np.where(before, 0, truth)
    new = after & ~before
    known = before.sum(axis=1) > 20
    expected = truth / truth.sum(axis=1, keepdims=True) * new.sum(axis=1, keepdims=True)
    for low, high in ((0, 3e-4), (3e-4, 1e-3), (1e-3, 3e-3), (3e-3, 1e-2), (1e-2, 3e-2)):
        level = (truth >= low) & (truth < high) & known[:, None] & ~before
        found, predicted = new[level].sum(), expected[level].sum()
        assert abs(found - predicted) < 4 * predicted**0.5 + 0.05 * predicted, (low, found, predicted)


def test_personal_models_beat_popularity_and_nothing_beats_the_truth(halves):
    before, after, cut = halves
    relevant = after & ~before & before.any(axis=0) & before.any(axis=1, keepdims=True)
    users = np.flatnonzero(relevant.any(axis=1))
    counts = before.astype(np.float32)
    together = counts.T @ counts
    size = np.sqrt(np.diag(together)) + 1e-9
    similar = together / size[:, None] / size
    np.fill_diagonal(similar, 0)
    truth = synthetic.truth(np.arange(len(before)), before.shape[1], SIZE["seed"], cut)
    scores = {
        "popularity": np.tile(counts.sum(axis=0), (len(before), 1)),
        "kNN": counts @ similar,
        "truth": truth,
        "truth without time": synthetic.truth(np.arange(len(before)), before.shape[1], SIZE["seed"]),
        "truth of others": np.roll(truth, 1, axis=0),
    }
    recall = {}
    for name, values in scores.items():
        values = np.where(before | ~before.any(axis=0), -np.inf, values)[users]
        top = np.argpartition(-values, 20, axis=1)[:, :20]
        hits = np.take_along_axis(relevant[users], top, axis=1).sum(axis=1)
        recall[name] = (hits / relevant[users].sum(axis=1)).mean()
    assert recall["popularity"] < 0.15
    assert recall["kNN"] > 1.8 * recall["popularity"]
    assert recall["truth"] > 1.2 * recall["kNN"]
    assert recall["truth"] > recall["truth without time"] > recall["kNN"] > recall["truth of others"]
