"""Measures on cases worked out by hand, and the exact expectation against plain loops and against simulation."""

import dataclasses
import math
import re

import faults
import matplotlib
import numpy as np
import pandas as pd
import pytest

from recsys.audit import checks
from recsys.audit.findings import findings
from recsys.audit.measures import measure, of_data
from recsys.data.split import Split
from recsys.evaluation import sampled
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.sampled import draw_candidates, sampled_accuracy
from recsys.models import baselines
from recsys.reports import figures

matplotlib.use("Agg")


class Fixed:
    def __init__(self, matrix):
        self.matrix = np.asarray(matrix, np.float32)

    def scores(self, users):
        return self.matrix[users]


def judged(scorers, split, histories=()):
    """Everything that `measure` is given, and what it returns."""
    evaluation = evaluate(scorers, split, cutoffs=(10, 20))
    candidates = draw_candidates(split.test.item, 20, split.n_items_all)
    sampled = {name: sampled_accuracy(scorer, split.test, candidates) for name, scorer in scorers.items()}
    epoch = {"accuracy": 0.3, "train_accuracy": 0.6, "val_accuracy": 0.5}
    histories = {name: {"epochs": [epoch]} for name in histories}
    return evaluation, sampled, measure(split, scorers, evaluation, sampled, histories)


def named(measured):
    return {each.name: each for each in measured.measures}


def world(seed=0):
    split = faults.cut(faults.listening(seed))
    rng = np.random.default_rng(seed)
    known = {"user_age": rng.integers(18, 31, split.n_users_all), "user_gender": rng.integers(0, 2, split.n_users_all)}
    steps = [{"step": "positives", "rows_in": 8000, "dropped": {"skipped": 2000}, "rows_out": 6000}]
    return dataclasses.replace(split, users=split.users.assign(**known), manifest=split.manifest | {"steps": steps})


def scorers_of(split, *names):
    settings = {"itemknn": {"k": 50}, "als": {"regularisation": 1.0, "alpha": 5.0}}
    fit = {name: baselines.BASELINES[name][0] for name in names}
    return {name: fit[name](split, ("train", "validation"), 0, **settings.get(name, {})) for name in names}


def test_expectation_by_hand():
    def accuracy(worse, level, n):
        return float(sampled.expected_accuracy(np.array(worse), np.array(level), n))

    assert accuracy(0.7, 0.0, 3) == pytest.approx(0.7**3)
    assert accuracy(0.0, 1.0, 20) == pytest.approx(1 / 21)  # a model that scores all songs alike
    assert accuracy(0.6, 0.2, 1) == pytest.approx(0.6 + 0.2 / 2)
    by_terms = sum(math.comb(5, j) * 0.3**j * 0.5 ** (5 - j) / (j + 1) for j in range(6))
    assert accuracy(0.5, 0.3, 5) == pytest.approx(by_terms)
    assert accuracy(1 - 1 / 450_000, 1 / 450_000, 450_000) == pytest.approx(0.632, abs=0.001)  # stable: (1 − 1/e)


def rounded_scores(split, seed=0):
    """Scores with many ties, of warm songs only."""
    return Fixed(np.random.default_rng(seed).normal(size=(split.n_users_all, split.n_items)).round(1))


def test_standing_against_plain_loops():
    split = world()
    scorer = rounded_scores(split)
    rows = sampled.rank_distribution(split, scorer)
    assert set(rows["user"]) == set(split.test.user)
    popularity = np.bincount(split.warm("train", "validation").item, minlength=split.n_items_all)
    parts = [split.train, split.validation, split.test]
    for row in rows.sample(200, random_state=0).itertuples():
        own = np.unique(np.concatenate([part.item[part.user == row.user] for part in parts]))
        scores = [*scorer.matrix[row.user], *[-np.inf] * (split.n_items_all - split.n_items)]
        pools = {"all": np.arange(split.n_items_all), "warm": np.arange(split.n_items),
                 "popular": np.repeat(np.arange(split.n_items_all), popularity)}  # fmt: skip
        assert row.own == pytest.approx(len(own) / split.n_items_all)
        for pool, songs in pools.items():
            mine, others = scores[row.item], np.array([scores[song] for song in songs])
            assert getattr(row, f"worse_{pool}") == pytest.approx((others < mine).mean())
            assert getattr(row, f"level_{pool}") == pytest.approx((others == mine).mean())


