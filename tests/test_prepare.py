"""The prepared folder agrees with a slow reference, accounts for every row, and is either complete or absent."""

import csv
import hashlib
import random
import subprocess
import sys
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from recsys.data import prepare as prepare_module
from recsys.data.prepare import NOT_PREPARING, PARTS, prepare
from recsys.data.readers.files import DataError
from recsys.data.split import Split
from recsys.files import read_json
from recsys.reports.narrative import data_sentences
from recsys.runs import project_root

REAL = project_root().parent / "shared" / "data"
REAL_FILES = {
    "30music": REAL / "30music" / "sessions.parquet",
    "lastfm": REAL / "lastfm",
    "lightgcn": REAL / "ml-1m-ultragcn",
}
USERS = ["007", "7", "7.0", "1e3", "é", " x", 'q"q', "a,b", "line\nbreak", "9223372036854775808"]
START = 1_400_000_000  # unix seconds
ITEMS = ["1", "01", "2", "10", "<b>", "9007199254740993", "-3", "z"]


def write_csv(path: Path, rows: list[tuple], header=("user_id", "item_id", "timestamp", "listened")) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def raw_rows(split: Split, part: str) -> Counter:
    """Return the part's rows as raw (user, item, seconds), however often each occurs."""
    rows = getattr(split, part)
    times = [None] * len(rows)
    if rows.timestamp is not None:
        times = rows.timestamp.astype("datetime64[s]").astype(int).tolist()
    users, items = split.users["user_id"].to_numpy()[rows.user], split.items["item_id"].to_numpy()[rows.item]
    return Counter(zip(users, items, times, strict=True))


def leftovers(root: Path) -> list[Path]:
    return list((root / "data" / "prepared").iterdir())


def reference(rows, split, validation, test, positives, events, repeats, user_fraction, min_user, min_item, seed):
    """Return the three parts as lists of (user, item, time), and the number of rows after each step. Slow and plain."""

    def digest(*values):
        return hashlib.md5(":".join(map(str, (seed, *values))).encode()).hexdigest()

    def below(share):
        return format(int(share * 16**8), "08x")

    left = [len(rows)]
    rows = [row[:3] for row in rows if row[3] or positives == "all"]
    left.append(len(rows))
    if events == "drop" and len(set(rows)) < len(rows):
        rows = list(set(rows))
        left.append(len(rows))
    if user_fraction < 1:
        rows = [row for row in rows if digest(row[0]) < below(user_fraction)]
    left.append(len(rows))
    if repeats == "first":
        first = {}
        for row in sorted(rows, key=lambda row: row[2]):
            first.setdefault(row[:2], row)
        rows = list(first.values())
    left.append(len(rows))
    changed = True
    while changed:
        before = len(rows)
        for column, least in ((0, min_user), (1, min_item)):
            often = Counter(row[column] for row in rows)
            rows = [row for row in rows if often[row[column]] >= least]
        changed = len(rows) != before
    left.append(len(rows))
    parts = {part: [] for part in PARTS}
    times = sorted(row[2] for row in rows)
    hashes = {row: digest(row[0], row[1], row[2] * 1_000_000) for row in rows}
    for row in rows:
        if split == "by-time":
            late = [row[2] >= next(t for t in times if sum(u <= t for u in times) > len(rows) * (1 - share))
                    for share in (validation + test, test)]  # fmt: skip
            part = PARTS[sum(late)]
        elif split == "by-user-last":
            own = sorted((r for r in rows if r[0] == row[0]), key=lambda r: (r[2], hashes[r]), reverse=True)
            end, middle = (max(1, int(len(own) * share + 0.5)) for share in (test, validation))
            later = own.index(row) + sum(r == row for part in PARTS for r in parts[part])
            part = "train" if len(own) < 3 or later >= end + middle else "test" if later < end else "validation"
        else:
            last = [max(h for r, h in hashes.items() if r[column] == row[column]) for column in (0, 1)]
            part = "test" if hashes[row] < below(test) else "validation"
            part = part if hashes[row] < below(test + validation) and hashes[row] not in last else "train"
        parts[part].append(row)
    return parts, left


