"""What is odd is counted and told on the first page, with what it moves; it stops nothing."""

import dataclasses

import faults
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from recsys.audit import checks, warnings
from recsys.data.prepare import prepare
from recsys.evaluation.evaluate import evaluate
from recsys.models.baselines import scorers
from recsys.reports import narrative, tables


def log_with_copies(share: float, seed: int = 0) -> tuple[pd.DataFrame, set[str]]:
    """Return a log with some users a second time, with one listen in 20 missing, and the ids of both of each pair."""
    log, rng = faults.listening(seed), np.random.default_rng(seed)
    long = log.drop_duplicates().groupby("user_id").size()
    long = long[long >= 25].index.to_numpy()
    chosen = long[faults.some(rng, len(long), share)]
    again = log[log["user_id"].isin(chosen)]
    again = again[again.groupby("user_id").cumcount() % 20 != 7]
    copies = again.assign(user_id=again["user_id"] + "-b")
    return pd.concat([log, copies], ignore_index=True), {*chosen, *copies["user_id"]}


def found_in(split) -> set[str]:
    return set(split.users["user_id"].iloc[warnings.find_alike_histories(split)])


@pytest.mark.parametrize("share", faults.SIZES)
def test_both_users_of_each_planted_pair_are_found_and_no_check_fails(share):
    log, planted = log_with_copies(share)
    split = faults.cut(log)
    assert found_in(split) == planted
    assert all(check.passed for check in checks.check_split(split))


@pytest.mark.parametrize("how", ["by-time", "by-user-last", "random"])
def test_clean_logs_have_no_alike_histories(how):
    for seed in range(20):
        assert not found_in(faults.cut(faults.listening(seed), how, seed)), seed


def test_many_users_may_play_one_album_but_not_at_the_same_seconds():
    log = faults.listening(5)
    start = log["timestamp"].min()

    def played(user, hours, songs=30):
        times = start + pd.to_timedelta(60 * hours + 4 * np.arange(songs), unit="m")
        return pd.DataFrame({"user_id": user, "item_id": log["item_id"].unique()[:songs], "timestamp": times})

    album_listeners = [played("x", 1), played("y", 7), played("z", 90)]
    assert not found_in(faults.cut(pd.concat([log, *album_listeners], ignore_index=True)))
    again = pd.concat([log, *album_listeners, played("w", 7)], ignore_index=True)
    assert found_in(faults.cut(again)) == {"w", "y"}
    long = [played(user, 0, 60).drop(columns="timestamp") for user in "xy"]
    nothing = log[["user_id", "item_id"]].head(0)
    train = pd.concat([log[["user_id", "item_id"]].drop_duplicates(), *long])
    assert found_in(faults.from_parts([train, nothing, nothing], "random")) == {"x", "y"}


def test_the_figure_without_these_users_is_that_of_the_others():
    log, planted = log_with_copies(0.1)
    split = faults.cut(log)
    evaluation = evaluate({"random": scorers.RandomOrder(split.n_items_all, 0)}, split)
    alike = warnings.measure_alike_histories(evaluation)
    values = evaluation.per_user["random"]["ndcg@20"]
    others = values[~split.users["user_id"].iloc[values.index].isin(planted).to_numpy()]
    assert (alike.n_users, alike.n_evaluated, alike.model) == (len(planted), len(values) - len(others), "random")
    assert alike.n_evaluated and (alike.value, alike.without) == (values.mean(), others.mean())


def test_the_sentences_have_the_counts_and_all_are_on_the_first_page():
    alike = warnings.AlikeHistories(4, 3, "ease", 0.25, 0.125)
    manifest = {"warnings": [{"sentence": f"Lines with fault {n}", "count": 1000 * n} for n in range(1, 5)]}
    told = narrative.warning_sentences(manifest, alike)
    assert told[0].startswith("Odd: 4 listeners have almost the same history as another listener, which")
    assert told[0].endswith("the 3 of them that are evaluated, the NDCG@20 of EASE is 0.1250 instead of 0.2500.")
    assert told[1:] == [f"Odd: {n},000 lines with fault {n}." for n in range(1, 5)]
    assert narrative.warning_sentences({}) == narrative.warning_sentences({"warnings": []}) == []
    nobody = dataclasses.replace(alike, n_users=0)
    assert narrative.warning_sentences({}, nobody) == []
    unscored = dataclasses.replace(alike, n_evaluated=0)
    assert narrative.warning_sentences({}, unscored)[0].endswith("listener. None of them is evaluated.")
    only_they = dataclasses.replace(alike, without=float("nan"))
    assert "is not defined instead of 0.2500" in narrative.warning_sentences({}, only_they)[0]


