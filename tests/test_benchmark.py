"""Recipes beside peers: every choice on validation, a curve for each, and sentences that follow from the points."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest

from recsys import workflow
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.models.baselines.factorisation import fit_als
from recsys.reports import benchmark
from recsys.runs import Run, write_json
from recsys.training import trainer
from recsys.training.recipes import RECIPES

SMALL = {"epochs": 4, "patience": 4, "trial_epochs": 1, "least_steps": 0, "dim": 8, "every": 2}


@pytest.fixture(scope="module")
def split() -> Split:
    rng = np.random.default_rng(0)
    rows = np.array([(user, song) for user in range(60) for song in (user % 2) * 20 + rng.permutation(20)[:9]])
    rows = rows.reshape(60, 9, 2)
    train = [*((song // 20, song) for song in range(40)), *rows[:, :7].reshape(-1, 2)]
    return Split.from_arrays(train, rows[:, 7], rows[:, 8])


@pytest.fixture(scope="module")
def found(split, tmp_path_factory) -> benchmark.Benchmark:
    small = {name: dataclasses.replace(RECIPES[name], epochs=4, patience=3) for name in ("author", "best")}
    small["best"] = dataclasses.replace(small["best"], **SMALL)
    trained = {name: trainer.train(split, recipe, verbose=False) for name, recipe in small.items()}
    models = {name: each.model for name, each in trained.items()}
    histories = {name: each.history for name, each in trained.items()}
    run = Run("a", tmp_path_factory.mktemp("project"))
    sizes = [{"rows": 10, "songs": 2, "nanoseconds a row": {"median": 1.25}}]
    measures = {"growth": {"facts": {"sizes": sizes}}}
    speeds = {"ratios": {"x": {"median": 2}}, "measures": measures, "targets": {"x": "at most 3"}}
    write_json(run.root / "data/bench/latest.json", speeds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "open_models", lambda run: (split, models, histories))
        patch.setitem(sys.modules, "lenskit.als", None)
        patch.setattr(benchmark, "SHARES", (0.5,))
        patch.setitem(benchmark.PEERS, "als", (fit_als, (1, 2, 3), benchmark.PEERS["als"][2]))
        return benchmark.benchmark_run(run, "als lenskit")


def test_every_model_has_its_curve_and_what_is_missing_is_named(found):
    amounts = found.curves.groupby("model", sort=False)["amount"].apply(list).to_dict()
    assert list(amounts) == ["als", "author", "best"] == list(found.costs.index) == list(found.evaluation.whole)
    assert amounts["als"] == [1, 2, 3] and amounts["best"][-1] == 4 and (found.curves["seconds"] > 0).all()
    assert list(found.left_out) == ["lenskit"] and "extra `peers`" in found.left_out["lenskit"]
    assert (found.costs["memory, MB"] >= 0).all() and (
        found.costs["fit, s"] <= found.costs["with all choices, s"]
    ).all()


def test_a_peers_settings_and_amount_are_the_best_on_validation(split, found):
    fit, _, grid = benchmark.PEERS["als"]
    tried = {str(each): validation_ndcg(fit(split, ("train",), 0, iterations=2, **each), split) for each in grid}
    points = found.curves[found.curves["model"] == "als"].set_index("amount")["ndcg@20"]
    assert points[2] == pytest.approx(max(tried.values()), abs=1e-3)
    assert found.costs.loc["als", "settings"].startswith(f"iterations {points.idxmax()},")


def test_sentences_follow_from_the_points(found):
    curves = pd.DataFrame(
        [("a", 1, 1.0, 0.1), ("b", 1, 2.0, 0.05), ("a", 2, 3.0, 0.2), ("b", 2, 4.0, 0.3)],
        columns=["model", "amount", "seconds", "ndcg@20"],
    )
    said = benchmark.sentences(dataclasses.replace(found, curves=curves))
    expected = [
        "From 1 s of fitting on a is best, at first with 0.1000.",
        "From 4 s of fitting on b is best, at first with 0.3000.",
    ]
    assert said[1:3] == expected and said[3].startswith("lenskit is left out: not installed here")
    assert len(benchmark.quality_against_time(curves).get_lines()) == 2


def test_tables(found):
    table = benchmark.costs_table(found)
    values = [float(cell.split()[0]) for cell in table["NDCG@20 on test"]]
    assert values == sorted(values) and set(table.index) == {"als", "author", "best"}
    assert benchmark.speeds_table(found.speeds).loc["x"].tolist() == [2, "at most 3"]
    assert benchmark.speeds_table({}).empty
    assert (
        benchmark.growth_table(found.speeds)["nanoseconds a row"].tolist() == [1.25]
        and benchmark.growth_table({}).empty
    )


def test_an_unknown_peer_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="PEERS: expected names among als bpr lenskit; got svd"):
        benchmark.benchmark_run(Run("a", tmp_path), "als svd")