def odd_rows(seed: int, n: int) -> list[tuple]:
    """Return listens with ids that are easily damaged, many equal times, and users and songs that come late."""
    draw = random.Random(seed)
    users, items = draw.sample(USERS, draw.randint(2, len(USERS))), draw.sample(ITEMS, draw.randint(2, len(ITEMS)))
    return [
        (users[int(draw.random() ** 2 * len(users))], items[int(draw.random() ** 3 * len(items))],
         START + draw.randrange(draw.choice([3, 10, 40])), draw.random() < 0.8)
        for _ in range(n)
    ]  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.builds(odd_rows, st.integers(0, 10**6), st.sampled_from([3, 20, 40, 50, 60, 80, 80, 100])),
    split=st.sampled_from(["by-time", "by-user-last", "random"]),
    fractions=st.sampled_from([(0.1, 0.1), (0.2, 0.3), (0.4, 0.25)]),
    positives=st.sampled_from(["listened", "all"]),
    events=st.sampled_from(["drop", "keep"]),
    repeats=st.sampled_from(["keep", "first"]),
    user_fraction=st.sampled_from([1.0, 0.7]),
    least=st.sampled_from([(1, 1), (2, 1), (1, 3), (3, 4)]),
    seed=st.integers(0, 3),
)
def test_prepare_agrees_with_the_reference(
    tmp_path_factory, rows, split, fractions, positives, events, repeats, user_fraction, least, seed
):
    root = tmp_path_factory.mktemp("reference")
    path = write_csv(root / "log.csv", [(*row[:3], int(row[3])) for row in rows])
    parts, left = reference(rows, split, *fractions, positives, events, repeats, user_fraction, *least, seed)

    def run():
        return prepare(
            "csv", path, root=root, split=split, validation_fraction=fractions[0], test_fraction=fractions[1],
            repeated_events=events,
            positives=positives, repeats=repeats, user_fraction=user_fraction, min_user_listens=least[0],
            min_item_listens=least[1], seed=seed, n_candidates=1,
        )  # fmt: skip

    event("prepared" if all(parts.values()) else "refused")
    users = {row[0] for part in parts.values() for row in part}
    if len(users) < 2 or not all(parts.values()):
        with pytest.raises(DataError):
            run()
        assert not leftovers(root)
        return
    made = run()
    split = Split.load(made.folder)
    for part in PARTS:
        assert raw_rows(split, part) == Counter(parts[part])
    steps = made.manifest["steps"]
    assert [step["rows_out"] for step in steps] == [left[0], *left[1:], left[-1]]
    assert steps[0]["rows_in"] == len(rows)
    for before, step in zip([steps[0], *steps], steps, strict=False):
        assert step["rows_in"] == before["rows_out"] == step["rows_out"] + sum(step["dropped"].values())
    for column, key in (("user_id", 0), ("item_id", 1)):
        warm = {row[key] for row in parts["train"]}
        cold = {row[key] for part in PARTS for row in parts[part]} - warm
        expected = sorted(warm, key=str.encode) + sorted(cold, key=str.encode)
        assert getattr(split, column.replace("_id", "s"))[column].tolist() == expected
    assert made.manifest["parts"] == {part: len(parts[part]) for part in PARTS}
    for part, before in (("validation", parts["train"]), ("test", parts["train"] + parts["validation"])):
        warm = [row for row in parts[part] if all(row[i] in {each[i] for each in parts["train"]} for i in (0, 1))]
        fresh = [row[:2] for row in warm if row[:2] not in {each[:2] for each in before}]
        account = split.account(part)
        cold_user = sum(row[0] not in {each[0] for each in parts["train"]} for row in parts[part])
        assert (account["rows"], account["cold_user"]) == (len(parts[part]), cold_user)
        assert account["cold_user"] + account["cold_item"] == len(parts[part]) - len(warm)
        assert (account["repeat"], account["scored"]) == (len(warm) - len(fresh), len(fresh))
        assert account["relevant"] == len(set(fresh))


