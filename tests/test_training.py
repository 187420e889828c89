"""Training equals a row-wise reference step for step, can be repeated and interrupted, and is never silently wrong."""

import concurrent.futures
import dataclasses
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import rowwise
import tensorflow as tf

from recsys.data.split import Split
from recsys.files import read_json
from recsys.models.embeddings import Embeddings
from recsys.models.neighbours import nearest, unit_vectors
from recsys.training import loop as loops
from recsys.training import losses, trainer
from recsys.training.loop import Loop
from recsys.training.recipes import RECIPES, Recipe
from recsys.training.sampled_softmax import SampledLoop
from recsys.training.trainer import load, train

SMALL = RECIPES["author"].override(batch_size=64, epochs=3)
LONG = """
import sys
sys.path.insert(0, sys.argv[1])
from recsys.training.trainer import train
from test_training import SMALL, groups
train(groups(), SMALL.override(epochs=100_000, patience=100_000), folder=sys.argv[2])
"""


def groups(n=8000, n_users=400, n_groups=5, size=60, cold=0):
    """Return a split of five groups of users, each with sixty songs of its own, the first ones the most popular."""
    rng = np.random.default_rng(0)

    def draw(rows):
        user = rng.integers(0, n_users, rows)
        return np.stack([user, user % n_groups * size + (size * rng.random(rows) ** 2).astype(int)], axis=1)

    n_items = n_groups * size
    each = np.stack([np.arange(n_users), np.arange(n_users) % n_items], axis=1)
    validation = np.concatenate([draw(n // 4), [[0, n_items + song] for song in range(cold)]]) if cold else draw(n // 4)
    return Split.from_arrays(np.concatenate([each, draw(n)]), validation, draw(10))


def started_loop(split, recipe=SMALL, model=None, seed=0, xla=False):
    """Return a loop at the start of its first epoch, with the weights that the model has."""
    model = model or Embeddings(split.users["user_id"], split.items["item_id"], recipe.dim, seed=seed)
    loop = SampledLoop(model, split, recipe, seed, xla)
    weights = model.get_weights()
    loop.start(split.train, 1.0, 1.0, epochs=recipe.epochs)
    model.set_weights(weights)
    return loop


def quick(split, recipe=SMALL, *, verbose=False, **settings):
    """Train without XLA: compiling takes longer than these trainings."""
    return train(split, recipe, verbose=verbose, xla=False, **settings)


def plain_batches(loop, epoch):
    """Yield the users and candidates of an epoch's batches, drawn outside the loop with the same keys."""
    users, items = loop.rows.rows.user, loop.rows.rows.item
    key = tf.constant(losses.key(loop.seed, epoch, losses.NEGATIVES))
    order = np.random.default_rng([loop.seed, epoch, losses.ORDER]).permutation(len(users))
    size = loop.recipe.batch_size
    for step, first in enumerate(range(0, len(order), size)):
        rows = order[first : first + size]
        padded = tf.pad(tf.gather(items, rows), [[0, size - len(rows)]])
        drawn = losses.uniform_candidates(padded, loop.recipe.n_negatives, loop.pool, key, tf.constant(step))
        yield tf.gather(users, rows).numpy(), drawn.numpy()[: len(rows)]


def test_an_epoch_equals_the_rowwise_reference_on_the_same_candidates():
    split = groups(1000)
    loop = started_loop(split, xla=True)
    reference = rowwise.compiled([str(user) for user in range(400)], np.arange(300), 15, SMALL.learning_rate)
    reference.set_vectors(*loop.model.get_weights())
    loss = hits = 0
    batches = list(plain_batches(loop, 1))
    assert len(batches) == 22 and len(batches[-1][0]) == 1400 % 64  # the last batch is short
    for users, candidates in batches:
        labels = np.eye(21, dtype=np.float32)[np.zeros(len(users), int)]
        inputs = tf.constant(users.astype(str)), tf.constant(candidates)
        reference.reset_metrics()
        facts = reference.train_on_batch(inputs, labels, return_dict=True)
        loss += facts["loss"] * len(users)
        hits += facts["categorical_accuracy"] * len(users)
    ours = loop.train_epoch()
    assert ours["loss"] == pytest.approx(loss / 1400, rel=1e-5)
    assert ours["accuracy"] == pytest.approx(hits / 1400, abs=2 / 1400)  # rounding decides between equal logits
    for own, other in zip(loop.model.get_weights(), reference.vectors(), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)


def test_training_ends_where_the_rowwise_reference_ends():
    split = groups()
    ours = [quick(split, seed=seed).history["epochs"] for seed in range(3)]
    raw = [np.arange(300), 20, 64]
    rows = np.random.default_rng(1).permutation(len(split.train))

    def reference_history(seed):
        keras.utils.set_random_seed(seed)  # like the described notebook, the reference has no seed of its own
        reference = rowwise.compiled([str(user) for user in range(400)], np.arange(300), 15, SMALL.learning_rate)
        return reference.fit(
            rowwise.get_dataset(split.train.user[rows], split.train.item[rows], *raw),
            validation_data=rowwise.get_dataset(split.validation.user, split.validation.item, *raw),
            epochs=3,
            shuffle=False,
            verbose=0,
        ).history

    theirs = [reference_history(seed) for seed in range(3)]
    for epoch in range(1, 3):
        for name, other, margin in (
            ("val_loss", "val_loss", 0.06),
            ("val_accuracy", "val_categorical_accuracy", 0.035),
            ("loss", "loss", 0.06),
            ("accuracy", "categorical_accuracy", 0.035),
        ):
            assert np.mean([run[epoch][name] for run in ours]) == pytest.approx(
                np.mean([run[other][epoch] for run in theirs]), abs=margin
            )


def test_a_checkerboard_is_learnt(tmp_path):
    rng = np.random.default_rng(0)
    user, song = rng.integers(0, 60, 9000), 2 * rng.integers(0, 20, 9000)
    rows = np.stack([user, song + user % 2], axis=1)
    split = Split.from_arrays(rows[:8000], rows[8000:], rows[:1])
    model = quick(split, RECIPES["author"].override(batch_size=32, epochs=8)).model
    scores = model.scores(np.arange(60))
    own = (np.arange(60)[:, None] - np.arange(40)) % 2 == 0
    assert min(np.where(own, scores, np.inf).min(axis=1) - np.where(own, -np.inf, scores).max(axis=1)) > 0
    assert all(neighbour % 2 == 0 for neighbour in nearest(unit_vectors(model.item_embeddings.numpy()), [6], 19)[0][0])


def test_the_recipe_author_is_the_described_system():
    author = RECIPES["author"]
    assert dataclasses.asdict(author) == {
        "name": "author", "dim": 15, "loss": "softmax", "negatives": "uniform", "n_negatives": 20, "pool": "all",
        "similarity": "dot", "optimizer": "sgd", "schedule": "constant", "batch_size": 1024, "learning_rate": 100.0,
        "epochs": 50, "patience": 3, "grid": ((1.0, 1.0),), "gammas": (), "recency": (),
        "next_dim": 0, "next_epochs": 0, "next_shares": (), "spectral_dim": 0, "spectral_shares": (), "trends": (),
        "trial_epochs": 0, "first_epochs": 0, "warm_start": False, "mask_accidental_hits": False, "refit": False,
        "evaluate_every": 1, "precision": "float32",
    }  # fmt: skip
    assert author.override(dim=0, pool="", epochs=0) == author
    assert author.override(batch_size=2048).learning_rate == 200
    assert author.override(batch_size=2048, learning_rate=50.0).learning_rate == 50
    assert author.override(pool="train", dim=8) == dataclasses.replace(author, pool="train", dim=8)
    with pytest.raises(ValueError, match="pool: expected one of all, train; got 'warm'"):
        author.override(pool="warm")
    with pytest.raises(ValueError, match="dim: expected more than 0, got -1"):
        author.override(dim=-1)
    with pytest.raises(TypeError):
        author.override(epoch=3)


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not():
    split = groups(1000)
    first, again, other = (train(split, SMALL, seed=seed, verbose=False) for seed in (5, 5, 6))
    for a, b, c in zip(*(trained.model.get_weights() for trained in (first, again, other)), strict=True):
        assert (a == b).all() and (a != c).any()
    timeless = [[{k: v for k, v in epoch.items() if "second" not in k} for epoch in t.history["epochs"]]
                for t in (first, again)]  # fmt: skip
    assert timeless[0] == timeless[1]


def test_xla_changes_rounding_only():
    split = groups(1000)
    fast, plain = (train(split, SMALL, verbose=False, xla=xla) for xla in (True, False))
    for a, b in zip(fast.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_every_row_is_trained_on_once_an_epoch_whatever_the_batch(monkeypatch):
    monkeypatch.setattr(loops, "ROWS_PER_CALL", 40)
    for batch_size in (7, 5000):
        loop = started_loop(groups(1000), SMALL.override(batch_size=batch_size))
        rows = []
        step = loop._steps

        def recorded(users, items, place, *numbers, rows=rows, step=step):
            first, n = place.numpy()
            rows.extend(zip(users.numpy(), items.numpy(), strict=True) if n else ())
            del rows[n:]
            return step(users, items, place, *numbers)

        loop._steps = recorded
        assert loop.train_epoch()["unknown_rows"] == 0
        train = loop.rows.rows
        assert sorted(rows) == sorted(zip(train.user, train.item, strict=True))


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path, capsys):
    split = groups(2000)
    trained = quick(split, SMALL.override(epochs=40, patience=2), folder=tmp_path, verbose=True)
    history, epochs = trained.history, trained.history["epochs"]
    validation = [epoch["val_loss"] for epoch in epochs]
    best = int(np.argmin(validation))
    assert history["best_epoch"] == best + 1 and len(epochs) == best + 3 < 40
    assert started_loop(split, model=trained.model).evaluate()["val_loss"] == validation[best]  # candidates drawn once
    assert started_loop(split, model=load(tmp_path)).evaluate()["val_loss"] == validation[best]
    assert epochs[-1]["train_loss"] < epochs[-1]["loss"]  # measured at the end of the epoch, not on the way there
    assert read_json(tmp_path / "history.json") == json.loads(json.dumps(history))
    assert history["status"] == "finished" and history["seed"] == 0 and history["device"].startswith(("CPU", "GPU"))
    assert history["learning_rate_per_row"] == 100 / 1024 and history["n_parameters"] == (400 + 300) * 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.json", "model.keras"]
    first, *moving, last = capsys.readouterr().out.splitlines(keepends=True)
    assert len(moving) == len(epochs) and first.endswith("\n") and last.endswith("\n")
    assert len({len(line) for line in (first, *moving, last)}) == 1  # each line covers the one before it
    assert re.fullmatch(
        r"author: epoch  1 of 40: loss \d\.\d{4}, accuracy \d+\.\d\d%; validation loss \d\.\d{4}, accuracy \d+\.\d\d%; "
        r"[\d,]+ rows/s; \d+:\d\d to epoch 40 *\r",
        moving[0],
    )
    assert re.fullmatch(rf"author: finished after \d+\.\d s\. Best epoch: {best + 1} of {best + 3} *\n", last)


def test_equal_inputs_are_trained_once_and_other_inputs_anew(tmp_path, capsys):
    split, recipe = groups(500), SMALL.override(epochs=1)
    first = quick(split, recipe, folder=tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"of a training that was killed after its end")
    again = quick(split, recipe, folder=tmp_path, verbose=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.json", "model.keras"]
    assert again.reused and not first.reused and capsys.readouterr().out.count("\n") == 1
    assert again.history == read_json(tmp_path / "history.json")
    for a, b in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        assert (a == b).all()
    for change in ({"seed": 1}, {"recipe": recipe.override(dim=3)}, {"split": groups(501)}):
        settings = {"split": split, "recipe": recipe, "seed": 0} | change
        assert not quick(folder=tmp_path, **settings).reused
    quick(split, recipe, folder=tmp_path)
    (tmp_path / "history.json").unlink()
    assert not quick(split, recipe, folder=tmp_path).reused


def test_cold_songs_are_negatives_only_if_the_pool_has_them():
    split = groups(3000, cold=200)
    start = Embeddings(split.users["user_id"], split.items["item_id"], 15, seed=0).get_weights()[1]
    for pool, moves in (("all", True), ("train", False)):
        trained = quick(split, SMALL.override(pool=pool, epochs=1))
        assert trained.model.n_items == 500
        assert (trained.model.get_weights()[1][300:] != start[300:]).any() == moves


def test_rows_without_a_vector_are_masked_and_counted():
    split = groups(1000)
    known = Embeddings(np.arange(390), np.arange(295), seed=0)
    before = [table.copy() for table in known.get_weights()]
    facts = started_loop(split, model=known).train_epoch()
    unknown = (split.train.user >= 390) | (split.train.item >= 295)
    assert facts["unknown_rows"] == unknown.sum() > 10 and np.isfinite(facts["loss"])
    known.set_weights(before)
    loop = started_loop(split, model=known)
    loop._load(split.train[unknown])
    assert loop.train_epoch()["unknown_rows"] == unknown.sum()
    for table, old in zip(known.get_weights(), before, strict=True):
        assert (table == old).all()


def test_too_few_songs_and_no_validation_are_clear_errors(tmp_path):
    few = Split.from_arrays([[0, song] for song in range(20)], [[0, 1]], [[0, 2]])
    with pytest.raises(ValueError, match="at least 21 songs, to draw 20 negatives from, got 20"):
        quick(few, folder=tmp_path)
    with pytest.raises(ValueError, match="at least 5 songs, to draw 4 negatives from, got 3"):
        rows = [[0, song] for song in range(3)]
        quick(Split.from_arrays(rows, [[0, 30]], rows), SMALL.override(n_negatives=4, pool="train"), folder=tmp_path)
    with pytest.raises(ValueError, match="validation: expected at least one row"):
        quick(Split.from_arrays([[0, song] for song in range(30)], [], [[0, 2]]), folder=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="model.keras: expected a trained model, found none"):
        load(tmp_path)


def test_a_loss_that_explodes_names_its_step_and_keeps_the_best_model(tmp_path, monkeypatch, capsys):
    split = groups(500)
    with pytest.raises(FloatingPointError, match=r"epoch 1, step \d+ of 15: expected a finite loss"):
        quick(split, SMALL.override(learning_rate=1e30), folder=tmp_path)
    assert read_json(tmp_path / "history.json")["status"] == "failed" and load(tmp_path).n_items == 300

    train_epoch = Loop.train_epoch

    def poisoned(self):
        if self.epoch == 2:
            self.model.set_weights([table * np.nan for table in self.model.get_weights()])
        return train_epoch(self)

    monkeypatch.setattr(Loop, "train_epoch", poisoned)
    with pytest.raises(FloatingPointError, match="epoch 3, step 1 of 15: "):
        quick(split, folder=tmp_path, verbose=True)
    history = read_json(tmp_path / "history.json")
    assert history["status"] == "failed" and history["best_epoch"] == 2 and "epoch 3" in history["error"]
    assert "Best epoch so far: 2" in capsys.readouterr().out
    assert started_loop(split, model=load(tmp_path)).evaluate()["val_loss"] == history["epochs"][1]["val_loss"]


def test_an_interrupt_leaves_the_best_model_so_far(tmp_path):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", LONG, here, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "epoch  4" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in err and "stopped. Best epoch so far: " in out
    history = read_json(tmp_path / "history.json")
    best = history["best_epoch"]
    assert history["status"] == "interrupted" and best >= 1
    again = started_loop(groups(), model=load(tmp_path), xla=True).evaluate()
    assert again["val_loss"] == history["epochs"][best - 1]["val_loss"]
    assert not quick(groups(), SMALL.override(epochs=1), folder=tmp_path).reused


def test_an_interrupt_waits_for_tensorflow_and_a_second_one_does_not(tmp_path, monkeypatch):
    usual = signal.getsignal(signal.SIGINT)
    evaluate = Loop.evaluate
    calls = []

    def interrupted(self):
        signal.raise_signal(signal.SIGINT)
        calls.append("went on")
        return evaluate(self)

    monkeypatch.setattr(Loop, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(groups(500), folder=tmp_path)
    assert calls == ["went on"] and signal.getsignal(signal.SIGINT) is usual
    history = read_json(tmp_path / "history.json")
    assert history["status"] == "interrupted" and history["best_epoch"] is None
    start = Embeddings(np.arange(400), np.arange(300), seed=0).get_weights()
    for own, other in zip(load(tmp_path).get_weights(), start, strict=True):
        assert (own == other).all()  # no epoch was finished

    def twice(self):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        calls.append("never here")

    monkeypatch.setattr(Loop, "evaluate", twice)
    with pytest.raises(KeyboardInterrupt):
        quick(groups(500))
    assert calls == ["went on"] and signal.getsignal(signal.SIGINT) is usual


def test_training_works_outside_the_main_thread():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        trained = pool.submit(quick, groups(500), SMALL.override(epochs=1)).result()
    assert trained.history["best_epoch"] == 1


def test_a_recipe_need_not_be_in_the_table():
    own = Recipe("own", 4, "uniform", 2, batch_size=16, learning_rate=0.1, epochs=1, patience=1)
    assert quick(groups(200), own).model.length_of_embedding == 4


@pytest.mark.parametrize("name", ["author", "fast", "best"])
def test_no_temporary_file_is_made_that_a_kill_would_leave(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # AutoGraph writes there, and removes it at exit
    recipe = RECIPES[name].override(epochs=1, batch_size=64, dim=8, grid=RECIPES[name].grid[:1])
    train(groups(1000), dataclasses.replace(recipe, gammas=(), spectral_dim=0), verbose=False)
    assert not list(tmp_path.iterdir())


def test_every_file_that_a_training_imports_is_among_its_inputs():
    """A change of any of them trains again; `files` and `runs` only write files, and tuning is no training."""
    package = Path(trainer.__file__).parents[1]
    files = [path for path in (package / "training").glob("*.py") if path.name != "tuning.py"]
    imported = {name for path in files for name in re.findall(r"^from recsys\.(\S+) import", path.read_text(), re.M)}
    own = {f"{name}.{each.replace('/', '.')}" for name, names in trainer.CODE.items() for each in names}
    used = {name for name in imported if not name.startswith("training") and name not in ("files", "runs")}
    assert used and used <= own, used - own
    assert all((package / name / f"{each}.py").exists() for name, names in trainer.CODE.items() for each in names)
