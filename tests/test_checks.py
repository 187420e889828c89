"""Every check finds its own planted fault, however small, and passes on clean work."""

import dataclasses
import re

import faults
import numpy as np
import pandas as pd
import pytest

from recsys.audit import checks
from recsys.audit.warnings import find_alike_histories
from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.models import baselines
from recsys.models.embeddings import Embeddings
from recsys.models.neighbours import nearest, unit_vectors
from recsys.runs import project_root
from recsys.training import trainer
from recsys.training.recipes import RECIPES

ORDER = "each part ends before the next begins"
LISTENING = project_root().parent / "shared" / "data" / "30music" / "sessions.parquet"


def failed(checks):
    return {check.name for check in checks if not check.passed}


def test_the_matrix_of_checks_and_faults():
    table = faults.matrix()
    printed = faults.markdown(table)
    print("\n" + printed)
    page = (project_root() / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert page.split(faults.BEGIN)[1].split(faults.END)[0].strip() == printed, "docs/evaluation.md is out of date"
    assert list(table.index) == list(faults.FAULTS) and set(table.index) == set(checks.CLAIMS)
    assert set(table["none"]) == {"0"}
    for own, fault in faults.FAULTS.items():
        assert re.fullmatch(r"[1-9]\d* [1-9]\d* [1-9]\d*", table[fault.__name__][own]), (own, fault)
        others = set(table.index[table[fault.__name__] != ""]) - {own}
        late_in_train = {ORDER} if fault is faults.event_twice else set()
        assert others == late_in_train, fault


@pytest.mark.parametrize("how", ["by-time", "by-user-last", "random"])
def test_clean_work_passes_with_20_seeds(how):
    for seed in range(20):
        work = faults.work_on(faults.cut(faults.listening(seed), how, seed), seed)
        assert not failed(work.checks().values()), seed


def test_the_sample_passes(tmp_path):
    split = Split.load(prepare("sample", root=tmp_path).folder)
    assert not failed(checks.check_split(split))


def test_repeats_are_no_leak_and_equal_times_at_the_cut_are_allowed():
    log = faults.listening(1)
    again = log.assign(timestamp=log["timestamp"] + np.timedelta64(6, "h"))
    assert not failed(checks.check_split(faults.cut(pd.concat([log, again], ignore_index=True))))
    split = faults.cut(log)
    level = split.train.timestamp.copy()
    level[:50] = split.validation.timestamp.min()
    level = dataclasses.replace(split, train=dataclasses.replace(split.train, timestamp=level))
    assert not failed([check for check in checks.check_split(level) if check.name == ORDER])


def test_one_early_test_row_is_one_violation_not_as_many_as_train_has_rows():
    split = faults.cut(faults.listening(2))
    early = split.test.timestamp.copy()
    early[0] = split.train.timestamp.min() - np.timedelta64(1, "D")
    (check,) = failed_checks(dataclasses.replace(split, test=dataclasses.replace(split.test, timestamp=early)))
    assert (check.name, check.count) == (ORDER, 1)


def failed_checks(split):
    return [check for check in checks.check_split(split) if not check.passed]


def test_order_is_checked_by_user_for_a_split_by_user():
    split = faults.cut(faults.listening(3), "by-user-last")
    late = split.train.timestamp.copy()
    own = np.flatnonzero(split.train.user == split.test.user[0])
    late[own[:4]] = split.test.timestamp.max()
    (check,) = failed_checks(dataclasses.replace(split, train=dataclasses.replace(split.train, timestamp=late)))
    assert check.name == ORDER and 4 <= check.count <= 7


@pytest.mark.parametrize("share", faults.SIZES)
def test_without_times_a_pair_in_two_parts_is_found_if_each_pair_may_occur_once(share):
    rng = np.random.default_rng(0)
    train, validation, test = faults.frames(faults.cut(faults.listening(4), "random"))
    twice = test.iloc[faults.some(rng, len(test), share)]
    leaky = [pd.concat([train, twice]), validation, test]
    (check,) = failed_checks(faults.from_parts(leaky, "random"))
    assert (check.name, check.count) == ("no event is in two parts", len(twice))
    # with repeats, and without times, the same listen cannot be identified
    repeats = [pd.concat([train, twice, train.head(1)]), validation, test]
    assert not failed_checks(faults.from_parts(repeats, "random"))
    timed = faults.cut(faults.listening(4))
    first = dataclasses.replace(timed, manifest=timed.manifest | {"parameters": {"repeats": "first"}})
    assert failed(checks.check_split(first)) == {"no event is in two parts"}  # these data do have repeats


def test_the_error_names_each_failed_check_with_count_meaning_and_remedy():
    clean = faults.work_on(faults.cut(faults.listening(0)))
    checks.require_clean(clean.checks().values())
    broken = faults.query_in_neighbours(clean, 0.1, np.random.default_rng(0))
    with pytest.raises(checks.AuditError) as error:
        checks.require_clean(list(broken.checks().values()))
    (line,) = str(error.value).splitlines()[1:]
    assert line.startswith("- no song is its own neighbour: 20 violations (10.00%). Meaning: it takes a place")
    assert line.endswith("Remedy: remove it before taking the best songs.")


def test_the_models_and_baselines_of_a_run_pass():
    split = faults.cut(faults.listening(6), "by-user-last")  # no cold users, who could hide a wrapped index
    fitted = {name: baselines.fit(name, split) for name in ("random", "popularity", "recent", "itemknn", "ease", "als")}
    model = Embeddings(split.users["user_id"], split.items["item_id"], 8)
    scorers = {name: each.scorer for name, each in fitted.items()} | {"author": model}
    assert not failed(checks.check_scorers(split, scorers))
    assert not failed(checks.check_baselines(split, fitted, 0))
    songs, vectors = np.arange(split.n_items), model.item_embeddings.numpy()
    assert not failed(checks.check_neighbours(songs, nearest(unit_vectors(vectors), songs, 10)[0]))
    by_dot = np.argsort(-(vectors @ vectors.T), axis=1)[: split.n_items, :10]
    assert failed(checks.check_neighbours(songs, by_dot))  # here lists contain the query


def test_an_unchanged_model_has_the_same_validation_in_every_epoch():
    loop = trainer.make_loop(faults.cut(faults.listening(7)), RECIPES["author"].override(batch_size=256), xla=True)
    loop.epoch, loop.step = 0, 0
    first = loop.evaluate()
    loop.epoch, loop.step = 3, 5
    assert loop.evaluate() == first


@pytest.mark.real
@pytest.mark.parametrize("how", ["by-time", "by-user-last"])
def test_real_listening_passes(how, tmp_path):
    if not LISTENING.exists():
        pytest.skip(f"{LISTENING.name} of 30Music is missing")
    split = Split.load(prepare("30music", LISTENING, root=tmp_path, split=how).folder)
    assert not failed(checks.check_split(split)) and not len(find_alike_histories(split))