@pytest.mark.parametrize("equal", [False, True])
def test_the_last_listens_are_test_and_equal_times_are_not_ordered_by_id(tmp_path, equal):
    rows = [(f"u{u}", f"s{i:02}", START + (0 if equal else i), 1) for u in range(30) for i in range(10)]
    made = prepare("csv", write_csv(tmp_path / "log.csv", rows), root=tmp_path, split="by-user-last", n_candidates=1)
    test = [item for _, item, *_ in raw_rows(Split.load(made.folder), "test")]
    assert len(test) == 30
    assert max(Counter(test).values()) < 15 if equal else test == ["s09"] * 30


def some_rows(n=400, seed=0):
    draw = random.Random(seed)
    return [(f"u{draw.randrange(30)}", f"s{int(draw.random() ** 2 * 60)}",
             START + draw.randrange(10**8), draw.random() < 0.7)
            for _ in range(n)]  # fmt: skip


@pytest.mark.parametrize("split", ["by-time", "by-user-last", "random"])
def test_the_order_of_the_rows_changes_nothing(tmp_path, split):
    rows = [(*row[:3], int(row[3])) for row in some_rows()]
    made = []
    for name in ("one", "two"):
        path = write_csv(tmp_path / f"{name}.csv", rows)
        made.append(prepare("csv", path, root=tmp_path, split=split, user_fraction=0.6, repeats="first"))
        random.Random(1).shuffle(rows)
    assert made[0].folder != made[1].folder
    assert made[0].manifest["files"] == made[1].manifest["files"]


def test_the_same_users_are_drawn_from_another_log_and_another_file_format(tmp_path):
    rows = some_rows()
    path = write_csv(tmp_path / "a.csv", [(*r[:3], 1) for r in rows])
    one = prepare("csv", path, root=str(tmp_path), user_fraction=0.5)  # a folder may be text
    frame = pd.DataFrame(rows[::2], columns=["user_id", "item_id", "timestamp", "listened"])
    frame.to_parquet(tmp_path / "b.parquet")
    two = prepare("csv", tmp_path / "b.parquet", root=tmp_path, user_fraction=0.5)
    users = [set(Split.load(each.folder).users["user_id"]) for each in (one, two)]
    assert users[0] == users[1]
    assert 5 < len(users[0]) < 25


def test_about_the_requested_share_of_users_is_drawn(tmp_path):
    rows = [(user, f"s{user % 30}", START + user, 1) for user in range(2000)]
    made = prepare("csv", write_csv(tmp_path / "a.csv", rows), root=tmp_path, user_fraction=0.25, split="by-time")
    assert 420 < made.manifest["n_users_all"] < 580


def test_the_same_input_and_parameters_reuse_the_folder(tmp_path):
    path = write_csv(tmp_path / "log.csv", [(*row[:3], 1) for row in some_rows()])
    first = prepare("csv", path, root=tmp_path)
    again = prepare("csv", path, root=tmp_path)
    assert (first.reused, again.reused) == (False, True)
    assert again.manifest == first.manifest == read_json(first.folder / "manifest.json")
    assert prepare("csv", path, root=tmp_path, seed=1).folder != first.folder
    write_csv(path, [(*row[:3], 1) for row in some_rows(401)])
    assert prepare("csv", path, root=tmp_path).folder != first.folder
    assert len(leftovers(tmp_path)) == 3


def test_a_folder_that_lost_a_file_is_made_again(tmp_path):
    path = write_csv(tmp_path / "log.csv", [(*row[:3], 1) for row in some_rows()])
    first = prepare("csv", path, root=tmp_path)
    (first.folder / "items.parquet").unlink()
    again = prepare("csv", path, root=tmp_path)
    assert (again.folder, again.reused) == (first.folder, False)
    assert again.manifest["files"] == first.manifest["files"]


def test_several_at_the_same_time_do_not_disturb_each_other(tmp_path):
    path = write_csv(tmp_path / "log.csv", [(*row[:3], 1) for row in some_rows()])
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: prepare("csv", path, root=tmp_path), range(3)))
    assert leftovers(tmp_path) == [made[0].folder]
    Split.load(made[0].folder)


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_module, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("csv", write_csv(tmp_path / "log.csv", [(*row[:3], 1) for row in some_rows()]), root=tmp_path)
    assert not leftovers(tmp_path)


