"""Measures on cases worked out by hand; the exact expectation of the accuracy against plain loops and simulation."""

import dataclasses
import math
import re

import faults
import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from recsys.audit import checks
from recsys.audit.findings import FINDINGS
from recsys.audit.measures import QUESTIONS, measure
from recsys.data.split import Split
from recsys.evaluation import sampled
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.sampled import draw_candidates, sampled_accuracy
from recsys.models import baselines
from recsys.reports import figures, narrative, tables
from recsys.reports.summary import summarise

matplotlib.use("Agg")


class Fixed:
    """A scorer with the scores of a matrix (users, songs), and with vectors of songs as a trained model has them."""

    def __init__(self, matrix, item_embeddings=None):
        self.matrix = np.asarray(matrix, np.float32)
        vectors = np.arange(self.matrix.shape[1])[:, None] if item_embeddings is None else item_embeddings
        self.item_embeddings = vectors

    def scores(self, users):
        return self.matrix[users]


def evaluated(scorers, split, trained=()):
    """Return the evaluation, the 1-of-21 accuracy, and the measures; `trained` maps models to their running means."""
    evaluation = evaluate(scorers, split, cutoffs=(10, 20))
    candidates = draw_candidates(split.test.item, 20, split.n_items_all)
    accuracy = {name: sampled_accuracy(scorer, split.test, candidates) for name, scorer in scorers.items()}
    histories = {name: {"epochs": [{"accuracy": trained[name], "train_accuracy": 0.6}]} for name in trained}
    return evaluation, accuracy, measure(split, scorers, evaluation, accuracy, histories)


def world(seed=0):
    """Return a split by time whose manifest says that a quarter of the rows were skips."""
    split = faults.cut(faults.listening(seed))
    steps = [{"step": "positives", "rows_in": 8000, "dropped": {"skipped": 2000}, "rows_out": 6000}]
    return dataclasses.replace(split, manifest=split.manifest | {"steps": steps})


def scorers_of(split, *names):
    settings = {"itemknn": {"k": 50}, "als": {"regularisation": 1.0, "alpha": 5.0}}
    fit = {name: baselines.BASELINES[name][0] for name in names}
    return {name: fit[name](split, ("train", "validation"), 0, **settings.get(name, {})) for name in names}


def as_matrix(scorer, split, item_embeddings=None):
    """Return a fitted scorer as a `Fixed` one, so that it can play a trained model."""
    return Fixed(scorer.scores(np.arange(split.n_users_all)), item_embeddings)


def test_expectation_by_hand():
    def accuracy(lower, tied, n):
        return sampled.expected_hits(pd.DataFrame({"lower_all": [lower], "tied_all": [tied]}), n=n).item()

    assert accuracy(0.7, 0.0, 3) == pytest.approx(0.7**3)
    assert accuracy(0.0, 1.0, 20) == pytest.approx(1 / 21)  # a model that scores all songs alike
    assert accuracy(0.6, 0.2, 1) == pytest.approx(0.6 + 0.2 / 2)
    by_terms = sum(math.comb(5, j) * 0.3**j * 0.5 ** (5 - j) / (j + 1) for j in range(6))
    assert accuracy(0.5, 0.3, 5) == pytest.approx(by_terms)
    assert accuracy(1 - 1 / 450_000, 1 / 450_000, 450_000) == pytest.approx(0.632, abs=0.001)  # stable: (1 − 1/e)


def rounded_scores(split, seed=0):
    """Return scores with many ties, for songs of train only."""
    return Fixed(np.random.default_rng(seed).normal(size=(split.n_users_all, split.n_items)).round(1))