def log_of(n_users: int, days: int, n: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Return listens of users who listen at any time of some days."""
    rng = np.random.default_rng(seed)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 86_400 * days, n)), "s")
    rows = {"user_id": rng.integers(0, n_users, n), "item_id": rng.integers(0, 50, n), "timestamp": times}
    return pd.DataFrame(rows)


def warned(root, log: pd.DataFrame, start: str, **parameters) -> list[dict]:
    """Prepare a log and return the warnings that begin so."""
    log.to_csv(root / "log.csv", index=False)
    manifest = prepare("csv", root / "log.csv", root=root, **parameters).manifest
    return [each for each in manifest["warnings"] if each["sentence"].startswith(start)]


GAP, HEAVY, ALIKE = "Listens after a gap of", "Listens by", "Songs that have the same artist"


@pytest.mark.parametrize("n_late", [5, 100, 390])
def test_listens_after_an_unusual_gap_at_the_end_are_told(tmp_path, n_late):
    log = log_of(100, 40)
    log.loc[log.index[-n_late:], "timestamp"] += pd.Timedelta(90, "D")
    (warning,) = warned(tmp_path, log, GAP)
    assert warning["count"] == n_late
    assert warning["sentence"].startswith("Listens after a gap of 90 days near the end of the log")


def test_what_is_usual_in_a_log_is_no_gap(tmp_path):
    for seed in range(3):
        assert not warned(tmp_path, log_of(100, 40, seed=seed), GAP), seed
    long_ago = log_of(100, 40)
    long_ago.loc[long_ago.index[-2000:], "timestamp"] += pd.Timedelta(90, "D")  # test has one period only
    assert not warned(tmp_path, long_ago, GAP)
    weekly = log_of(3, 100)
    weekly["timestamp"] = weekly["timestamp"].dt.floor("10D") + pd.to_timedelta(np.arange(len(weekly)) % 3600, "s")
    assert not warned(tmp_path, weekly, GAP)
    assert not warned(tmp_path, weekly.assign(timestamp=weekly["timestamp"].dt.date), GAP)
    assert not warned(tmp_path, weekly.head(900), GAP, split="random")


@pytest.mark.parametrize(("n_heavy", "told"), [
    (0, None), (100, None), (480, "Listens by one user of 100. The most active has 12 % of all listens")])  # fmt: skip
def test_one_user_with_a_large_part_of_all_listens_is_told(tmp_path, n_heavy, told):
    log = log_of(99, 40)
    log.loc[log.index[7 : 7 + n_heavy], "user_id"] = 999
    log.loc[0, "user_id"] = 999
    found = warned(tmp_path, log, HEAVY)
    assert [each["sentence"] for each in found] == ([told] if told else [])
    assert not told or found[0]["count"] == n_heavy + 1


def test_equal_users_are_not_heavy_however_few_they_are(tmp_path):
    log = log_of(6, 40)
    assert not warned(tmp_path, log, HEAVY)
    log.loc[log.index % 7 > 0, "user_id"] = 0  # six in seven of all listens
    (warning,) = warned(tmp_path, log, HEAVY)
    assert warning["sentence"].startswith("Listens by one user of 6. The most active has ")


def test_songs_under_two_ids_are_told_if_artist_and_title_are_known(tmp_path):
    log = log_of(50, 40)
    named = log.assign(name="Song " + log["item_id"].astype(str), artist="A " + (log["item_id"] // 5).astype(str))
    assert not warned(tmp_path, named, ALIKE)
    twice = {11: ("", ""), 12: (" ", ""), 3: ("Ötzi", "The Band"), 7: ("o\u0308tzi ", "the band"), 9: ("Ötzi", "B")}
    for item, (name, artist) in twice.items():
        named.loc[named["item_id"] == item, ["name", "artist"]] = name, artist
    (warning,) = warned(tmp_path, named, ALIKE)
    assert warning["count"] == 2
    assert not warned(tmp_path, named.drop(columns="artist"), ALIKE)


def test_the_page_of_01_has_every_decision_and_every_warning():
    manifest = {"decisions": ["Found <b>."], "warnings": [{"sentence": "Odd lines", "count": 1234}]}
    shown = tables.reading_table(manifest).data
    assert "Found &lt;b&gt;." in shown and "Odd lines." in shown and "1,234" in shown and "Nothing" not in shown
    assert "Nothing had to be decided" in tables.reading_table({}).data


def test_a_name_in_a_warning_is_no_markup_in_a_list():
    column = "</li> <b>*a* _b_ `c`\n# d\n$x$ [e](http://host.example/) | ~~f~~ ![g](h.png) &lt; \\*"
    manifest = {"warnings": [{"sentence": f"Values of the column {column}", "count": 2}]}
    list_of_one = narrative.bullets(narrative.warning_sentences(manifest), "A *headline*")
    page = BeautifulSoup(markdown2html(list_of_one), "html.parser")
    assert not page.find_all(["b", "em", "code", "a", "img", "h1", "del", "table"]) and len(page.find_all("li")) == 1
    assert page.li.get_text() == f"Odd: 2 values of the column {' '.join(column.split())}."
    assert page.strong.get_text() == "A *headline*"