@pytest.mark.parametrize("n", [1, 20, 150])
def test_expectation_against_simulation(n):
    split = world(1)
    scorer = rounded_scores(split, 1)
    rows = sampled.rank_distribution(split, scorer).query("part == 'test'")
    popularity = np.bincount(split.warm("train", "validation").item, minlength=split.n_items_all)
    rng = np.random.default_rng(0)

    def draws(pool, seed):
        if pool == "popular":
            songs = rng.choice(split.n_items_all, (len(split.test), n), p=popularity / popularity.sum())
            return np.concatenate([split.test.item[:, None], songs], axis=1)
        return draw_candidates(split.test.item, n, split.n_items_all if pool == "all" else split.n_items, seed)

    for pool in ("all", "warm", "popular"):
        found = [sampled_accuracy(scorer, split.test, draws(pool, seed), 2)["tie_fair"]["value"] for seed in range(40)]
        exact = sampled.expected_hits(rows, pool, n).mean()
        assert abs(np.mean(found) - exact) < 4 * np.std(found) / np.sqrt(40) + 1e-6, pool


def test_the_draw_of_users_is_bounded_and_seeded(monkeypatch):
    monkeypatch.setattr(sampled, "SCORES", 10)
    pairs = [(user, user % 7) for user in range(900)]
    split = Split.from_arrays(pairs, pairs[:5], [(user, (user + 1) % 7) for user in range(900)])
    users = [sampled.rank_distribution(split, Fixed(np.zeros((900, 7))), seed)["user"].unique() for seed in (0, 0, 1)]
    assert len(users[0]) == 300 and (users[0] == users[1]).all() and (users[0] != users[2]).any()


def test_the_sweep_of_a_known_ranker_and_of_a_constant_one():
    split = Split.from_arrays([(0, i) for i in range(10)] + [(1, 0)], [(1, 1)], [(1, 9), (1, 8)])
    places = {"last is best": Fixed([np.arange(10)] * 2), "constant": Fixed(np.zeros((2, 10)))}
    sweep = sampled.accuracy_sweep({k: sampled.rank_distribution(split, v) for k, v in places.items()}, 10)
    sweep = sweep.set_index(["model", "negatives"])["value"]
    for n in (1, 3, 10):
        shares = [(0.9, 0.1), (0.8, 0.1)]  # songs 9 and 8: below, and level with themselves
        exact = np.mean([((w + t) ** (n + 1) - w ** (n + 1)) / ((n + 1) * t) for w, t in shares])
        assert sweep["last is best", n] == pytest.approx(exact)
        assert sweep["constant", n] == pytest.approx(1 / (n + 1))


def test_values_by_hand():
    split = world()
    scorers = scorers_of(split, "random", "popularity", "itemknn", "als")
    evaluation, sampled, measured = judged(scorers, split)
    found = named(measured)
    assert found["skips"].value == 0.25 and found["repeats"].value == pytest.approx(split.account()["repeat"] / 600)
    assert found["repeats"].low < found["repeats"].value < found["repeats"].high
    assert found["density"].value == split.seen("train").nnz / split.n_users / split.n_items
    name = max(sampled, key=lambda each: sampled[each]["tie_fair"]["value"])
    place, accuracy = found["place that the accuracy asks for"], sampled[name]["tie_fair"]["value"]
    assert (1 - (place.value - 1) / split.n_items_all) ** 20 == pytest.approx(accuracy)
    assert place.low < place.value < place.high and place.sentence.startswith(f"{name} gets {100 * accuracy:.1f} %")
    assert found["popularity alone"].value == sampled["popularity"]["tie_fair"]["value"]
    weekend = pd.DatetimeIndex(split.test.timestamp).day_of_week.isin([5, 6]).mean()
    assert f"{100 * weekend:.1f} % of test" in found["listens at weekends, test above train"].sentence
    shares = measured.exposure
    assert np.allclose(shares.sum(), 1) and list(shares.index) == list(range(1, 11))
    assert list(shares.columns) == ["played", *scorers] and (shares["popularity"].iloc[:8] == 0).all()
    recall = evaluation.per_user[max(scorers, key=lambda each: evaluation.means.loc[(each, "ndcg@20"), "value"])]
    for gender in (0, 1):
        users = recall.index[split.users["user_gender"][recall.index] == gender]
        assert found[f"recall@20, gender {gender}"].value == pytest.approx(recall.loc[users, "recall@20"].mean())
    ages = [each for each in measured.measures if each.name.startswith("recall@20, age")]
    assert [each.name.split("age ")[1] for each in ages] == ["15 to 19", "20 to 24", "25 to 29", "30 to 34"]
    assert sum(int(re.search(r"for (\d+) listeners", each.sentence)[1]) for each in ages) == len(recall)
    gain = max(each["as_author"]["value"] - each["tie_fair"]["value"] for each in sampled.values())
    assert found["ties counted as hits"].value == gain > 0
    for each in measured.measures:
        listeners = re.search(r"for ([\d,]+) listeners", each.sentence)
        if each.name.startswith("recall@20"):
            assert ("read it with care" in each.sentence) == (int(listeners[1].replace(",", "")) < 50)
        assert np.isnan(each.low) or each.low <= each.value <= each.high, each