def test_rank_distribution_against_plain_loops():
    split = world()
    scorer = rounded_scores(split)
    rows = sampled.rank_distribution(split, scorer)
    assert set(rows["user"]) == set(split.test.user)
    parts = [split.train, split.validation, split.test]
    for row in rows.sample(200, random_state=0).itertuples():
        own = np.unique(np.concatenate([part.item[part.user == row.user] for part in parts]))
        scores = [*scorer.matrix[row.user], *[-np.inf] * (split.n_items_all - split.n_items)]
        assert row.own == pytest.approx(len(own) / split.n_items_all)
        for pool, songs in {"all": range(split.n_items_all), "warm": range(split.n_items)}.items():
            mine, others = scores[row.item], np.array([scores[song] for song in songs])
            assert getattr(row, f"lower_{pool}") == pytest.approx((others < mine).mean())
            assert getattr(row, f"tied_{pool}") == pytest.approx((others == mine).mean())


@pytest.mark.parametrize("n", [1, 20, 150])
def test_expectation_against_simulation(n):
    split = world(1)
    scorer = rounded_scores(split, 1)
    rows = sampled.rank_distribution(split, scorer).query("part == 'test'")
    for pool, size in (("all", split.n_items_all), ("warm", split.n_items)):
        draws = (draw_candidates(split.test.item, n, size, seed) for seed in range(40))
        found = [sampled_accuracy(scorer, split.test, candidates)["tie_fair"]["value"] for candidates in draws]
        exact = sampled.expected_hits(rows, pool, n).mean()
        assert abs(np.mean(found) - exact) < 4 * np.std(found) / np.sqrt(40) + 1e-6, pool


def test_the_draw_of_users_is_bounded_and_seeded(monkeypatch):
    monkeypatch.setattr(sampled, "MAX_SCORES", 10)
    pairs = [(user, user % 7) for user in range(900)]
    split = Split.from_arrays(pairs, pairs[:5], [(user, (user + 1) % 7) for user in range(900)])
    users = [sampled.rank_distribution(split, Fixed(np.zeros((900, 7))), seed)["user"].unique() for seed in (0, 0, 1)]
    assert len(users[0]) == 300 and (users[0] == users[1]).all() and (users[0] != users[2]).any()


def test_the_sweep_of_a_known_ranker_and_of_a_constant_one():
    split = Split.from_arrays([(0, i) for i in range(10)] + [(1, 0)], [(1, 1)], [(1, 9), (1, 8)])
    models = {"last is best": Fixed([np.arange(10)] * 2), "constant": Fixed(np.zeros((2, 10)))}
    sweep = sampled.accuracy_sweep({k: sampled.rank_distribution(split, v) for k, v in models.items()}, 10)
    sweep = sweep.set_index(["model", "negatives"])["value"]
    for n in (1, 3, 10):
        shares = [(0.9, 0.1), (0.8, 0.1)]  # songs 9 and 8: songs with a lower score, and the song itself
        exact = np.mean([((w + t) ** (n + 1) - w ** (n + 1)) / ((n + 1) * t) for w, t in shares])
        assert sweep["last is best", n] == pytest.approx(exact)
        assert sweep["constant", n] == pytest.approx(1 / (n + 1))


def test_values_by_hand():
    split = world()
    scorers = scorers_of(split, "random", "popularity", "itemknn", "als")
    evaluation, accuracy, measures = evaluated(scorers, split)
    assert measures["skips"].value == 0.25
    assert measures["repeats"].value == pytest.approx(split.account()["repeat"] / 600)
    name = max(accuracy, key=lambda each: accuracy[each]["tie_fair"]["value"])
    rank, fair = measures["equivalent_rank"], accuracy[name]["tie_fair"]["value"]
    assert (1 - (rank.value - 1) / split.n_items_all) ** 20 == pytest.approx(fair)
    assert (rank.model, rank.of) == (name, split.n_items_all)
    assert measures["popularity_alone"].value == accuracy["popularity"]["tie_fair"]["value"]
    gain = {key: found["as_author"]["value"] - found["tie_fair"]["value"] for key, found in accuracy.items()}
    assert measures["ties"].value == gain[measures["ties"].model] == max(gain.values()) > 0
    rows = sampled.rank_distribution(split, scorers[name]).query("part == 'test'")
    assert measures["accidental_hits"].value == pytest.approx((1 - (1 - rows["own"]) ** 20).mean())
    untrained = (sampled.expected_hits(rows) - sampled.expected_hits(rows, "warm")).mean()
    assert measures["untrained_songs"].value == pytest.approx(untrained)
    later = split.n_items_all - split.n_items
    assert narrative.answer(measures["songs_not_in_train"]) == f"{later} of {split.n_items_all:,}" and later
    for each in measures.measures:
        assert np.isnan(each.low) or each.low <= each.value <= each.high, each
        assert all(QUESTIONS[each.key]) and QUESTIONS[each.key][0] in narrative.UNITS
    with pytest.raises(KeyError, match="running_mean"):
        measures["running_mean"]  # nothing was trained


