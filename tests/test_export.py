"""Exported vectors rank as the model does, the index is measured, and README's lines serve lists from the folder."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from scipy import sparse

from recsys import export as exporting
from recsys import workflow
from recsys.evaluation.ranking import rank
from recsys.export import export, main
from recsys.files import check_file, read_json
from recsys.models.baselines.scorers import Product
from recsys.recommend import Recommender
from recsys.runs import Run

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LINES = re.search(r"^```python\n(import json\n.*?)^```$", README, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    run = Run("mine", root)
    split = workflow.prepare_run(run)
    recipes = workflow.choose_recipes(run, split, "author best", epochs=1, dim=16)
    one = {"grid": ((0.1, 1.0),), "gammas": (), "first_epochs": 0, "next_dim": 0, "recency": (), "trends": (0.1,)}
    recipes["best"] = replace(recipes["best"], **one)
    workflow.train_run(run, split, recipes, xla=False)
    (root / "pyproject.toml").touch()
    return root


@pytest.fixture(scope="module", params=["author", "best"])
def exported(root, request):
    recommender = Recommender.load("mine", request.param, root)
    return recommender, *export(recommender)


def test_dot_products_of_the_exported_vectors_rank_as_the_model_does(exported):
    recommender, folder, _ = exported
    split = recommender.split
    users, songs = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("users", "songs"))
    assert users.dtype == songs.dtype == np.float32
    everyone, nobody = np.arange(split.n_users), sparse.csr_matrix(split.known.shape)
    own = rank(recommender.model, everyone, split.known, nobody, 50)
    theirs = rank(Product(np.pad(users, ((0, 1), (0, 0))), songs.T), everyone, split.known, nobody, 50)
    np.testing.assert_array_equal(own.items, theirs.items)
    np.testing.assert_array_equal(own.scores, theirs.scores)


def test_every_file_says_the_same_with_raw_ids(exported):
    recommender, folder, facts = exported
    split = recommender.split
    for name, column, raw, n in (("users", "user_id", split.users, split.n_users),
                                 ("songs", "item_id", split.items, split.n_items)):  # fmt: skip
        table = pd.read_parquet(folder / f"{name}.parquet")
        ids = json.loads((folder / f"{'user' if name == 'users' else 'song'}_ids.json").read_text(encoding="utf-8"))
        assert table[column].tolist() == raw[column].tolist()[:n] == ids
        np.testing.assert_array_equal(np.stack(table["vector"]), np.load(folder / f"{name}.npy"))
    assert table["name"].tolist() == split.items["name"].tolist()[: split.n_items] and "artist" in table
    assert facts == read_json(folder / "export.json")
    assert {*facts["files"], "export.json"} == {path.name for path in folder.iterdir()}
    for name, each in facts["files"].items():
        check_file(folder / name, each["sha256"])


def test_the_recall_is_that_of_the_index_in_the_file(exported):
    import faiss

    recommender, folder, facts = exported
    index, about = faiss.read_index(str(folder / "songs.faiss")), facts["index"]
    assert index.hnsw.efSearch == about["ef_search"] and about["k"] == 100 and about["measured_users"] == 731
    users, songs = np.load(folder / "users.npy"), np.load(folder / "songs.npy")
    measured = np.random.default_rng(0).permutation(len(users))[:2000][1::2]
    found = index.search(users[measured], 100)[1]
    exact = np.argsort(-(users[measured] @ songs.T), axis=1)[:, :100]
    recall = np.mean([len({*one} & {*other}) / 100 for one, other in zip(found.tolist(), exact.tolist(), strict=True)])
    assert recall == pytest.approx(about["recall"], abs=1e-3) and recall > 0.95


def test_a_worse_index_has_a_lower_recall(exported, tmp_path, monkeypatch):
    """Without this the recall could be a constant."""
    monkeypatch.setattr(exporting, "WIDTHS", (1,))
    monkeypatch.setattr(exporting, "LINKS", 2)
    users, songs = exporting.vectors(exported[0])
    assert exporting._write_index(tmp_path / "index", users, songs)["recall"] < 0.8


def test_readmes_lines_serve_the_lists_of_the_model(exported, monkeypatch):
    recommender, folder, facts = exported
    monkeypatch.chdir(folder.parent)
    names: dict = {}
    exec(LINES, names)
    split, shared = recommender.split, []
    for code in range(0, split.n_users, 50):
        known = {split.items["item_id"].iloc[song] for song in split.known[[code]].indices}
        listed = names["recommend"](split.users["user_id"].iloc[code], known, 20)
        assert len(listed) == 20 and not known & {*listed}
        own = recommender.recommend_by_code(np.array([code]), 20)["item_id"].tolist()
        shared.append(len({*listed} & {*own}) / 20)
        assert names["recommend"](split.users["user_id"].iloc[code], k=3)
    assert np.mean(shared) > 0.95


def test_an_older_export_is_replaced_and_awkward_ids_stay(root, capsys):
    recommender = Recommender.load("mine", "author", root)
    n = recommender.split.n_items_all
    awkward = ["NULL", "007", "a\x00", "🎵", 'with "quotes", and\na line', "", *map(str, range(n))]
    items = recommender.split.items.assign(item_id=awkward[:n])
    recommender.split = replace(recommender.split, items=items)
    (root / "data/runs/mine/export").mkdir(exist_ok=True)
    (root / "data/runs/mine/export/left.over").touch()
    folder, facts = export(recommender, users=False)
    assert not (folder / "left.over").exists() and not list(folder.parent.glob(".*partial*"))
    ids = json.loads((folder / "song_ids.json").read_text(encoding="utf-8"))
    assert ids == pd.read_parquet(folder / "songs.parquet")["item_id"].tolist() == items["item_id"].tolist()[: len(ids)]
    assert facts["users"] == 0 and not list(folder.glob("user*"))


def test_the_command_writes_the_folder_and_says_what_is_in_it(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(["RUN=mine", "RECIPE=author"]) == 0
    printed = capsys.readouterr().out
    assert "raw ids and tastes of 1,463 listeners, which are personal data; USERS=False leaves them out" in printed
    assert re.search(r"songs\.faiss finds [\d.]+% of the 100 best songs, over 731 listeners", printed)
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    assert main(["RUN=mine", "RECIPE=author", "USERS=False"]) == 0
    printed = capsys.readouterr().out
    assert "faiss-cpu is not installed; type: pip install faiss-cpu" in printed and "personal" not in printed
    assert sorted(path.name for path in (root / "data/runs/mine/export").iterdir()) == [
        "export.json", "song_ids.json", "songs.npy", "songs.parquet",
    ]  # fmt: skip
    assert main(["RUN=none"]) == 2 and "run 'none': expected" in capsys.readouterr().err
    with Run("mine", root).lock():
        assert main(["RUN=mine"]) == 2 and "expected a run that no other command writes" in capsys.readouterr().err
