"""The model equals a row-by-row reference, survives saving, and never uses another id's vector."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import rowwise
import tensorflow as tf

from recsys.models.embeddings import Embeddings, load

HOSTILE = ["007", "7", "1e3", " ", "é", "e\u0301", "🎵", "‮abc", '"\\\n', "nul\0", "\ud800", "<script>", "名前"]
FRESH_PROCESS = """
import json, sys
import numpy as np
from recsys.models.embeddings import load
for folder, song in json.loads(sys.argv[1]):
    model = load(folder)
    ids, similarities = model.call_item_item(song)
    codes = np.arange(model.n_users), np.arange(model.n_items)[None].repeat(model.n_users, axis=0)
    vocabularies = {"user_ids": model.user_ids.tolist(), "item_ids": model.item_ids.tolist()}
    texts = np.array(json.dumps(vocabularies | {"neighbours": ids.tolist()}))
    out = dict(logits=model(codes), scores=model.scores(codes[0]), similarities=similarities, ids=texts)
    np.savez(f"{folder}/out.npz", **out)
"""
NOVEMBER = Path(__file__).parent / "files" / "model_of_november_2026.keras"  # by the class `SimpleRecommender`


def model_of(n_users=5, n_items=60, **kwargs):
    return Embeddings([f"user {i}" for i in range(n_users)], np.arange(n_items) * 7, **kwargs)


def test_logits_equal_those_of_the_row_by_row_reference():
    model = model_of(seed=3)
    reference = rowwise.RowwiseRecommender(model.user_ids, model.item_ids, 15)
    reference.set_vectors(*model.get_weights())
    users, candidates = np.array([4, 0, 2]), np.array([[1, 59, 0], [3, 3, 8], [5, 6, 7]])
    expected = reference((tf.constant(list(model.user_ids[users])), tf.constant(model.item_ids[candidates])))
    np.testing.assert_allclose(model((users, candidates)), expected, rtol=1e-6, atol=1e-9)


def test_initial_vectors_are_uniform_and_follow_the_seed():
    users, items = model_of(400, 500, seed=1).get_weights()
    for table in (users, items):
        assert np.abs(table).max() <= 0.05 and np.abs(table).max() > 0.0499
        assert table.std() == pytest.approx(0.1 / np.sqrt(12), rel=0.02)
    assert not np.isclose(users, items[:400]).any(axis=1).any()
    assert (model_of(400, 500, seed=1).get_weights()[1] == items).all()
    assert (model_of(400, 500, seed=2).get_weights()[1] != items).any()


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_unknown_codes_are_masked_and_change_no_vector(similarity):
    model = model_of(similarity=similarity)
    users, candidates = tf.constant([0, -1, 5, 4]), tf.constant([[0, -1, 60, 59]] * 4)
    with tf.GradientTape() as tape:
        logits = model((users, candidates))
        loss = tf.reduce_sum(tf.where(tf.math.is_finite(logits), logits, 0.0))
    expected = [[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]]
    assert (np.isfinite(logits) == np.array(expected, bool)).all()
    assert (model.known(users, candidates).numpy() == np.array(expected, bool)).all()
    assert np.isneginf(logits.numpy()[1]).all()
    for gradient, touched in zip(tape.gradient(loss, [v.value for v in model.weights]), ([0, 4], [0, 59]), strict=True):
        dense = tf.convert_to_tensor(gradient).numpy()
        assert isinstance(gradient, tf.IndexedSlices) and np.isfinite(dense).all()
        assert np.flatnonzero(np.abs(dense).sum(axis=1)).tolist() == touched


def test_scores_equal_the_logits_and_are_zero_for_unknown_users():
    model = model_of(seed=1)
    scores, logits = model.scores(np.array([3, -1, 5, 0])), model((np.array([3, 0]), np.tile(np.arange(60), (2, 1))))
    assert scores.shape == (4, 60) and scores.dtype == np.float32
    np.testing.assert_allclose(scores[[0, 3]], logits, rtol=1e-5, atol=1e-8)
    assert (scores[1:3] == 0).all()
    assert model.scores(np.array([], int)).shape == (0, 60)


def test_raw_ids_become_codes_and_errors_name_the_unknown_ones():
    model = model_of()
    assert model.user_codes(["user 4", "user 0"]).tolist() == [4, 0]
    assert model.item_codes(np.array([14, 0])).tolist() == [2, 0]
    with pytest.raises(KeyError, match="user ids: .* which are text; got 2 unknown: 'nobody', 7"):
        model.user_codes(["user 1", "nobody", 7])
    for other in ("7", 7.0, True, 8, 2**63 + 7, None):
        with pytest.raises(KeyError, match="song ids: .* which are whole numbers; got 1 unknown: "):
            model.item_codes([other])


@pytest.mark.parametrize(
    "ids, expected",
    [([], "at least one"), ([1, 2, 1], "each id once, got 1 again: 1"), ([1, "a"], "whole numbers or text, got mixed"),
     ([0.5, 1.0], "got floating"), ([1, None], "whole numbers or text")],
)  # fmt: skip
def test_vocabularies_that_do_not_identify_a_song_are_refused(ids, expected):
    with pytest.raises(ValueError, match=expected):
        Embeddings(["a"], ids)


def test_call_item_item_finds_neighbours_as_the_described_system():
    model = model_of(seed=2)
    table = model.get_weights()[1]
    products = table @ table[9]
    ids, scores = model.call_item_item(63, k=10)
    assert ids.tolist() == (np.argsort(-products)[:10] * 7).tolist()
    np.testing.assert_allclose(scores, np.sort(products)[::-1][:10], rtol=1e-5)
    assert len(model.call_item_item(63)[0]) == 60  # fewer than 100 songs
    table[3] = 2 * table[9]
    model.set_weights([model.get_weights()[0], table])
    assert model.call_item_item(63, k=1)[0].tolist() == [21]  # a longer vector comes before the song itself
    with pytest.raises(KeyError, match="64"):
        model.call_item_item(64)


def test_an_unknown_similarity_is_refused():
    with pytest.raises(ValueError, match="expected dot or cosine, got 'l2'"):
        model_of(similarity="l2")


def test_cosine_models_divide_every_vector_by_its_length():
    model = model_of(similarity="cosine")
    users, items = (table / np.linalg.norm(table, axis=1, keepdims=True) for table in model.get_weights())
    np.testing.assert_allclose(model.scores(np.arange(5)), users @ items.T, rtol=1e-4, atol=1e-6)


KINDS = {
    "numbers": (np.array([5, -3, 2**62, 0, 9]), np.arange(200) * 670_000 + 2**40),
    "names": (HOSTILE, [*HOSTILE, *(f"song {i}" for i in range(187))]),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Models of two kinds of ids and that of 2026, and what a fresh process reads of their files, by name."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (*KINDS, "november")}
    models = {name: Embeddings(*ids, seed=4) for name, ids in KINDS.items()}
    for name, model in models.items():
        model.write(folders[name] / "model.keras")
    shutil.copy(NOVEMBER, folders["november"] / "model.keras")
    models["november"] = load(folders["november"])
    asked = [[str(folders[name]), model.item_ids.tolist()[10 % model.n_items]] for name, model in models.items()]
    subprocess.run([sys.executable, "-c", FRESH_PROCESS, json.dumps(asked)], check=True)
    found = {name: dict(np.load(folder / "out.npz")) for name, folder in folders.items()}
    return {name: (models[name], each | json.loads(str(each["ids"]))) for name, each in found.items()}


@pytest.mark.parametrize("name", KINDS)
def test_a_fresh_process_gets_the_same_bits(written, name):
    model, found = written[name]
    neighbours, similarities = model.call_item_item(model.item_ids[10])
    assert len(neighbours) == 100 and found["neighbours"] == neighbours.tolist()
    assert (found["similarities"] == similarities).all()
    codes = np.arange(model.n_users), np.tile(np.arange(200), (model.n_users, 1))
    assert (found["logits"] == model(codes).numpy()).all()


def test_a_file_of_november_2026_loads_here_and_in_a_fresh_process(written):
    model, found = written["november"]
    users, items = ["ann", "bob", "cy"], [2288934, 76476152, 90148138, 7]
    scores = [[0.3605, 0.0401, -0.0329, -0.8589], [-0.5886, 0.1481, -0.4839, -0.2021]]  # of that time's code
    assert model.user_ids.tolist() == found["user_ids"] == users and found["item_ids"] == items
    assert model.item_ids.tolist() == items and (model.length_of_embedding, model.similarity) == (5, "cosine")
    np.testing.assert_allclose(model.scores(np.array([0, 2])), scores, atol=5.1e-5)
    assert (found["scores"] == model.scores(np.arange(3))).all()
    for saved, initial in zip(model.get_weights(), Embeddings(users, items, 5, seed=3).get_weights(), strict=True):
        assert (saved == initial).all()  # the file holds the initial vectors of seed 3


def test_a_file_of_today_has_the_registered_name_of_november_2026(tmp_path):
    Embeddings(["ann"], [7]).write(tmp_path / "model.keras")
    names = []
    for path in (NOVEMBER, tmp_path / "model.keras"):
        with zipfile.ZipFile(path) as file:
            names.append(json.loads(file.read("config.json"))["registered_name"])
    assert names == ["recsys>SimpleRecommender"] * 2


def test_a_large_vocabulary_and_all_options_survive_saving(tmp_path):
    songs = [f"song-🎵-{i}" for i in range(450_000)]
    model = Embeddings(np.arange(20_000), songs, 2, similarity="cosine", seed=9)
    model.write(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert (again.item_ids == model.item_ids).all() and again.user_ids.dtype == np.int64
    assert again.get_config() == model.get_config()


def test_a_write_that_fails_leaves_the_old_model(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    model_of(seed=1).write(path)
    monkeypatch.setattr(Embeddings, "save", lambda self, target: (target.write_bytes(b"half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        model_of(seed=2).write(path)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    again = keras.models.load_model(path, safe_mode=True)
    assert (again.get_weights()[0] == model_of(seed=1).get_weights()[0]).all()
