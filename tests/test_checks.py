"""The audit: every check finds its own planted fault, however small, and is silent on clean work."""

import dataclasses
import re

import faults
import numpy as np
import pandas as pd
import pytest

from recsys.audit import checks
from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.models import baselines
from recsys.models.embeddings import Embeddings
from recsys.runs import project_root
from recsys.training import sampled_softmax, trainer

LISTENING = project_root().parent / "shared" / "data" / "30music" / "sessions.parquet"


def failed(checks):
    return {check.name for check in checks if not check.passed}


def test_the_matrix_of_checks_and_faults():
    table = faults.matrix()
    printed = faults.markdown(table)
    print("\n" + printed)
    page = (project_root() / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert page.split(faults.BEGIN)[1].split(faults.END)[0].strip() == printed, "the page has another"
    assert list(table.index) == list(faults.FAULTS) and set(table.index) == set(checks.CLAIMS)
    assert set(table["none"]) == {"0"}
    for own, fault in faults.FAULTS.items():
        assert re.fullmatch(r"[1-9]\d* [1-9]\d* [1-9]\d*", table[fault.__name__][own]), (own, fault)
        others = set(table.index[table[fault.__name__] != ""]) - {own}
        late_in_train = {"no listen is later than what follows it"} if fault is faults.event_twice else set()
        assert others == late_in_train, fault


@pytest.mark.parametrize("how", ["by-time", "by-user-last", "random"])
def test_silent_on_clean_work_over_20_seeds(how):
    for seed in range(20):
        work = faults.work_on(faults.cut(faults.listening(seed), how, seed), seed)
        assert not failed(work.checks().values()), seed


def test_silent_on_the_sample(tmp_path):
    split = Split.load(prepare("sample", root=tmp_path).folder)
    assert not failed(checks.check_split(split))


def test_a_repeat_is_no_leak_and_neither_is_a_tie_at_the_cut():
    log = faults.listening(1)
    again = log.assign(timestamp=log["timestamp"] + np.timedelta64(6, "h"))
    assert not failed(checks.check_split(faults.cut(pd.concat([log, again], ignore_index=True))))
    split = faults.cut(log)
    level = split.train.timestamp.copy()
    level[:50] = split.validation.timestamp.min()
    level = dataclasses.replace(split, train=dataclasses.replace(split.train, timestamp=level))
    assert not failed([check for check in checks.check_split(level) if "later" in check.name])


def test_one_early_row_of_test_is_one_fault_not_all_of_train():
    split = faults.cut(faults.listening(2))
    early = split.test.timestamp.copy()
    early[0] = split.train.timestamp.min() - np.timedelta64(1, "D")
    (check,) = failed_checks(dataclasses.replace(split, test=dataclasses.replace(split.test, timestamp=early)))
    assert (check.name, check.count) == ("no listen is later than what follows it", 1)


def failed_checks(split):
    return [check for check in checks.check_split(split) if not check.passed]


def test_each_users_own_order_where_the_split_claims_it():
    split = faults.cut(faults.listening(3), "by-user-last")
    late = split.train.timestamp.copy()
    own = np.flatnonzero(split.train.user == split.test.user[0])
    late[own[:4]] = split.test.timestamp.max()
    (check,) = failed_checks(dataclasses.replace(split, train=dataclasses.replace(split.train, timestamp=late)))
    assert check.name == "no listen is later than what follows it" and 4 <= check.count <= 7


@pytest.mark.parametrize("share", faults.SIZES.values())
def test_without_times_a_pair_in_two_parts_is_found_where_each_pair_may_stand_once(share):
    rng = np.random.default_rng(0)
    train, validation, test = faults.frames(faults.cut(faults.listening(4), "random"))
    twice = test.iloc[faults.some(rng, len(test), share)]
    leaky = [pd.concat([train, twice]), validation, test]
    (check,) = failed_checks(faults.from_parts(leaky, "random"))
    assert (check.name, check.count) == ("no event stands in two parts", len(twice))
    repeats = [pd.concat([train, twice, train.head(1)]), validation, test]  # repeats and no times: it cannot be told
    assert not failed_checks(faults.from_parts(repeats, "random"))
    timed = faults.cut(faults.listening(4))
    first = dataclasses.replace(timed, manifest=timed.manifest | {"parameters": {"repeats": "first"}})
    assert failed(checks.check_split(first)) == {"no event stands in two parts"}  # there are repeats, after all


def test_many_may_hear_one_album_but_not_at_the_same_seconds():
    log, album = faults.listening(5), np.arange(30)
    start = log["timestamp"].min()

    def heard(user, hours, songs=album):
        times = start + pd.to_timedelta(60 * hours + 4 * np.arange(len(songs)), unit="m")
        return pd.DataFrame({"user_id": user, "item_id": log["item_id"].unique()[songs], "timestamp": times})

    album_listeners = [heard("x", 1), heard("y", 7), heard("z", 90)]
    assert not failed_checks(faults.cut(pd.concat([log, *album_listeners], ignore_index=True)))
    (check,) = failed_checks(faults.cut(pd.concat([log, *album_listeners, heard("w", 7)], ignore_index=True)))
    assert (check.name, check.count) == ("no history stands under two ids", 1)
    long = [heard(user, 0, np.arange(60)).drop(columns="timestamp") for user in "xy"]
    (check,) = failed_checks(faults.from_parts([pd.concat([log[["user_id", "item_id"]].drop_duplicates(), *long])] * 1 +
                                               [log[["user_id", "item_id"]].head(0)] * 2, "random"))
    assert (check.name, check.count) == ("no history stands under two ids", 1)


def test_failed_checks_raise_with_count_meaning_and_remedy():
    clean = faults.work_on(faults.cut(faults.listening(0)))
    checks.require_clean(clean.checks().values())
    broken = faults.query_in_neighbours(clean, 0.1, np.random.default_rng(0))
    with pytest.raises(checks.AuditError) as error:
        checks.require_clean(list(broken.checks().values()))
    (line,) = str(error.value).splitlines()[1:]
    assert line.startswith("- no song is its own neighbour: 20 against it (10.00%); ") and "exclude it" in line


def test_the_models_and_baselines_of_a_run_pass():
    split = faults.cut(faults.listening(6), "by-user-last")  # no cold user behind whom a wrapped index could hide
    fitted = {name: baselines.fit(name, split) for name in ("random", "popularity", "recent", "itemknn", "ease", "als")}
    model = Embeddings(split.users["user_id"], split.items["item_id"], 8)
    scorers = {name: each.scorer for name, each in fitted.items()} | {"author": model}
    assert not failed(checks.check_scorers(split, scorers))
    assert not failed(checks.check_baselines(split, fitted, 0))
    lists = np.stack([model.neighbours(item)[0] for item in range(split.n_items)])
    assert not failed(checks.check_neighbours(np.arange(split.n_items), lists))
    heard = np.stack([np.argsort(-model._similarities(item, "dot").numpy())[:10] for item in range(split.n_items)])
    assert failed(checks.check_neighbours(np.arange(split.n_items), heard))  # the author's lists hold the query


def test_an_untouched_model_is_judged_alike_in_every_epoch():
    split = faults.cut(faults.listening(7))
    recipe = trainer.RECIPES["author"].override(batch_size=256)
    model = Embeddings(split.users["user_id"], split.items["item_id"], recipe.dim)
    loop = sampled_softmax.SampledLoop(model, split, recipe, xla=True)
    assert loop.judge() == loop.judge()


@pytest.mark.real
@pytest.mark.parametrize("how", ["by-time", "by-user-last"])
def test_silent_on_real_listening(how, tmp_path):
    if not LISTENING.exists():
        pytest.skip(f"{LISTENING.name} of 30Music is not there")
    assert not failed(checks.check_split(Split.load(prepare("30music", LISTENING, root=tmp_path, split=how).folder)))
