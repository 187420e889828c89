"""The benchmark: choices are made on validation, every model has a curve, and the sentences follow from the points."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest

from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.files import write_json
from recsys.models.baselines.factorisation import PEERS
from recsys.reports import benchmark
from recsys.training import trainer
from recsys.training.recipes import RECIPES

SMALL = {"epochs": 4, "patience": 4, "trial_epochs": 1, "first_epochs": 0, "dim": 8, "evaluate_every": 2}


@pytest.fixture(scope="module")
def split() -> Split:
    rng = np.random.default_rng(0)
    rows = np.array([(user, song) for user in range(60) for song in (user % 2) * 20 + rng.permutation(20)[:9]])
    rows = rows.reshape(60, 9, 2)
    train = [*((song // 20, song) for song in range(40)), *rows[:, :7].reshape(-1, 2)]
    return Split.from_arrays(train, rows[:, 7], rows[:, 8])


@pytest.fixture(scope="module")
def found(split) -> benchmark.Benchmark:
    small = {name: dataclasses.replace(RECIPES[name], epochs=4, patience=3) for name in ("author", "best")}
    small["best"] = dataclasses.replace(small["best"], **SMALL)
    trained = {name: trainer.train(split, recipe, verbose=False) for name, recipe in small.items()}
    models = {name: each.model for name, each in trained.items()}
    histories = {name: each.history for name, each in trained.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "lenskit.als", None)  # as if LensKit were not installed
        patch.setattr(benchmark, "EPOCH_SHARES", (0.5,))
        fit, _, grid = PEERS["als"]
        patch.setitem(PEERS, "als", (fit, (1, 2, 3), grid))
        return benchmark.benchmark(split, models, histories, "als lenskit")


def test_every_model_has_a_curve_and_a_missing_peer_is_named(found):
    amounts = found.curves.groupby("model", sort=False)["amount"].apply(list).to_dict()
    assert list(amounts) == ["als", "author", "best"] == list(found.costs.index) == list(found.evaluation.aggregate)
    assert amounts["als"] == [1, 2, 3] and amounts["best"][-1] == 4 and (found.curves["seconds"] > 0).all()
    assert list(found.left_out) == ["lenskit"] and "extra `peers`" in found.left_out["lenskit"]
    assert (found.costs[benchmark.FIT] <= found.costs[benchmark.IN_ALL]).all()


def test_a_peer_gets_the_settings_and_iterations_that_are_best_on_validation(split, found):
    fit, _, grid = PEERS["als"]
    tried = [validation_ndcg(fit(split, ("train",), 0, iterations=2, **each), split) for each in grid]
    points = found.curves[found.curves["model"] == "als"].set_index("amount")["ndcg@20"]
    assert points[2] == pytest.approx(max(tried), abs=1e-3)
    assert found.costs.loc["als", "settings"].startswith(f"iterations {points.idxmax()},")


def test_a_point_counts_the_time_of_what_was_added(split):
    epochs = [{"rows_per_second": speed} for speed in (1, 4, 4)]  # the first one waits for something
    history = {
        "best_epoch": 3, "epochs": epochs, "inputs": {"recipe": {"refit": True}}, "validation_ndcg": 0.5,
        "warm_start_seconds": 2.0, "part_seconds": {"next_song": 30.0, "spectral": 700.0},
        "next_song": {"share": 0.5}, "spectral": {},
    }  # fmt: skip
    seconds = 3 * split.seen("train").nnz / 4
    assert benchmark._point(split, history, None) == (3, 2.0 + seconds + 30.0, 0.5)


def test_the_sentences_follow_from_the_points(found):
    curves = pd.DataFrame(
        [("a", 1, 1.0, 0.1), ("b", 1, 2.0, 0.05), ("a", 2, 3.0, 0.2), ("b", 2, 4.0, 0.3)],
        columns=["model", "amount", "seconds", "ndcg@20"],
    )
    assert benchmark.sentences(dataclasses.replace(found, curves=curves))[2:] == [
        "With 1 s for fitting, a is best: NDCG@20 0.1000 on validation.",
        "With 4 s for fitting, b is best: NDCG@20 0.3000 on validation.",
        "LensKit is left out: it is not installed; the extra `peers` installs it.",
    ]
    assert len(benchmark.quality_against_time(curves).get_lines()) == 2


def test_tables(found, tmp_path):
    table = benchmark.costs_table(found)
    values = [float(cell.split()[0]) for cell in table["NDCG@20 on test"]]
    assert values == sorted(values) and set(table["model"]) == {"ALS", "the described system", "best"}
    assert benchmark.read_speeds(tmp_path) == {}
    sizes = [{"rows": 10, "songs": 2, "nanoseconds a row": {"median": 1.25}}]
    measures = {"growth": {"facts": {"sizes": sizes}}}
    speeds = {"ratios": {"x": {"median": 2}}, "measures": measures, "targets": {"x": "at most 3"}}
    write_json(tmp_path / "data/bench/latest.json", speeds)
    speeds = benchmark.read_speeds(tmp_path)
    assert benchmark.speeds_table(speeds).loc["x"].tolist() == [2, "at most 3"]
    assert benchmark.growth_table(speeds)["nanoseconds a row"].tolist() == [1.25]


def test_an_unknown_peer_is_an_error(split):
    with pytest.raises(ValueError, match="PEERS: expected names among als bpr lenskit; got svd"):
        benchmark.benchmark(split, {}, {}, "als svd")