def test_the_manifest_names_no_folder_of_the_machine(tmp_path):
    made = prepare("csv", write_csv(tmp_path / "log.csv", [(*row[:3], 1) for row in some_rows()]), root=tmp_path)
    assert str(tmp_path) not in (made.folder / "manifest.json").read_text()
    assert made.manifest["source"][0]["name"] == "log.csv"
    assert made.manifest["source"][0]["sha256"] == hashlib.sha256((tmp_path / "log.csv").read_bytes()).hexdigest()


def test_a_given_split_is_kept_and_drawing_validation_leaves_every_user_and_song_in_train(tmp_path):
    draw = random.Random(0)
    train = {user: draw.sample(range(40), draw.randrange(1, 12)) for user in range(60)}
    test = {user: draw.sample(range(45), 3) for user in range(60)}
    for name, part in (("train", train), ("test", test)):
        lines = [" ".join(map(str, [user, *items])) for user, items in part.items()]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    made = prepare("lightgcn", tmp_path, root=tmp_path, validation_fraction=0.3)
    split = Split.load(made.folder)
    pairs = {
        name: {(u, i) for u, items in part.items() for i in items} for name, part in (("train", train), ("test", test))
    }
    got = {part: {row[:2] for row in raw_rows(split, part)} for part in PARTS}
    assert got["test"] == pairs["test"]
    assert got["train"] | got["validation"] == pairs["train"]
    assert not got["train"] & got["validation"]
    assert split.n_users == 60
    assert split.n_items == len({item for items in train.values() for item in items})
    assert 0.15 < len(got["validation"]) / len(pairs["train"]) < 0.35


def test_the_split_of_the_three_deezer_files_is_kept(tmp_path):
    names = dict(zip(PARTS, ("train_dataset.csv", "validation_dataset.csv", "test_dataset.csv"), strict=True))
    rows = {part: [(f"0{n % 3}", n % 25 + 134_000_000_000) for n in range(start, start + 40)]
            for start, part in ((0, "train"), (5, "validation"), (9, "test"))}  # fmt: skip
    for part, name in names.items():
        write_csv(tmp_path / name, [(item, user) for user, item in rows[part]], header=("media_id", "user_id"))
    split = Split.load(prepare("deezer-splits", tmp_path, root=tmp_path).folder)
    assert split.manifest["split"] == "given"
    for part in PARTS:
        assert raw_rows(split, part) == Counter((*row, None) for row in rows[part])
    assert split.items["item_id"].dtype == "int64"
    assert "007" not in set(split.users["user_id"])
    assert set(split.users["user_id"]) == {"00", "01", "02"}


def write_deezer(folder: Path) -> list[int]:
    """Write the three files, in which songs 0…29 occur, 25…29 in test only, and return all 35 songs of the list."""
    rows = {"train": range(25), "validation": range(20), "test": range(15, 30)}
    for part, songs in rows.items():
        pairs = [(100 + song, f"0{song % 3}") for song in songs]
        write_csv(folder / f"{part}_dataset.csv", pairs, header=("media_id", "user_id"))
    return [100 + song for song in (*range(33, 28, -1), *range(29), 34)]


LISTS = {
    "named": lambda ids, name: f"{name}\n" + "".join(f"{each}\n" for each in ids),
    "with an index": lambda ids, name: f",{name}\n" + "".join(f"{n},{each}\n" for n, each in enumerate(ids)),
    "of pandas": lambda ids, name: "0\n" + "".join(f"{each}\n" for each in ids),
}


