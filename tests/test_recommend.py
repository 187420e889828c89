"""Recommendations by raw id, files of all lists, and lists for new listeners."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys import workflow
from recsys.data.interactions import Interactions
from recsys.data.split import Split
from recsys.evaluation import ranking
from recsys.evaluation.evaluate import evaluate
from recsys.models.embeddings import Embeddings
from recsys.models.repeats import activation
from recsys.recommend import Recommender, main, write_lists
from recsys.runs import Run, newest_run
from recsys.training.recipes import RECIPES


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    run = Run("mine", root)
    split = workflow.prepare_run(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "best", replace(RECIPES["best"], grid=((0.1, 1.0),), gammas=(), first_epochs=0))
        workflow.train_run(run, split, workflow.choose_recipes(run, split, "author best", epochs=5, dim=24))
    return root


@pytest.fixture(scope="module", params=["author", "best"])
def recommender(root, request):
    return Recommender.load("mine", request.param, root)


def test_lists_are_those_of_the_evaluation(recommender, tmp_path):
    split = recommender.split
    result = evaluate({"model": recommender.model}, split, (20,))
    result.save(tmp_path, {})
    evaluated = pd.read_parquet(tmp_path / "recommendations.parquet")
    evaluated["user_id"] = split.users["user_id"].to_numpy()[evaluated["user"]]
    evaluated["item_id"] = split.items["item_id"].to_numpy()[evaluated["item"]]
    users = evaluated["user_id"].unique()
    ours = recommender.recommend(users, 20)
    pd.testing.assert_frame_equal(
        ours[["user_id", "rank", "item_id", "score"]],
        evaluated[["user_id", "place", "item_id", "score"]].set_axis(["user_id", "rank", "item_id", "score"], axis=1),
        check_dtype=False,
    )
    names = split.items.set_index("item_id").loc[ours["item_id"]]
    assert ours["name"].tolist() == names["name"].tolist() and ours["artist"].tolist() == names["artist"].tolist()


def test_no_list_holds_a_song_of_the_history_and_scores_fall(recommender):
    split = recommender.split
    lists = recommender.recommend_by_code(np.arange(split.n_users), 10)
    user = pd.Index(split.users["user_id"]).get_indexer(lists["user_id"])
    item = pd.Index(split.items["item_id"]).get_indexer(lists["item_id"])
    assert not split.known[user, item].any() and item.max() < split.n_items
    assert (lists.groupby("user_id")["score"].diff().dropna() <= 0).all()
    assert (lists.groupby("user_id")["rank"].agg(list).map(tuple) == tuple(range(1, 11))).all()


def test_songs_to_hear_again_are_ranked_by_how_often_and_how_recently_they_were_played(recommender):
    split, users = recommender.split, np.array([3, 0, 700])
    rows = split.warm("train", "validation")
    last, ids = rows.timestamp.max(), split.items["item_id"].to_numpy()
    found = recommender.recommend_by_code(users, 15, repeats="again")
    for user, raw_id in zip(users, split.users["user_id"].to_numpy()[users], strict=True):
        expected: dict[int, float] = {}
        for song, when in zip(rows.item[rows.user == user], rows.timestamp[rows.user == user], strict=True):
            hours = (last - when) / np.timedelta64(1, "h") + 1
            expected[ids[song]] = expected.get(ids[song], 0) + hours**-0.5
        own = found[found["user_id"] == raw_id]
        assert set(own["item_id"]) <= set(expected) and own["rank"].tolist() == list(range(1, len(own) + 1))
        np.testing.assert_allclose(own["score"], sorted(expected.values(), reverse=True)[:15], rtol=1e-5)
        np.testing.assert_allclose(own["score"], [expected[each] for each in own["item_id"]], rtol=1e-5)


def test_activation_grows_with_listens_and_recency_and_counts_without_times():
    split = Split.from_arrays([(0, 0), (0, 0), (0, 1), (1, 2)], [(0, 1), (0, 1)], [(1, 0)])
    np.testing.assert_array_equal(activation(split).toarray(), [[2, 3, 0], [0, 0, 1]])
    hours = np.array([0, 2, 98, 99]).astype("timedelta64[h]") + np.datetime64("2026-01-01")
    train = Interactions(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]), hours)
    empty = Interactions(np.array([0]), np.array([0]), np.array([hours[0]]))
    timed = replace(split, train=train, validation=empty[:0], test=empty[:0])
    expected = [[100**-0.5 + 98**-0.5, 2**-0.5, 0], [0, 0, 1]]
    np.testing.assert_allclose(activation(timed).toarray(), expected, rtol=1e-6)


def test_both_kinds_take_turns_and_one_goes_on_where_the_other_ends(recommender):
    lengths = np.diff(recommender.split.known.indptr)
    users = np.array([np.argmin(lengths), np.argmax(lengths)])
    again, new, both = (recommender.recommend_by_code(users, 20, kind) for kind in ("again", "new", "both"))
    assert list(new) == list(again) == list(both)[:-1] and (both.groupby("user_id").size() == 20).all()
    for raw_id, length in zip(recommender.split.users["user_id"].to_numpy()[users], lengths[users], strict=True):
        own = both[both["user_id"] == raw_id]
        turns = min(length, 10)
        assert own["again"].tolist() == [True, False] * turns + [False] * (20 - 2 * turns)
        for kind, flag in ((again, True), (new, False)):
            listed = kind[kind["user_id"] == raw_id]["item_id"].tolist()
            assert own[own["again"] == flag]["item_id"].tolist() == listed[: (own["again"] == flag).sum()]
    with pytest.raises(ValueError, match="repeats: expected one of new, again, both; got 'old'"):
        recommender.recommend_by_code(users, 20, "old")


def test_similar_songs_have_the_highest_cosines(recommender):
    ids = recommender.split.items["item_id"].to_numpy()
    vectors = recommender.model.item_embeddings.numpy()[: recommender.split.n_items]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = recommender.similar(ids[[5, 9]], 10)
    for code in (5, 9):
        cosines = vectors @ vectors[code]
        rows = found[found["song_id"] == ids[code]]
        items = pd.Index(ids).get_indexer(rows["item_id"])
        assert code not in items and len(set(items)) == 10
        for scores in (rows["score"], cosines[items]):  # the songs may differ where cosines are equal up to rounding
            np.testing.assert_allclose(scores, np.sort(cosines)[::-1][1:11], rtol=1e-5)  # the first is the song itself
    for one in (ids[5], int(ids[5])):
        pd.testing.assert_frame_equal(recommender.similar(one, 10), found[found["song_id"] == ids[5]])


def test_a_new_listener_with_a_trained_listeners_songs_gets_nearly_the_same_list(recommender):
    found = recommender.check_fold_in(20)
    assert found["shared"][1] > 0.5 and found["shared"][1] > 10 * found["by chance"][2]
    assert found["ratio"][0] > 0.85 and found["ndcg"]["folded in"] > 0.1
    split = recommender.split
    user = int(np.argmax(np.diff(split.known.indptr)))
    ids = split.items["item_id"].to_numpy()[split.known[[user]].indices]
    new = recommender.from_liked(ids, 20)
    trained = recommender.recommend(split.users["user_id"].to_numpy()[[user]], 20)
    assert len(set(new["item_id"]) & set(trained["item_id"])) >= 8 and not set(new["item_id"]) & set(ids)
    pd.testing.assert_frame_equal(recommender.from_liked(ids[[0, 0, 1]]), recommender.from_liked(ids[[1, 0]]))
    histories = np.array([split.known[[user]].indices[:3] for user in range(300) if split.known[[user]].nnz > 3])
    genre = split.items["genre_id"].to_numpy()
    same = [np.isin(genre[recommender.rank_liked(liked, 10).items[0]], genre[liked]).mean() for liked in histories]
    random = [np.isin(genre[: split.n_items], genre[liked]).mean() for liked in histories]
    assert np.mean(same) > 2 * np.mean(random)


def test_an_error_names_the_unknown_or_cold_id(recommender):
    split = recommender.split
    with pytest.raises(KeyError, match="user ids: .* got 1 unknown: 'nobody'"):
        recommender.recommend(["nobody"])
    with pytest.raises(KeyError, match="song ids: .* got 1 unknown: -1"):
        recommender.similar([-1])
    cold = split.items["item_id"].iloc[-1]
    why = {"author": "in train, got 1 whose listens are later", "best": "that the model knows.* got 1 unknown"}
    with pytest.raises(KeyError, match=f"song ids: .* {why[recommender.recipe]}: {cold}"):
        recommender.from_liked([cold])
    with pytest.raises(ValueError, match="k: expected 1 or more, got 0"):
        recommender.recommend(split.users["user_id"][:1], 0)


def test_the_files_hold_all_lists_and_are_written_completely_or_not_at_all(recommender, monkeypatch):
    monkeypatch.setattr(ranking, "SCORES_IN_MEMORY", 400 * recommender.split.n_items)
    lines = []
    path = write_lists(recommender, 5, lines.append)
    file = pq.ParquetFile(path)
    facts = {key.decode(): value.decode() for key, value in file.schema_arrow.metadata.items()}
    assert facts["run"] == "mine" and facts["recipe"] == recommender.recipe and facts["k"] == "5"
    assert file.num_row_groups == len(lines) == 4 and lines[-1].startswith("1,463 of 1,463 listeners")
    lists, table = pd.read_parquet(path), pd.read_csv(path.with_suffix(".csv"), dtype={"user_id": str})
    expected = recommender.recommend_by_code(np.arange(recommender.split.n_users), 5)
    for found in (lists, table):
        columns = ["user_id", "rank", "item_id", "name"]
        pd.testing.assert_frame_equal(found[columns], expected[columns], check_dtype=False)
        np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-5)
    before = path.read_bytes()

    def fail(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lists(recommender, 4, fail)
    assert path.read_bytes() == before and len(list(path.parent.glob("*"))) == len(list(path.parent.glob("[ab]*")))


AWKWARD = [
    "NULL", "NaN", "None", "nan", "n/a", "+44", "007", "-1", "1e3", "0x1F", "=1+1", "@x", "\tx", "\rx", " x ", "'x",
    '"', "a,b", 'with "quotes", and\na line', "a\r\nb", "#", "TRUE", "2020-01-01", "1,5", "ö", "o\u0308", "🎵",
]  # fmt: skip


def test_ids_and_names_are_exported_as_they_came_in(root, capsys, monkeypatch):
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    recommender = Recommender.load("mine", "author", root)
    split = recommender.split
    listed = split.items.item_id.isin(recommender.recommend_by_code(np.arange(1), len(AWKWARD)).item_id)
    users = [*AWKWARD, *(f"user {number}" for number in range(len(AWKWARD), len(split.users)))]
    awkward = iter(AWKWARD)
    items = [next(awkward) if each else f"song {number}" for number, each in enumerate(listed)]
    named = split.items.assign(item_id=items, name=[None if each == "+44" else each for each in items])
    recommender.split = replace(split, users=split.users.assign(user_id=users), items=named)
    monkeypatch.setattr(Recommender, "load", lambda *given: recommender)
    assert main(["K=100"]) == 0
    lines = re.findall(r"pd\.read_.*", capsys.readouterr().out)
    assert [line.partition("(")[0] for line in lines] == ["pd.read_parquet", "pd.read_csv"]
    for line in lines:
        found = eval(line, {"pd": pd})
        assert found.user_id.drop_duplicates().tolist() == users[: split.n_users]
        assert set(AWKWARD) <= set(found.item_id) <= set(items)
        nameless = found.item_id == "+44"
        assert (found.name == found.item_id)[~nameless].all() and not found.name[nameless].any()
        assert (found["score"].astype(float).groupby(found.user_id).diff().dropna() <= 0).all()


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
    assert main(["RECIPE=author", "K=4", "REPEATS=both"]) == 0
    assert pd.read_parquet("data/runs/mine/recommendations/author-both.parquet")["again"].value_counts()[True] > 1463
    for arguments, message in (
        (["K=0"], "k: expected 1 or more, got 0"), (["RECIPE=none"], "expected one of author, best"),
        (["REPEATS=old"], "expected one of new, again, both"), (["RUN=none"], "run 'none': expected"),
        (["TOP=3"], "got 'TOP'"),
    ):  # fmt: skip
        assert main(arguments) == 2 and message in capsys.readouterr().err


def test_vectors_of_another_seed_are_loaded_if_the_run_has_them(root):
    recommender = Recommender.load("mine", "author", root)
    assert recommender.other_vectors is None
    model = Embeddings(recommender.model.user_ids, recommender.model.item_ids, 3, seed=1)
    model.write(root / "data/runs/mine/author/seed-1/model.keras")
    recommender.run.note(other_seeds=["seed-1"])
    again = Recommender.load("mine", "author", root).other_vectors
    np.testing.assert_array_equal(again, model.item_embeddings.numpy()[: recommender.split.n_items])
