"""Recommendations by raw id, files of everybody's lists, and strangers folded in."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys import workflow
from recsys.evaluation import ranking
from recsys.evaluation.evaluate import evaluate
from recsys.models.embeddings import Embeddings
from recsys.recommend import Recommender, main, newest_run, write_lists
from recsys.runs import Run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    run = Run("mine", root)
    workflow.prepare_run(run)
    workflow.train_run(run, "author best", epochs=5, dim=24)
    return root


@pytest.fixture(scope="module", params=["author", "best"])
def known(root, request):
    return Recommender.load("mine", request.param, root)


def test_lists_are_those_of_the_evaluation(known, tmp_path):
    split = known.split
    result = evaluate({"model": known.model}, split, (20,), n_resamples=2)
    result.save(tmp_path)
    judged = pd.read_parquet(tmp_path / "recommendations.parquet")
    judged["user_id"] = split.users["user_id"].to_numpy()[judged["user"]]
    judged["item_id"] = split.items["item_id"].to_numpy()[judged["item"]]
    users = judged["user_id"].unique()
    ours = known.recommend(users, 20)
    pd.testing.assert_frame_equal(
        ours[["user_id", "rank", "item_id", "score"]],
        judged[["user_id", "place", "item_id", "score"]].set_axis(["user_id", "rank", "item_id", "score"], axis=1),
        check_dtype=False,
    )
    names = split.items.set_index("item_id").loc[ours["item_id"]]
    assert ours["name"].tolist() == names["name"].tolist() and ours["artist"].tolist() == names["artist"].tolist()


def test_nobody_is_recommended_what_he_has_and_scores_fall(known):
    split = known.split
    lists = known.lists(np.arange(split.n_users), 10)
    user = pd.Index(split.users["user_id"]).get_indexer(lists["user_id"])
    item = pd.Index(split.items["item_id"]).get_indexer(lists["item_id"])
    assert not split.known[user, item].any() and item.max() < split.n_items
    assert (lists.groupby("user_id")["score"].diff().dropna() <= 0).all()
    assert (lists.groupby("user_id")["rank"].agg(list).map(tuple) == tuple(range(1, 11))).all()


def test_similar_songs_are_the_models_neighbours(known):
    ids = known.split.items["item_id"].to_numpy()
    found = known.similar(ids[[5, 9]], 10)
    for code in (5, 9):
        items, values = known.model.neighbours(code, known.model.n_items - 1)
        warm = items < known.split.n_items
        rows = found[found["song_id"] == ids[code]]
        assert rows["item_id"].tolist() == ids[items[warm][:10]].tolist()
        np.testing.assert_allclose(rows["score"], values[warm][:10], rtol=1e-5)
    pd.testing.assert_frame_equal(known.similar(int(ids[5]), 10), found[found["song_id"] == ids[5]])


def test_a_stranger_with_a_trained_listeners_songs_gets_nearly_his_list(known):
    found = known.check_fold_in(20)
    assert found["shared"][1] > 0.5 and found["shared"][1] > 10 * found["by chance"][2]
    assert found["ratio"][0] > 0.85 and found["ndcg"]["folded in"] > 0.1
    split = known.split
    user = int(np.argmax(np.diff(split.known.indptr)))
    ids = split.items["item_id"].to_numpy()[split.known[[user]].indices]
    new, his = known.from_liked(ids, 20), known.recommend(split.users["user_id"].to_numpy()[[user]], 20)
    assert len(set(new["item_id"]) & set(his["item_id"])) >= 8 and not set(new["item_id"]) & set(ids)
    pd.testing.assert_frame_equal(known.from_liked(ids[[0, 0, 1]]), known.from_liked(ids[[1, 0]]))
    few = np.array([split.known[[user]].indices[:3] for user in range(300) if split.known[[user]].nnz > 3])
    genre = split.items["genre_id"].to_numpy()
    same = [np.isin(genre[known.rank_liked(liked, 10).items[0]], genre[liked]).mean() for liked in few]
    random = [np.isin(genre[: split.n_items], genre[liked]).mean() for liked in few]
    assert np.mean(same) > 2 * np.mean(random)


def test_an_unknown_or_cold_id_is_named(known):
    split = known.split
    with pytest.raises(KeyError, match="user ids of the model's vocabulary, got 1 others: 'nobody'"):
        known.recommend(["nobody"])
    with pytest.raises(KeyError, match="song ids of the model's vocabulary, got 1 others: -1"):
        known.similar([-1])
    cold = split.items["item_id"].iloc[-1]
    with pytest.raises(KeyError, match=f"{cold}"):
        known.from_liked([cold])
    with pytest.raises(ValueError, match="k: expected 1 or more, got 0"):
        known.recommend(split.users["user_id"][:1], 0)


def test_the_files_hold_everybodys_lists_and_come_whole_or_not_at_all(known, monkeypatch):
    monkeypatch.setattr(ranking, "SCORES_IN_MEMORY", 400 * known.split.n_items)
    said = []
    path = write_lists(known, 5, said.append)
    file = pq.ParquetFile(path)
    facts = {key.decode(): value.decode() for key, value in file.schema_arrow.metadata.items()}
    assert facts["run"] == "mine" and facts["recipe"] == known.recipe and facts["k"] == "5"
    assert file.num_row_groups == len(said) == 4 and said[-1].startswith("1,463 of 1,463 listeners")
    lists, table = pd.read_parquet(path), pd.read_csv(path.with_suffix(".csv"), dtype={"user_id": str})
    expected = known.lists(np.arange(known.split.n_users), 5)
    for found in (lists, table):
        columns = ["user_id", "rank", "item_id", "name"]
        pd.testing.assert_frame_equal(found[columns], expected[columns], check_dtype=False)
        np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-5)
    before = path.read_bytes()

    def fail(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lists(known, 4, fail)
    assert path.read_bytes() == before and len(list(path.parent.glob("*"))) == len(list(path.parent.glob("[ab]*")))


def test_a_spreadsheet_computes_nothing_of_the_csv(root):
    known = Recommender.load("mine", "author", root)
    names = ["=1+1", "+1", "-1", "@x", "\tx", "fine", 'with "quotes", and\na line', None]
    items = known.split.items.assign(name=(names * len(known.split.items))[: len(known.split.items)])
    known.split = replace(known.split, items=items)
    path = write_lists(known, 20, lambda line: None)
    table = pd.read_csv(path.with_suffix(".csv"), keep_default_na=False)
    assert set(table["name"]) == {"'=1+1", "'+1", "'-1", "'@x", "'\tx", "fine", 'with "quotes", and\na line', ""}
    assert (table["score"] > 0).any() and table["score"].dtype == float
    assert set(pd.read_parquet(path)["name"].dropna()) == set(names) - {None}


def test_the_newest_finished_run_is_taken(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a finished run, found none; `make reports` makes one"):
        newest_run(tmp_path)
    for name, status, when in (("old", "finished", "2026-01-01"), ("new", "finished", "2026-01-02"),
                               ("stopped", "interrupted", "2026-01-03")):  # fmt: skip
        Run(name, tmp_path).note(recipes=["a"])
        (tmp_path / "data/runs" / name / "a").mkdir()
        history = {"status": status} | ({"finished_at": when} if status == "finished" else {})
        (tmp_path / "data/runs" / name / "a" / "history.json").write_text(json.dumps(history))
    Run("prepared", tmp_path).note(dataset="x")
    assert newest_run(tmp_path) == "new"


def test_the_command_writes_both_files_and_says_what_is_wrong(root, monkeypatch, capsys):
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    assert main(["RECIPE=author", "K=3"]) == 0
    assert "data/runs/mine/recommendations/author.csv: " in capsys.readouterr().out
    assert pq.read_metadata("data/runs/mine/recommendations/author.parquet").num_rows == 3 * 1463
    for arguments, message in ((["K=0"], "k: expected 1 or more, got 0"), (["RECIPE=none"], "expected one of author, "
                               "best"), (["RUN=none"], "run 'none': expected"), (["TOP=3"], "got 'TOP'")):  # fmt: skip
        assert main(arguments) == 2 and message in capsys.readouterr().err


def test_another_seeds_vectors_are_there_where_the_run_has_them(root):
    known = Recommender.load("mine", "author", root)
    assert known.other_vectors is None
    model = Embeddings(known.model.user_ids, known.model.item_ids, 3, seed=1)
    model.write(root / "data/runs/mine/author/seed-1/model.keras")
    known.run.note(other_seeds=["seed-1"])
    again = Recommender.load("mine", "author", root).other_vectors
    np.testing.assert_array_equal(again, model.item_embeddings.numpy()[: known.split.n_items])