@pytest.mark.parametrize("form", [*LISTS, "no header"])
def test_the_author_s_lists_are_the_pool_and_the_tables(tmp_path, form):
    songs = write_deezer(tmp_path)
    without = prepare("deezer-splits", tmp_path, root=tmp_path)
    write = LISTS.get(form, lambda ids, name: "".join(f"{each}\n" for each in ids))
    (tmp_path / "media_ids.csv").write_text(write([*songs, songs[0]], "media_id"))
    (tmp_path / "added_users.csv").write_text(write(["00", "01", "02", "07"], "user_id"))
    made = prepare("deezer-splits", tmp_path, root=tmp_path)
    assert made.folder != without.folder and made.manifest["steps"] == without.manifest["steps"]
    counts = {name: made.manifest[name] for name in made.manifest if name.startswith("n_")}
    assert counts == {
        "n_users": 3, "n_users_all": 4, "n_users_in_no_part": 1, "n_items": 25, "n_items_all": 35,
        "n_items_in_no_part": 5,
    }  # fmt: skip
    split = Split.load(made.folder)
    assert split.items.item_id.tolist() == list(range(100, 135)) and split.users.user_id.tolist()[3] == "07"
    assert (split.n_items, split.n_cold_items, split.n_items_all, split.n_cold_users) == (25, 5, 35, 0)
    assert "songs                 25 in train, 5 only later (cold), 5 in no part" in repr(split)
    assert split.account()["cold_item"] == 5
    assert "5 more songs are in no part" in data_sentences(split)[1]
    assert "no part" not in data_sentences(Split.load(without.folder))[1]
    (tmp_path / "media_ids.csv").write_text(write(songs[6:], "media_id"))
    with pytest.raises(DataError, match="media_ids.csv: expected all songs of the parts, got 29 that lack 2 of 30"):
        prepare("deezer-splits", tmp_path, root=tmp_path)
    (tmp_path / "media_ids.csv").write_text(write([*songs[:3], "x"], "media_id"))
    with pytest.raises(DataError, match=f"media_ids.csv, line {4 + (form != 'no header')}, column .* whole number"):
        prepare("deezer-splits", tmp_path, root=tmp_path)


def test_the_sample_is_the_same_wherever_and_whenever_it_is_made(tmp_path):
    made = [prepare(root=tmp_path / name) for name in ("here", "there")]
    assert made[0].folder.name == made[1].folder.name
    assert made[0].manifest == made[1].manifest
    split = Split.load(made[0].folder)
    assert {"name", "artist", "album", "artist_id", "album_id"} <= set(split.items.columns)
    assert {"user_age", "user_gender"} <= set(split.users.columns)
    assert split.items["name"].notna().all()
    assert split.n_items_all > split.n_items > 3_000
    assert split.n_users_all > split.n_users > 1_200


BAD_CHOICES = [
    ({"split": "by-tim"}, "SPLIT: expected one of auto, given, by-time"),
    ({"positives": "loved"}, "POSITIVES: expected one of listened, all, got 'loved'"),
    ({"repeats": "last"}, "REPEATS: expected one of keep, first, got 'last'"),
    ({"validation_fraction": 0.0}, "VALIDATION_FRACTION and TEST_FRACTION: expected numbers above 0 with a sum"),
    ({"validation_fraction": 0.5, "test_fraction": 0.5}, "a sum below 1, got 0.5 and 0.5"),
    ({"user_fraction": 1.5}, "USER_FRACTION: expected a number above 0 and at most 1, got 1.5"),
    ({"split": "given"}, "got 'given', which needs the column 'part'; SPLIT=auto"),
    ({"min_user_listens": 1000}, "the step 'minimal counts' dropped the last of 400 rows"),
    ({"user_fraction": 1e-9}, "the step 'users' dropped the last of 400 rows"),
    ({"n_candidates": 1000}, "expected at least 1000 different songs among the rows that count as listened, got "),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_CHOICES)
def test_an_impossible_choice_is_an_error_and_leaves_no_folder(tmp_path, parameters, message):
    path = write_csv(tmp_path / "log.csv", [(*row[:3], 1) for row in some_rows()])
    with pytest.raises(DataError) as error:
        prepare("csv", path, root=tmp_path, **parameters)
    assert message in str(error.value)
    assert not (tmp_path / "data" / "prepared").exists() or not leftovers(tmp_path)


