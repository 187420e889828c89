"""Sentences and tables say what the numbers say, whichever model they belong to."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from test_evaluation import random_split

from recsys import workflow
from recsys.data import interactions
from recsys.evaluation import evaluate, sampled
from recsys.models import baselines
from recsys.models.baselines import scorers
from recsys.reports import exploration, narrative, tables
from recsys.runs import Run
from recsys.training.recipes import RECIPES

EXCHANGE = {"ease": "popularity", "popularity": "ease"}


@pytest.fixture(scope="module")
def judged():
    split = random_split(3, n_users=200)
    scorers = {name: baselines.fit(name, split).scorer for name in ("random", "popularity", "ease")}
    candidates = sampled.draw_candidates(split.test.item, 20, split.n_items_all)

    def judge(names):
        named = dict(zip(names, scorers.values(), strict=True))
        found = {name: sampled.sampled_accuracy(scorer, split.test, candidates) for name, scorer in named.items()}
        return evaluate.evaluate(named, split), found

    return judge


def test_when_two_models_swap_their_results_every_sentence_follows(judged):
    straight, swapped = judged(["popularity", "random", "ease"]), judged(["ease", "random", "popularity"])
    for lines in ([narrative.headline(straight[0])], narrative.sentences(*straight)):
        said = [re.sub("ease|popularity", lambda match: EXCHANGE[match[0]], line) for line in lines]
        again = [narrative.headline(swapped[0])] if len(lines) == 1 else narrative.sentences(*swapped)
        assert said == again


def test_the_headline_names_the_best_and_only_claims_a_difference_that_is_real(judged):
    result, _ = judged(["random", "popularity", "ease"])
    value = result.means.loc[("ease", "ndcg@20"), "value"]
    assert narrative.headline(result).startswith(f"ease leads: NDCG@20 {value:.4f}")
    scorer = scorers.RandomOrder(result.split.n_items_all, 0)
    alike = evaluate.evaluate({"a": scorer, "b": scorer}, result.split)
    assert narrative.headline(alike).endswith("but not distinguishable from b.")


def test_tables_hold_every_model_and_the_account_adds_up(judged):
    result, sampled = judged(["random", "popularity", "ease"])
    for table in (tables.main_table(result, {}), tables.lists_table(result), tables.sampled_table(sampled)):
        assert set(table.index) == {"random", "popularity", "ease"}
    account = tables.account_table(result)
    assert sum(int(n.replace(",", "")) for n in account["listens"]) == len(result.split.test)
    assert tables.main_table(result, {}).index[-1] == "ease"
    assert set(tables.difference_table(result).index) == {"random", "popularity"}
    recall = result.means.loc[("ease", "recall@20"), "value"]
    assert tables.cutoffs_table(result).loc[("ease", "recall"), "@20"] == f"{recall:.4f}"


def test_a_missing_step_of_any_run_but_the_sample_names_the_command(tmp_path):
    for step, what in ((workflow.open_split, "prepared data"), (workflow.open_models, "trained model")):
        with pytest.raises(FileNotFoundError, match=f"expected {what}, found none.*make reports RUN=mine"):
            step(Run("mine", tmp_path))
    with pytest.raises(ValueError, match="without folders; got '../up'"):
        Run("../up", tmp_path)


def test_the_sample_is_made_on_the_spot_and_the_same_seed_gives_the_same_figures(tmp_path, capsys, monkeypatch):
    short = {"epochs": 8, "patience": 8, "trial_epochs": 1, "least_steps": 0}
    monkeypatch.setitem(RECIPES, "best", dataclasses.replace(RECIPES["best"], **short))
    found = []
    for name in ("one", "two"):
        run = Run("sample", tmp_path / name)
        if name == "two":
            monkeypatch.setattr(interactions, "IN_MEMORY", 0)  # the second time its rows stay in their files
            workflow.train_run(run, seed=0)
        judged = workflow.evaluate_run(run, "5 20", "random popularity", seed=1)
        metrics = json.loads((run.folder / "metrics.json").read_text())
        for model in metrics["models"].values():
            del model["rank_seconds"], model["fit_seconds"]
        found.append(metrics)
        assert {"random", "popularity", "author", "best"} == metrics["models"].keys()
        assert json.loads((run.folder / "summary.json").read_text())["headline"] == judged.headline
        lists = pd.read_parquet(run.folder / "recommendations.parquet")
        assert lists.groupby(["model", "user"]).size().max() == 20
        assert np.isin(
            ["model", "user", "metric", "value"], pd.read_parquet(run.folder / "per_user.parquet").columns
        ).all()
    assert found[0] == found[1]
    assert "has no trained model yet" in capsys.readouterr().out


def test_several_seeds_are_trained_and_their_spread_is_said(tmp_path):
    run = Run("sample", tmp_path)
    workflow.prepare_run(run)
    workflow.train_run(run, "author", seeds=2, epochs=1)
    judged = workflow.evaluate_run(run, "20", "popularity")
    assert len(set(judged.by_seed["author"])) == 2
    assert "author, trained with 2 seeds" in narrative.seeds_sentence(judged.by_seed, judged.evaluation)
    with pytest.raises(ValueError, match="SEEDS: expected 1 or more, got 0"):
        workflow.train_run(run, seeds=0)


def test_the_worst_failures_are_listeners_without_a_hit_and_with_most_to_find(judged):
    result, _ = judged(["random", "popularity", "ease"])
    table = exploration.worst_failures(result, "popularity", k=5)
    frame, to_find = result.per_user["popularity"], np.diff(result.split.relevant().indptr)
    assert (frame.loc[table["listener"], "hit@5"] == 0).all()
    failed = frame.index[frame["hit@5"] == 0]
    assert sorted(table["new songs played"]) == sorted(to_find[failed])[-len(table) :]