def test_drift_is_none_where_test_is_listened_to_like_train():
    rows = [(user, song) for user in range(30) for song in range(10)]
    split = Split.from_arrays(rows, rows[:20], rows + [(30, 1)])
    drift = {name: triple[0] for name, triple, _ in of_data(split, 0)}["drift of popularity"]
    assert drift == pytest.approx(0, abs=1e-4)
    split = Split.from_arrays([(0, 0), (1, 1)], [(0, 1)], [(0, 2), (1, 3)])
    drift = {name: triple[0] for name, triple, _ in of_data(split, 0)}["drift of popularity"]
    assert drift == pytest.approx(1)  # not a song in common


def test_a_model_that_remembers_train_is_found_out():
    split = world(2)
    seen = Fixed(split.seen("train").toarray())
    pad = Fixed(np.pad(seen.matrix, ((0, split.n_users_all - split.n_users), (0, 0))))
    found = named(judged({"memory": pad, **scorers_of(split, "popularity")}, split, ["memory"])[2])
    gap = found["memory: train above test"]
    rows = sampled.rank_distribution(split, pad).query("user < @split.n_users and item < @split.n_items")
    mean = rows.assign(hit=sampled.expected_hits(rows)).groupby("part")["hit"].mean()
    assert gap.value == pytest.approx(mean["train"] - mean["test"]) and gap.low > 0.05
    assert f"train {100 * mean['train']:.1f} %" in gap.sentence and f"test {100 * mean['test']:.1f} %" in gap.sentence
    running = found["memory: train, measured at the end, above its running mean"]
    assert running.value == pytest.approx(0.3) and "above the first, not above the second" in running.sentence


def test_an_order_that_the_sampled_accuracy_turns_round():
    n = 4000  # songs; user 0 trains them all, each other user is to find the last
    train = [(0, song) for song in range(n)] + [(user, 0) for user in range(1, 60)]
    split = Split.from_arrays(train, [(1, 1)], [(user, n - 1) for user in range(1, 60)])
    steady = np.tile(np.arange(n), (60, 1)).astype(float)
    steady[:, n - 1] = n - 30.5  # always at place 30: good against 20 random songs, never among the best 20
    bold = np.tile(np.arange(n), (60, 1)).astype(float)
    bold[::2, n - 1] = -1  # first for one half, last for the other
    _, _, measured = judged({"steady": Fixed(steady), "bold": Fixed(bold)}, split)
    order = named(measured)["pairs of models out of order"]
    assert order.value == 1 and "1 of 1 pairs" in order.sentence
    assert "puts steady first, the other bold" in order.sentence


def test_sentences_stay_true_when_two_models_results_are_swapped():
    split = world(3)
    one, two = scorers_of(split, "itemknn", "als").values()
    rest = scorers_of(split, "popularity")
    texts = []
    for names in (("alpha", "beta"), ("beta", "alpha")):
        _, _, measured = judged(dict(zip(names, (one, two), strict=True)) | rest, split, names)
        table = findings(measured.measures, checks.check_split(split))
        texts.append([each.sentence for each in measured.measures] + table["measured here"].tolist())
    exchange = {"alpha": "beta", "beta": "alpha"}
    swapped = [re.sub("alpha|beta", lambda match: exchange[match[0]], text) for text in texts[1]]
    assert texts[0] == swapped and texts[0] != texts[1]


def test_the_sixteen_findings_say_something_each():
    split = world(4)
    _, _, measured = judged(scorers_of(split, "popularity", "als"), split, ["als"])
    checks = checks.check_split(split) + checks.check_candidates(np.zeros((5, 21)), np.zeros((5, 21)))
    table = findings(measured.measures, checks)
    assert table.shape == (16, 3) and list(table.index) == list(range(1, 17)) and (table != "").all(axis=None)
    assert table["measured here"][6] == "Checked: no candidates change between epochs; 0 found."
    impossible = table.index[table["measured here"] == "impossible here"]
    assert list(impossible) == [3, 7, 9, 10, 16]  # three of them only where no model is checked
    assert table["measured here"][13] == "25.0 % of the 8,000 rows that arrived were left out as skips."


def test_figures_draw_a_line_a_model():
    split = world(5)
    _, _, measured = judged(scorers_of(split, "popularity", "als"), split)
    ax = figures.accuracy_by_negatives(measured.sweep)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.split(":")[0] for label in labels] == ["als", "popularity", "chance"] and ax.get_xscale() == "log"
    exposed = figures.exposure_by_decile(measured.exposure)
    assert len(exposed.lines) == 2 and len(exposed.patches) == 10