def test_too_few_users_songs_or_listens_is_an_error_that_says_so(tmp_path):
    one_user = write_csv(tmp_path / "one.csv", [("u", f"s{n}", START + n, 1) for n in range(100)])
    with pytest.raises(DataError, match="one.csv: expected at least 2 users with a row that counts .*, got 1: "):
        prepare("csv", one_user, root=tmp_path)
    few_songs = write_csv(tmp_path / "few.csv", [(f"u{n % 9}", f"s{n % 20}", START + n, 1) for n in range(100)])
    with pytest.raises(DataError, match="few.csv: expected at least 21 different songs .* got 20: .* and 20 others"):
        prepare("csv", few_songs, root=tmp_path)
    skipped = write_csv(tmp_path / "skipped.csv", [(f"u{n % 9}", f"s{n}", START + n, 0) for n in range(100)])
    with pytest.raises(DataError, match="the step 'positives' dropped the last of 100 rows"):
        prepare("csv", skipped, root=tmp_path)
    same_time = write_csv(tmp_path / "same.csv", [(f"u{n % 9}", f"s{n}", START, 1) for n in range(100)])
    with pytest.raises(DataError, match=r"same.csv: expected listens in every part, got none in train \(split by-"):
        prepare("csv", same_time, root=tmp_path)
    assert not leftovers(tmp_path)


def test_a_split_prints_its_size_and_refuses_codes_that_do_not_fit():
    split = Split.from_arrays([[0, 0], [1, 1], [0, 2]], [[0, 3]], [[2, 0], [1, 2]])
    assert repr(split).splitlines() == [
        "Split of arrays, given",
        "  users                  2 in train, 1 only later (cold)",
        "  songs                  3 in train, 1 only later (cold)",
        "  train                  3 listens",
        "  validation             1 listens",
        "  test                   2 listens",
    ]
    with pytest.raises(ValueError, match="train: expected every song code in 0…7, got 2 of 8"):
        Split.from_arrays([[0, 0], [1, 7]], [[0, 0]], [[1, 0]])
    with pytest.raises(ValueError, match="validation: expected user codes in 0…1, got -1…-1"):
        Split.from_arrays([[0, 0], [1, 1]], [[-1, 0]], [[1, 0]])


@pytest.mark.real
@pytest.mark.parametrize(("name", "rows", "expected"), [
    ("30music", 343_183, "by-time"), ("lastfm", 92_834, "random"), ("lightgcn", 895_699, "given")])  # fmt: skip
def test_no_row_of_the_real_data_is_lost(tmp_path, name, rows, expected):
    if not REAL_FILES[name].exists():
        pytest.skip("the real data sets are not next to this repository")
    made = prepare(name, REAL_FILES[name], root=tmp_path)
    split = Split.load(made.folder)
    assert made.manifest["split"] == expected
    assert made.manifest["steps"][0]["rows_in"] == rows
    assert sum(len(getattr(split, part)) for part in PARTS) == made.manifest["steps"][-1]["rows_out"]


def test_many_alike_ids_stay_different(tmp_path):
    """DuckDB's own hash of 64 bits is equal for some of these."""
    ids = [f"album {album:02}, song {song}" for album in range(100) for song in range(10)]
    rows = [(f"user {n % 9:010}", each, START + 60 * n, 1) for n, each in enumerate(ids * 2)]
    made = prepare("csv", write_csv(tmp_path / "log.csv", rows), root=tmp_path, split="by-user-last")
    assert Split.load(made.folder).n_items_all == 1000


def test_the_key_depends_on_no_code_that_preparation_does_not_run():
    code = "import sys, recsys.data.prepare; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.rpartition(".")[2] + ".py" for name in modules if name.startswith("recsys.data.")}
    assert "reading.py" in ours and "recognition.py" in ours
    assert {"inspection.py", "guesses.py", "unused.py", "samples.py"} == set(NOT_PREPARING) - ours


def test_a_long_query_draws_no_progress_bar_into_a_notebook():
    """DuckDB draws one in a kernel, and a page would show the name of its widget."""
    code = """
        import tempfile
        from pathlib import Path
        from recsys.data.engine import start_engine

        with tempfile.TemporaryDirectory() as folder, start_engine(Path(folder)) as engine:
            print(engine.connection.raw_sql("SELECT current_setting('enable_progress_bar')").fetchone())
    """
    notebook = new_notebook(cells=[new_code_cell(textwrap.dedent(code))])
    NotebookClient(notebook, resources={"metadata": {"path": project_root()}}).execute()
    assert notebook.cells[0].outputs[-1].text == "(False,)\n"
