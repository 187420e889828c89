"""Sentences and tables say what the results say, whichever model they belong to; and a whole run writes them."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from test_evaluate import random_split

from recsys import workflow
from recsys.audit.checks import Check
from recsys.audit.measures import Measure, Measured, measure
from recsys.data import interactions
from recsys.evaluation import evaluate, sampled
from recsys.files import read_json
from recsys.models import baselines
from recsys.models.baselines import scorers
from recsys.reports import exploration, narrative, recipe_tables, tables
from recsys.reports.summary import summarise
from recsys.runs import Run
from recsys.training.recipes import RECIPES

PASSED = Check("no list contains a song twice", True, 0, 0.0, "it takes two places", "list it once")
FAILED = dataclasses.replace(PASSED, name="every listed song is in train", passed=False, count=3, share=0.1)
GRID = ((0.1, 1.0), (0.2, 1.0))


@pytest.fixture(scope="module")
def results():
    """Return a function of three names: it gives them to three models and evaluates these."""
    split = random_split(3, n_users=200)
    fitted = {name: baselines.fit(name, split).scorer for name in ("random", "popularity", "ease")}
    candidates = sampled.draw_candidates(split.test.item, 20, split.n_items_all)

    def evaluated(*names):
        named = dict(zip(names, fitted.values(), strict=True))
        accuracy = {name: sampled.sampled_accuracy(scorer, split.test, candidates) for name, scorer in named.items()}
        evaluation = evaluate.evaluate(named, split)
        return evaluation, accuracy, measure(split, named, evaluation, accuracy, {})

    return evaluated


def test_every_sentence_follows_when_two_models_swap_their_results(results):
    told = []
    for names in (("itemknn", "random", "ease"), ("ease", "random", "itemknn")):
        evaluation, accuracy, measures = results(*names)
        told.append([narrative.headline(evaluation), narrative.sweep_sentence(measures)])
        told[-1] += summarise(evaluation, accuracy, measures, [PASSED])["sentences"]
    exchange = {"EASE": "item kNN", "item kNN": "EASE", "Item kNN": "EASE"}
    exchanged = [re.sub("EASE|[Ii]tem kNN", lambda name: exchange[name[0]], line) for line in told[1]]
    exchanged = [line[:1].upper() + line[1:] for line in exchanged]
    assert told[0] == exchanged and told[0] != told[1]


def test_a_failed_check_is_in_the_headline_and_in_the_first_sentence(results):
    evaluation, accuracy, measures = results("random", "popularity", "ease")
    failed = dataclasses.replace(FAILED, example="user 7")
    headline = narrative.headline(evaluation, [PASSED, failed])
    assert headline.startswith("A check failed, so do not trust this: EASE has the highest NDCG@20 of 3 models: ")
    assert summarise(evaluation, accuracy, measures, [PASSED, failed])["sentences"][0] == (
        "1 of 2 checks failed. “every listed song is in train” has 3 violations (10.00 %), such as user 7: "
        "it takes two places."
    )


def test_the_headline_names_the_best_model(results):
    evaluation, *_ = results("random", "popularity", "ease")
    value = evaluation.means.loc[("ease", "ndcg@20"), "value"]
    assert narrative.headline(evaluation) == f"EASE has the highest NDCG@20 of 3 models: {value:.3f}."
    evaluation, *_ = results("random", "popularity", "best")
    assert narrative.headline(evaluation).startswith("“best” has the highest")


def with_verdicts(evaluation, **verdicts):
    """Return the evaluation with other verdicts on the differences from the best model."""
    differences = evaluation.differences.copy()
    differences["verdict"] = differences["b"].map(verdicts)
    return dataclasses.replace(evaluation, differences=differences)


def test_the_second_sentence_claims_only_differences_that_are_real(results):
    evaluation, *_ = results("random", "popularity", "ease")
    second = evaluation.ordered()[1]
    sure = narrative.certainty_sentence(with_verdicts(evaluation, random="better", popularity="better"))
    assert sure.startswith(f"This is not a matter of chance: {narrative.named(second)} is ")
    assert sure.endswith("The other models are further behind.")
    gap = evaluation.difference("ease", second, "ndcg@20")
    interval = f"{gap.value:.4f} behind (95 % interval {gap.low:.4f} to {gap.high:.4f})".replace("-", "−")
    assert interval in sure
    level = {"random": "better", "popularity": "better", second: "not distinguishable"}
    one = narrative.certainty_sentence(with_verdicts(evaluation, **level))
    assert one.startswith("This is not certain: ") and "so it may be as good." in one
    assert one.endswith("The other model is clearly behind.")
    both = dict.fromkeys(("random", "popularity"), "not distinguishable")
    assert narrative.certainty_sentence(with_verdicts(evaluation, **both)).endswith(
        f"So may {narrative.named(evaluation.ordered()[2])}."
    )
    scorer = scorers.RandomOrder(evaluation.split.n_items_all, 0)
    alike = evaluate.evaluate({"a": scorer, "b": scorer}, evaluation.split)
    assert "b is 0.0000 behind (95 % interval 0.0000 to 0.0000), so it may be as good." in (
        narrative.certainty_sentence(alike)
    )


def test_a_leader_that_others_overtake_on_test_is_said_to_be_so(results):
    evaluation, *_ = results("random", "popularity", "ease")
    led = dataclasses.replace(evaluation, validation={"random": 0.2, "popularity": 0.3, "ease": 0.1})
    value = led.means.loc[("popularity", "ndcg@20"), "value"]
    assert narrative.headline(led) == (
        f"Popularity is the best of 3 models on validation. Its NDCG@20 on test is {value:.3f}."
    )
    gap = led.difference("popularity", "ease", "ndcg@20")
    told = narrative.certainty_sentence(led)
    assert gap.verdict == "worse" and told == (
        f"On test, another model is better: EASE is {-gap.value:.4f} ahead (95 % interval {-gap.high:.4f} to "
        f"{-gap.low:.4f})."
    )
    unsure = narrative.certainty_sentence(with_verdicts(led, ease="not distinguishable", random="better"))
    assert unsure.startswith("On test, EASE is ") and " ahead (" in unsure
    assert unsure.endswith("which may be chance. The other model is clearly behind.")
    unsure = narrative.certainty_sentence(with_verdicts(led, ease="not distinguishable", random="not distinguishable"))
    assert unsure.endswith("which may be chance. Random order cannot be told apart from popularity either.")
    assert tables.difference_table(led)["verdict"]["EASE"] == "popularity is worse"
    assert "compared with popularity because it is the best on validation" in narrative.leader_sentence(led)


def test_the_third_sentence_says_what_a_listener_finds(results):
    evaluation, accuracy, measures = results("random", "popularity", "ease")
    hits = 20 * evaluation.means.loc[("ease", "precision@20"), "value"]
    sentences = summarise(evaluation, accuracy, measures, [PASSED])["sentences"]
    assert f"a listener finds {hits:.2g} new songs that they go on to play." in sentences[2]
    listeners, songs = (len(np.unique(codes)) for codes in evaluation.split.relevant("test").nonzero())
    assert listeners < 200 and songs < 200
    few = f"Only {listeners} listeners can be evaluated and {songs} songs can be found in test. That is too few"
    assert sentences[0].startswith(few)


def test_checks_are_one_line_and_a_failed_one_is_open():
    assert narrative.checks_sentence([PASSED, PASSED]) == "All 2 checks passed."
    shown = tables.checks_table([PASSED, PASSED]).data
    assert shown.startswith("<details><summary>All 2 checks passed.</summary>") and shown.count("<table") == 1
    shown = tables.checks_table([PASSED, FAILED]).data
    first, folded = shown.split("<details>")
    assert "every listed song is in train" in first and "3 (10.0 %)" in first and PASSED.name not in first
    assert "1 of 2 checks failed. “every listed song is in train” has 3 violations (10.00 %): it" in folded


@pytest.mark.parametrize(
    ("key", "of", "with_interval", "alone"),
    [("repeats", 0, "12.5 % (10.0 to 15.0)", "12.5 %"), ("ties", 0, "+12.5 points (+10.0 to +15.0)", "+12.5 points"),
     ("vector_length", 0, "+0.12 (+0.10 to +0.15)", "+0.12"), ("model_pairs", 21, "0 of 21 (0 to 0)", "0 of 21")],
)  # fmt: skip
def test_answers_have_units_and_intervals(key, of, with_interval, alone):
    found = Measure(key, 0.125, 0.1, 0.15, of=of)
    assert narrative.answer(found) == with_interval
    assert narrative.answer(dataclasses.replace(found, low=np.nan, high=np.nan)) == alone
    assert narrative.signed(-0.00061) == "−0.0006"


def test_a_number_that_rounds_to_zero_has_no_minus():
    assert [narrative.signed(value) for value in (-0.00001, 0.00001, -0.5)] == ["+0.0000", "+0.0000", "−0.5000"]


def test_the_sweep_sentence_reads_the_frame():
    values = {1: 0.9, 20: 0.5, 1200: 0.25, 3000: 0.125}
    rows = [(name, n, value * share) for name, share in (("als", 0.5), ("ease", 1)) for n, value in values.items()]
    sweep = pd.DataFrame(rows, columns=["model", "negatives", "value"]).assign(users=1367)
    assert narrative.sweep_sentence(Measured([], sweep, pd.DataFrame())) == (
        "EASE scores 90.0 % with 1 negative, 50.0 % with 20, 25.0 % with 1,200 and 12.5 % with 3,000. "
        "The curves are exact expectations for 1,367 listeners of test. The table above draws 20 songs once for each "
        "listen, so its values differ a little by chance."
    )


def test_tables_have_every_model_and_the_account_adds_up(results):
    evaluation, accuracy, _ = results("random", "popularity", "ease")
    names = {"random order", "popularity", "EASE"}
    main = tables.main_table(evaluation, {"ease": 1.25})
    for table in (main, tables.sampled_table(accuracy)):
        assert set(table.index) == names
    parts = tables.parts_table(evaluation.split).loc["test"].str.replace(",", "")
    kinds = ["by cold users", "of cold songs", "repeats", "scored"]
    assert int(parts["listens"]) == parts[kinds].astype(int).sum() == len(evaluation.split.test)
    assert main.index[-1] == "EASE" and "NDCG@20" in main and "Hit rate@20" in main
    assert set(tables.difference_table(evaluation).index) == names - {"EASE"}
    recall = evaluation.means.loc[("ease", "recall@20"), "value"]
    assert main["seconds, with choices"].loc[["EASE", "popularity"]].tolist() == ["1.2", ""]
    ceiling = evaluate.evaluate({"ceiling": scorers.RandomOrder(evaluation.split.n_items_all, 0)}, evaluation.split)
    assert list(tables.main_table(evaluation, {}, ceiling).index[-2:]) == ["EASE", "the best possible ranking"]
    folded = tables.metrics_table(evaluation).data
    assert f"<td>{recall:.4f}</td>" in folded and f"<td>{evaluation.aggregate['ease']['gini@20']:.4f}</td>" in folded
    assert all(folded.count(f"<td>{name}</td>") == 10 for name in names)


def test_recipes_are_told_side_by_side_where_they_differ():
    shown = recipe_tables.recipes_table({name: RECIPES[name] for name in ("author", "best")}).data
    assert "the described system" in shown and "20 drawn from all songs, for each listen" in shown
    assert "plain gradient descent" in shown and "at most 512 users" in shown
    assert "one of 0.07, 0.1, 0.15, 0.2, chosen on validation" in shown
    assert "precision" not in shown  # the same for both
    assert "precision" in recipe_tables.recipes_table({"author": RECIPES["author"]}).data


def test_a_missing_step_of_any_run_but_the_sample_names_the_command(tmp_path):
    for step, what in ((workflow.open_split, "prepared data"), (workflow.open_models, "trained model")):
        with pytest.raises(FileNotFoundError, match=f"expected {what}, found none.*make reports RUN=mine"):
            step(Run("mine", tmp_path))
    with pytest.raises(ValueError, match="without folders; got '../up'"):
        Run("../up", tmp_path)


def evaluate_run(run, names, seed=0):
    """Evaluate a run as 03_evaluate does. Returns the evaluation, NDCG@20 by seed, and the headline."""
    split, models, histories = workflow.open_models(run)
    fitted, _ = baselines.fit_all(split, names.split(), seed)
    models = {name: each.scorer for name, each in fitted.items()} | models
    validation = workflow.ndcg_on_validation(split, fitted, {n: models[n] for n in histories}, histories)
    assert validation.keys() == models.keys() and all(0 < value < 1 for value in validation.values())
    evaluation = evaluate.evaluate(models, split, (5, 20), seed, validation)
    candidates = sampled.draw_candidates(split.test.item, 20, split.n_items_all, seed)
    accuracy = {k: sampled.sampled_accuracy(each, split.test[:], candidates, seed=seed) for k, each in models.items()}
    measures = measure(split, models, evaluation, accuracy, histories, seed)
    answer = summarise(evaluation, accuracy, measures, [PASSED, FAILED])
    by_seed = workflow.ndcg_by_seed(run, evaluation)
    saved = {"sampled": accuracy, "seconds": workflow.seconds_by_model(fitted, histories), "by_seed": by_seed}
    workflow.save_evaluation(run, evaluation, answer, **saved)
    return evaluation, by_seed, answer["headline"]


def test_the_sample_is_made_on_the_spot_and_the_same_seed_gives_the_same_figures(tmp_path, capsys, monkeypatch):
    short = {"epochs": 2, "patience": 2, "trial_epochs": 1, "first_epochs": 0, "gammas": (), "next_dim": 0}
    monkeypatch.setitem(RECIPES, "best", dataclasses.replace(RECIPES["best"], **short, grid=GRID))
    monkeypatch.setitem(RECIPES, "author", RECIPES["author"].override(epochs=2))
    found = []
    for name in ("one", "two"):
        run = Run("sample", tmp_path / name)
        if name == "two":
            monkeypatch.setattr(interactions, "IN_MEMORY", 0)  # the second time the rows stay in their files
            split = workflow.open_split(run)
            workflow.train_run(run, split, workflow.choose_recipes(run, split))
        _, _, headline = evaluate_run(run, "random popularity", seed=1)
        metrics = read_json(run.folder / "metrics.json")
        assert metrics["failed_checks"] == [FAILED.name]
        for model in metrics["models"].values():
            del model["rank_seconds"], model["seconds"]
        found.append(metrics)
        assert {"random", "popularity", "author", "best"} == metrics["models"].keys()
        assert json.loads((run.folder / "summary.json").read_text())["headline"] == headline
        lists = pd.read_parquet(run.folder / "recommendations.parquet")
        assert lists.groupby(["model", "user"]).size().max() == 20
        columns = pd.read_parquet(run.folder / "per_user.parquet").columns
        assert np.isin(["model", "user", "metric", "value"], columns).all()
    assert found[0] == found[1]
    assert "has no trained model yet" in capsys.readouterr().out


def test_the_summary_draws_what_the_evaluation_found(results):
    evaluation, accuracy, measures = results("author", "popularity", "best")
    found = summarise(evaluation, accuracy, measures, [PASSED, FAILED])
    assert json.loads(json.dumps(found)) == found
    split, listener = evaluation.split, found["listener"]
    values = evaluation.per_user["best"]["ndcg@20"]
    nearest = (values - values.mean()).abs().idxmin()
    assert listener["ndcg"] == values[nearest] and listener["model"] == evaluation.ordered()[0] == "best"
    assert listener["found"] == round(20 * evaluation.per_user["best"]["precision@20"][nearest])
    assert all(each["times"] >= 1 for each in listener["played"]) and len(listener["list"]) == 6
    known = {f"song {item}" for item in split.known[[nearest]].indices}
    assert {each["song"] for each in listener["played"]} <= known
    assert not known & {each["song"] for each in listener["list"]}
    flow = found["flow"]
    assert flow["listens"] == flow["train"] + flow["validation"] + flow["test"] <= flow["rows"]
    assert found["accuracy"]["curves"].keys() == {"author", "best", "popularity"}
    assert found["accuracy"]["value"] == accuracy["author"]["tie_fair"]["value"]
    assert [each["passed"] for each in found["checks"]] == [True, False]


def test_several_seeds_are_trained_and_their_spread_is_told(tmp_path):
    run = Run("sample", tmp_path)
    split = workflow.open_split(run)
    recipes = workflow.choose_recipes(run, split, "author", epochs=1)
    trained = workflow.train_run(run, split, recipes, seeds=2)
    evaluation, by_seed, _ = evaluate_run(run, "popularity")
    assert len(set(by_seed["author"])) == 2
    told = narrative.seeds_sentence(by_seed, evaluation)
    assert told.startswith("The described system, trained with 2 seeds, has an NDCG@20 from ")
    (told,) = narrative.training_sentences({"author": trained["author"].history})
    assert told.startswith("The described system: 1 epoch, ")
    shown = recipe_tables.choices_table({"author": trained["author"].history}).data
    assert "<td>1 of 1</td>" in shown and f"<td>{trained['author'].history['n_parameters']:,}</td>" in shown
    with pytest.raises(ValueError, match="SEEDS: expected 1 or more, got 0"):
        workflow.train_run(run, split, recipes, seeds=0)


def test_the_worst_failures_are_listeners_without_a_hit_and_with_most_to_find(results):
    evaluation, *_ = results("random", "popularity", "ease")
    table = exploration.worst_failures(evaluation, "popularity", k=5)
    frame, to_find = evaluation.per_user["popularity"], np.diff(evaluation.split.relevant().indptr)
    assert (frame.loc[table["listener"], "hit@5"] == 0).all()
    failed = frame.index[frame["hit@5"] == 0]
    assert sorted(table["new songs played"]) == sorted(to_find[failed])[-len(table) :]


def test_the_table_of_choices_says_how_sure_they_are_and_what_else_was_tried():
    history = {
        "inputs": {"recipe": {"recency": []}}, "recency_trials": [], "settings": {"temperature": 0.1, "gamma": 1.0},
        "lead": {"over": {"temperature": 0.2, "gamma": 1.0}, "ndcg@20": -0.00123, "standard_error": 0.0005},
        "lengths": [{"epochs": 8}, {"epochs": 16}], "best_epoch": 8, "epochs": [{}] * 8, "n_parameters": 1000,
    }  # fmt: skip
    shown = recipe_tables.choices_table({"best": history}).data
    assert "<td>NDCG@20 -0.0012, standard error 0.0005 (over temperature 0.2, γ 1)</td>" in shown
    assert "<td>8 of 8 (8 and 16 epochs were tried)</td>" in shown
    few = history | {"lead": history["lead"] | {"standard_error": None}, "lengths": [{"epochs": 8}]}
    shown = recipe_tables.choices_table({"best": few}).data
    assert "<td>NDCG@20 -0.0012 (over temperature 0.2, γ 1)</td>" in shown and "<td>8 of 8</td>" in shown
    assert "<td>no others were tried</td>" in recipe_tables.choices_table({"best": {**few, "lead": None}}).data