def test_exposure_counts_the_places_in_lists():
    split = world()
    evaluation, _, measures = evaluated(scorers_of(split, "random", "popularity"), split)
    shares = measures.exposure
    assert np.allclose(shares.sum(), 1) and list(shares.index) == list(range(1, 11))
    assert list(shares.columns) == ["played", "random", "popularity"] and (shares["popularity"].iloc[:8] == 0).all()
    lists = evaluation.rankings["random"].items[:, :10]
    order = np.argsort(np.asarray(split.counts("train", "validation").sum(axis=0)).ravel(), kind="stable")
    popular = order[-(-9 * split.n_items // 10) :]  # the last tenth
    assert shares["random"][10] == pytest.approx(np.isin(lists, popular).sum() / (lists >= 0).sum())


def test_a_model_that_remembers_train_is_found_out():
    split = world(2)
    seen = split.seen("train").toarray()
    vectors = np.random.default_rng(0).normal(size=(split.n_items, 3))
    model = Fixed(np.pad(seen, ((0, split.n_users_all - split.n_users), (0, 0))), vectors)
    measures = evaluated({"memory": model, **scorers_of(split, "popularity")}, split, {"memory": 0.3})[2]
    gap = measures["train_minus_test"]
    rows = sampled.rank_distribution(split, model).query("user < @split.n_users and item < @split.n_items")
    mean = rows.assign(hit=sampled.expected_hits(rows)).groupby("part")["hit"].mean()
    assert gap.value == pytest.approx(mean["train"] - mean["test"]) and gap.low > 0.05 and gap.model == "memory"
    assert measures["running_mean"].value == pytest.approx(0.3)
    correlation = spearmanr(np.linalg.norm(vectors, axis=1), np.bincount(split.train.item)).statistic
    assert measures["vector_length"].value == pytest.approx(correlation)


def test_an_order_that_the_sampled_accuracy_reverses():
    n = 4000  # songs; user 0 trains them all, each other user is to find the last
    train = [(0, song) for song in range(n)] + [(user, 0) for user in range(1, 60)]
    split = Split.from_arrays(train, [(1, 1)], [(user, n - 1) for user in range(1, 60)])
    steady = np.tile(np.arange(n), (60, 1)).astype(float)
    steady[:, n - 1] = n - 30.5  # always at rank 30: good against 20 random songs, never among the best 20
    bold = np.tile(np.arange(n), (60, 1)).astype(float)
    bold[::2, n - 1] = -1  # first for one half, last for the other
    evaluation, _, measures = evaluated({"steady": Fixed(steady), "bold": Fixed(bold)}, split)
    assert (measures["model_pairs"].value, measures["model_pairs"].of) == (1, 1)
    assert measures["equivalent_rank"].model == "steady" and evaluation.ordered()[0] == "bold"


def test_the_described_system_is_looked_at_where_it_was_trained():
    split = world(6)
    named = scorers_of(split, "popularity", "als")
    models = {"author": as_matrix(named["popularity"], split), "best": as_matrix(named["als"], split)}
    measures = evaluated(models, split, {"author": 0.5, "best": 0.1})[2]
    for key in ("equivalent_rank", "untrained_songs", "running_mean", "vector_length"):
        assert measures[key].model == "author"
    assert [each.model for each in measures.measures if each.key == "train_minus_test"] == ["author", "best"]


def test_every_text_stays_true_when_two_models_results_are_swapped():
    split = world(3)
    rng, (one, two) = np.random.default_rng(0), scorers_of(split, "itemknn", "als").values()
    models = [as_matrix(each, split, rng.normal(size=(split.n_items, 3))) for each in (one, two)]
    texts = []
    for names in (("alpha", "beta"), ("beta", "alpha")):
        scorers = dict(zip(names, models, strict=True)) | scorers_of(split, "popularity")
        evaluation, accuracy, measures = evaluated(scorers, split, dict(zip(names, (0.3, 0.2), strict=True)))
        found = checks.check_split(split)
        rows = [tables.measures_table(measures), tables.findings_table(measures, found)]
        texts.append([row for table in rows for row in table.data.split("<tr>")])
        answer = summarise(evaluation, accuracy, measures, found)
        texts[-1] += [answer["headline"], *answer["sentences"]]
        texts[-1] += [narrative.sweep_sentence(measures), narrative.exposure_sentence(evaluation, measures)]
    exchange = {"alpha": "beta", "beta": "alpha", "Alpha": "Beta", "Beta": "Alpha"}
    swapped = [re.sub("[Aa]lpha|[Bb]eta", lambda match: exchange[match[0]], text) for text in texts[1]]
    assert sorted(texts[0]) == sorted(swapped) and sorted(texts[0]) != sorted(texts[1])


def test_the_sixteen_findings_name_only_measures_and_checks_that_exist():
    assert len(FINDINGS) == 16
    for finding in FINDINGS:
        assert finding.title and finding.described and finding.remedy and (finding.here or finding.check)
        assert finding.check in ("", *checks.CLAIMS)
        fields = {key.removesuffix("_model") for key in re.findall(r"{(\w+)}", finding.here)}
        assert fields <= set(QUESTIONS)


def test_the_table_of_findings_shows_figures_and_checks():
    split = world(4)
    model = as_matrix(scorers_of(split, "als")["als"], split)
    _, _, measures = evaluated({"author": model, **scorers_of(split, "popularity")}, split, {"author": 0.3})
    found = checks.check_split(split)
    shown = tables.findings_table(measures, found).data
    assert shown.count("<tr>") == 16 and "25.0 % of the rows are skips." in shown
    assert f"{narrative.answer(measures['repeats'])} of the test listens are repeats. Checked: none found." in shown
    rank = measures["equivalent_rank"]
    assert f"The described system is equivalent to rank {rank.value:,.0f} of {split.n_items_all} (" in shown
    assert shown.count("<td>Not checked in this run.</td>") == 3
    untrained = tables.findings_table(evaluated(scorers_of(split, "popularity"), split)[2], []).data
    assert untrained.count("Not measured in this run.") == 2  # the length of vectors, and the running mean


def test_the_table_of_measures_shows_questions_answers_and_reasons():
    split = world(4)
    _, _, measures = evaluated(scorers_of(split, "popularity", "als"), split)
    shown = tables.measures_table(measures).data
    assert shown.count("<tr") == 1 + len(measures.measures) and "<td>25.0 %</td>" in shown
    value, low, high = (getattr(measures["repeats"], name) for name in ("value", "low", "high"))
    assert f"<td>{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})</td>" in shown
    name = narrative.named(measures["equivalent_rank"].model)
    assert f"would give the 1-of-21 accuracy of {name}?" in shown and "{model}" not in shown


def test_figures_draw_a_line_for_each_model():
    split = world(5)
    _, _, measures = evaluated(scorers_of(split, "popularity", "als"), split)
    ax = figures.accuracy_by_negatives(measures.sweep)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.split(":")[0] for label in labels] == ["ALS", "popularity", "guess"] and ax.get_xscale() == "log"
    exposed = figures.exposure_by_decile(measures.exposure)
    assert len(exposed.lines) == 2 and len(exposed.patches) == 10
