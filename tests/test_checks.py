"""Every check finds its own planted fault, however small, and passes on clean work."""

import dataclasses
import re
from pathlib import Path

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


def test_a_song_that_was_played_twice_on_a_day_is_no_leak_where_only_days_are_known(tmp_path):
    """The cut between validation and test may fall between two listens that look alike."""
    days = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")
    rows = [(f"u{user}", f"s{(7 * user + n // 2) % 40}", days[2 * (n // 4)]) for user in range(30) for n in range(60)]
    path = tmp_path / "log.csv"
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_csv(path, index=False)
    for on_leak in ("stop", "drop"):
        made = prepare("csv", path, root=tmp_path, split="by-user-last", test_fraction=0.05, on_leak=on_leak)
        split = Split.load(made.folder)
        both = [set(zip(part.user, part.item, part.timestamp, strict=True)) for part in (split.validation, split.test)]
        assert both[0] & both[1] and sum(made.manifest["parts"].values()) == len(rows)
        assert not failed(checks.check_split(split))


def leaking_folder(folder: Path, n_leaks: int = 4) -> dict[str, set[tuple[int, int]]]:
    """Write a lightgcn folder of 40 users and 50 songs, and return its pairs by file; some are in both files."""
    rng, pairs = np.random.default_rng(0), {"train": set(), "test": set()}
    for user in range(40):
        for place, item in enumerate(rng.permutation(50)[:20].tolist()):
            pairs["train" if place < 15 else "test"].add((user, item))
    pairs["test"] |= {sorted(pairs["train"])[number] for number in 100 * np.arange(1, n_leaks + 1)}
    for name, each in pairs.items():
        lines = [" ".join(map(str, [user, *sorted(item for one, item in each if one == user)])) for user in range(40)]
        (folder / f"{name}.txt").write_text("\n".join(lines))
    return pairs


def raw(split: Split, *parts: str) -> set[tuple[int, int]]:
    rows = split.warm(*parts)  # there are no cold users or songs
    users, items = split.users["user_id"].iloc[rows.user], split.items["item_id"].iloc[rows.item]
    return set(zip(users, items, strict=True))


def test_four_pairs_in_both_files_stop_a_run_or_are_dropped_or_are_reported(tmp_path, capsys):
    pairs = leaking_folder(tmp_path)
    made = {how: prepare("lightgcn", tmp_path, root=tmp_path, on_leak=how) for how in ("stop", "drop", "report")}
    split = {how: Split.load(each.folder) for how, each in made.items()}
    for how in ("stop", "report"):
        assert (raw(split[how], "train", "validation"), raw(split[how], "test")) == (pairs["train"], pairs["test"])
        (check,) = failed_checks(split[how])
        assert (check.name, check.count) == ("no event is in two parts", 4)
        user, item, part = re.fullmatch(r"user (\d+), song (\d+), part (\w+)", check.example).groups()
        codes = split[how].users["user_id"][int(user)], split[how].items["item_id"][int(item)]
        assert codes in pairs["train"] & pairs["test"] and part == "test"
    with pytest.raises(checks.AuditError, match=r"4 violations .*such as user .*ON_LEAK=drop(.|\n)*ON_LEAK=report"):
        checks.require_clean(split["stop"], checks.check_split(split["stop"]))
    checks.require_clean(split["report"], checks.check_split(split["report"]))
    assert "1 failed" in (told := capsys.readouterr().out) and "not to be trusted" in told
    assert not failed_checks(split["drop"])
    assert (raw(split["drop"], "train", "validation"), raw(split["drop"], "test")) == (
        pairs["train"], pairs["test"] - pairs["train"],
    )  # fmt: skip
    steps = {step["step"]: step for step in made["drop"].manifest["steps"]}
    assert steps["leaks"]["dropped"] == {"in an earlier part too": 4}
    assert steps["leaks"]["rows_out"] == steps["read"]["rows_in"] - 4 == sum(made["drop"].manifest["parts"].values())
    (warning,) = made["drop"].manifest["warnings"]
    assert warning["count"] == 4 and "ON_LEAK=drop" in warning["sentence"]


def test_where_pairs_repeat_without_times_none_is_dropped(tmp_path):
    pairs = leaking_folder(tmp_path)
    with open(tmp_path / "train.txt", "a") as file:
        file.write("\n{} {}".format(*sorted(pairs["train"])[0]))
    made = prepare("lightgcn", tmp_path, root=tmp_path, on_leak="drop")
    assert sum(made.manifest["parts"].values()) == sum(map(len, pairs.values())) + 1
    assert not failed_checks(Split.load(made.folder))


def test_the_same_listen_in_two_files_is_dropped_but_a_repeat_stays(tmp_path):
    rng = np.random.default_rng(0)
    log = pd.DataFrame({"user_id": rng.integers(0, 20, 900), "media_id": rng.integers(0, 40, 900)})
    log["ts_listen"] = 1_400_000_000 + 3600 * np.arange(900)
    parts = [log[:700], log[700:800], log[800:]]
    leaks = [log[:3], log[[number in (5, 700) for number in log.index]]]  # 3 of train; one of train, one of validation
    again = log[10:15].assign(ts_listen=log["ts_listen"].max() + 1)
    parts[1], parts[2] = pd.concat([parts[1], leaks[0]]), pd.concat([parts[2], leaks[1], again])
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        part.to_csv(tmp_path / f"{name}_dataset.csv", index=False)
    made = {how: prepare("deezer-splits", tmp_path, root=tmp_path, on_leak=how) for how in ("stop", "drop")}
    (check,) = failed_checks(Split.load(made["stop"].folder))
    assert check.count == 5 and not failed_checks(Split.load(made["drop"].folder))
    assert made["drop"].manifest["parts"] == {"train": 700, "validation": 100, "test": 105}


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
    checks.require_clean(clean.split, list(clean.checks().values()))
    broken = faults.query_in_neighbours(clean, 0.1, np.random.default_rng(0))
    with pytest.raises(checks.AuditError) as error:
        checks.require_clean(broken.split, list(broken.checks().values()))
    first, line, last = str(error.value).splitlines()
    song = np.flatnonzero((broken.neighbours == np.arange(200)[:, None]).any(axis=1))[0]
    assert first == "expected all 12 checks to pass; 1 failed"
    found = f"20 violations (10.00 %), such as song {song}"
    assert line.startswith(f"- “no song is its own neighbour” has {found}. Meaning: it takes a place")
    assert line.endswith("Remedy: remove it before taking the best songs.")
    assert last.startswith("To go on all the same, prepare the data with ON_LEAK=report")


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
