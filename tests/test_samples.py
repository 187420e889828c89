"""Samples of users: what they keep, that they are drawn at random, and where a report says so."""

import dataclasses

import numpy as np
import pytest
from test_evaluate import random_split

from recsys.audit.warnings import find_alike_histories
from recsys.data.samples import sample_test_users, sample_users
from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import evaluate
from recsys.models import baselines
from recsys.reports import narrative, tables
from recsys.reports.summary import flow


def pairs(rows) -> set[tuple[int, int]]:
    return set(zip(rows.user.tolist(), rows.item.tolist(), strict=True))


def raw_rows(split: Split, part: str) -> list[tuple]:
    """Return the rows of a part with raw ids in place of codes, and what orders them, sorted."""
    rows = getattr(split, part)
    users, songs = split.users["user_id"].to_numpy()[rows.user], split.items["item_id"].to_numpy()[rows.item]
    return sorted(zip(users, songs, *([rows.order] if rows.order is not None else []), strict=True))


def test_a_sample_of_test_keeps_all_rows_of_its_users_and_nothing_else():
    split = random_split(3, n_users=50)
    users = np.unique(split.test.user)
    sample = sample_test_users(split, 7, seed=1)
    drawn = np.unique(sample.test.user)
    assert len(drawn) == 7 and pairs(sample.test) == {pair for pair in pairs(split.test) if pair[0] in drawn}
    assert sample.manifest["test_sample"] == {"users": len(users), "rows": len(split.test)}
    assert sample.train is split.train and sample.validation is split.validation
    assert sample_test_users(split, len(users)) is split  # nothing to leave out, nothing to say
    assert (
        pairs(sample_test_users(split, 7, seed=1).test) == pairs(sample.test) != pairs(sample_test_users(split, 7).test)
    )


def test_the_figures_of_a_sample_are_those_of_its_users_in_the_whole():
    split = random_split(3, n_users=60)
    sample = sample_test_users(split, 20)
    scorers = {name: baselines.fit(name, split).scorer for name in ("popularity", "itemknn")}
    whole, some = evaluate(scorers, split, (20,)), evaluate(scorers, sample, (20,))
    for name, frame in some.per_user.items():
        assert 0 < len(frame) <= 20
        assert frame.equals(whole.per_user[name].loc[frame.index])


def test_every_user_of_test_is_drawn_equally_often():
    split, n = random_split(3, n_users=30), 400
    users = np.unique(split.test.user)
    drawn = np.concatenate([np.unique(sample_test_users(split, 6, seed).test.user) for seed in range(n)])
    expected = n * 6 / len(users)
    counts = np.bincount(drawn, minlength=split.n_users_all)[users]
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_sample_of_users_keeps_their_rows_under_codes_of_its_own(ordered):
    split = random_split(4, n_users=80)
    if ordered:
        rng = np.random.default_rng(0)
        timed = {
            part: dataclasses.replace(rows, timestamp=rng.integers(0, 10**6, len(rows)).astype("datetime64[s]"))
            for part, rows in ((part, getattr(split, part)) for part in PARTS)
        }
        split = dataclasses.replace(split, **timed)
    sample = sample_users(split, len(split.train) // 4)
    ids = set(sample.users["user_id"])
    assert 0 < len(sample.train) <= len(split.train) // 4 and 1 < len(ids) < split.n_users
    for part in ("train", "validation"):
        assert raw_rows(sample, part) == [row for row in raw_rows(split, part) if row[0] in ids]
    assert not len(sample.test) and sample.n_users == len(ids) == sample.n_users_all
    heaviest = np.bincount(split.train.user).max()
    assert sample.train.user.size + heaviest > len(split.train) // 4  # as many users as fit


def test_a_sample_has_a_user_however_few_rows_are_allowed():
    assert sample_users(random_split(4, n_users=80), 1).n_users == 1


def test_trials_of_large_data_are_made_on_a_sample(monkeypatch):
    split = random_split(5, n_users=120)
    whole = baselines.fit("itemknn", split)
    assert whole.trial_users == split.n_users and whole.validation == max(value for _, value in whole.trials)
    monkeypatch.setattr(baselines, "TRIAL_ROWS", len(split.train) // 3)
    some = baselines.fit("itemknn", split)
    assert 0 < some.trial_users < split.n_users and len(some.trials) == len(whole.trials)
    # judged on all users where it is compared with other models, and fitted on all of their rows
    assert some.validation == dict((str(each), value) for each, value in whole.trials)[str(some.settings)]
    again = baselines.BASELINES["itemknn"][0](split, ("train", "validation"), 0, **some.settings)
    assert (some.scorer.songs != again.songs).nnz == 0
    assert baselines.fit("popularity", split).trial_users == split.n_users  # nothing to choose: no sample
    shown = tables.trials_table({"itemknn": some}, {}, split.n_users).data
    assert f"on train of {some.trial_users:,} listeners, drawn at random;" in shown
    assert "drawn at random" not in tables.trials_table({"itemknn": whole}, {}, split.n_users).data


def test_the_pages_say_that_test_is_a_sample():
    split = random_split(3, n_users=60)
    sample = sample_test_users(split, 20)
    scorers = {"popularity": baselines.fit("popularity", split).scorer}
    some, whole = evaluate(scorers, sample, (20,)), evaluate(scorers, split, (20,))
    n = len(np.unique(split.test.user))
    sentence = f"All figures on test are of 20 listeners, drawn at random from the {n} of test."
    assert any(each.startswith(sentence) for each in narrative.lead_sentences(some))
    assert narrative.sample_sentences(whole) == []
    assert narrative.account_sentence(sample).startswith(
        f"Of {len(sample.test):,} test listens of the listeners drawn, "
    )
    assert flow(sample) == flow(split)  # what the split has, whoever is evaluated


def test_alike_histories_are_found_where_test_is_a_sample():
    rng = np.random.default_rng(0)
    train = [(user, song) for user in range(30) for song in rng.choice(400, 60, replace=False)]
    train += [(30, song) for user, song in train if user == 4]  # a second id of user 4
    test = [(user, song) for user in range(31) for song in range(390, 400)]
    split = Split.from_arrays(train + [(0, song) for song in range(400)], [(1, 0)], test)
    assert set(find_alike_histories(split)) == {4, 30}
    for seed in range(10):
        assert set(find_alike_histories(sample_test_users(split, 5, seed))) == {4, 30}
