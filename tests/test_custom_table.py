"""`csv`: what a user's table means is asked where it is ambiguous, and said where it is odd."""

import json
import math
import random
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.data.errors import DataError
from recsys.data.prepare import prepare
from recsys.data.split import Split

START = 1_400_000_000


def some_rows(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Return listens of 20 users to 60 songs by 20 artists, a minute apart."""
    draw = np.random.default_rng(seed)
    songs = draw.integers(0, 60, n)
    return pd.DataFrame({
        "user_id": [f"u{user}" for user in draw.integers(0, 20, n)], "item_id": [f"s{song}" for song in songs],
        "timestamp": START + 60 * np.arange(n), "artist": [f"a{song % 20}" for song in songs],
        "title": [f"t{song // 20}" for song in songs],
    })  # fmt: skip


def save(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def prepared(tmp_path):
    """Return a function that writes a frame as CSV, prepares it, and returns the manifest and the split."""

    def write_and_prepare(frame: pd.DataFrame, **parameters):
        made = prepare("csv", save(frame, tmp_path / "log.csv"), root=tmp_path, **{"n_candidates": 2} | parameters)
        return made.manifest, Split.load(made.folder)

    return write_and_prepare


def step(manifest: dict, name: str) -> dict:
    return next((each for each in manifest["steps"] if each["step"] == name), {})


def warnings_with(manifest: dict, words: str) -> list[int]:
    return [each["count"] for each in manifest["warnings"] if words in each["sentence"]]


def test_milliseconds_are_not_taken_for_seconds(prepared):
    frame = some_rows()
    frame["ms_played"] = np.where(np.arange(600) % 3, 200_000, 4_000)
    frame["seconds"] = frame.ms_played // 1000
    message = r"'ms_played': expected how many seconds .* set MILLISECONDS_COLUMN instead of SECONDS_COLUMN"
    with pytest.raises(DataError, match=message):
        prepared(frame, seconds_column="ms_played")
    message = r"'seconds': expected how many milliseconds .* set SECONDS_COLUMN instead of MILLISECONDS_COLUMN"
    with pytest.raises(DataError, match=message):
        prepared(frame, milliseconds_column="seconds")
    for right in ({"milliseconds_column": "ms_played"}, {"seconds_column": "seconds"}):
        assert step(prepared(frame, **right)[0], "positives")["rows_out"] == 400
    with pytest.raises(DataError, match="expected SECONDS_COLUMN or MILLISECONDS_COLUMN, got both, 'seconds' and 'ms"):
        prepared(frame, seconds_column="seconds", milliseconds_column="ms_played")


def test_decimal_commas_are_read_where_they_can_be_nothing_else(prepared):
    frame = some_rows()
    frame["dauer"] = np.where(np.arange(600) % 3, "30,5", "29,125")
    manifest, _ = prepared(frame, seconds_column="dauer")
    assert step(manifest, "positives")["rows_out"] == 400
    assert "Numbers with a comma are read as decimal numbers: 25,5 is 25.5." in manifest["decisions"]
    frame["dauer"] = np.where(np.arange(600) % 3, "30000,5", "29999")
    assert step(prepared(frame, milliseconds_column="dauer")[0], "positives")["rows_out"] == 400
    frame["stars"] = np.where(np.arange(600) % 3, "4,5", "3,5")
    manifest, _ = prepared(frame, positive_from=4.0, listened_column="stars")
    assert step(manifest, "positives")["rows_out"] == 400


@pytest.mark.parametrize("one", ["29,125", "1,250"])
def test_commas_that_could_mark_thousands_are_an_error_with_a_remedy(prepared, one):
    frame = some_rows()
    frame["dauer"] = np.where(np.arange(600) % 3, "30,500", one)
    message = f"'dauer': expected a number of seconds .* got '{one}', .*write a point before"
    with pytest.raises(DataError, match=message):
        prepared(frame, seconds_column="dauer")
    frame["dauer"] = frame.dauer.str.replace(",", ".")
    assert step(prepared(frame, seconds_column="dauer")[0], "positives")["rows_out"] == 400


def test_commas_beside_points_are_an_error_that_names_the_line(prepared):
    frame = some_rows()
    frame["dauer"] = np.where(np.arange(600) % 3, "30.5", "1,234.5")
    with pytest.raises(DataError, match=r"line 2, column 'dauer': expected a number of seconds, got '1,234\.5'"):
        prepared(frame, seconds_column="dauer")


def test_titles_of_several_artists_are_a_warning_and_two_columns_make_a_song(prepared):
    manifest, split = prepared(some_rows(), item_column="title")
    assert warnings_with(manifest, 'set ITEM_COLUMN="artist,title"') == [3] and split.n_items_all == 3
    manifest, split = prepared(some_rows(), item_column="artist,title")
    assert not manifest["warnings"] and split.n_items_all == 60
    assert set(split.items.item_id) == {f"a{artist} – t{title}" for artist in range(20) for title in range(3)}
    assert split.items.artist.str.startswith("a").all() and split.items.name.str.startswith("t").all()
    assert not prepared(some_rows())[0]["warnings"]  # the ids of this file belong to one artist each


def test_a_song_of_several_columns_is_never_that_of_others(prepared):
    parts = ["a", "a –", "– a", "–", "a – b", "––", "b", "a–b", " ", "x"]
    frame = pd.DataFrame([(one, two) for one in parts if one.strip() for two in parts if two.strip()] * 3,
                         columns=["artist", "title"])  # fmt: skip
    frame["user_id"], frame["timestamp"] = [f"u{n % 7}" for n in range(len(frame))], START + 60 * np.arange(len(frame))
    assert prepared(frame, item_column="artist, title")[1].n_items_all == 81
    frame.loc[3, "title"] = ""
    with pytest.raises(DataError, match="line 5, column 'artist,title': expected an id .* got nothing; 1 row"):
        prepared(frame, item_column="artist,title")


def test_the_same_column_for_user_and_song_is_an_error(prepared):
    for columns in ({"user_column": "item_id"}, {"item_column": "USER_ID"}):
        with pytest.raises(DataError, match="USER_COLUMN and ITEM_COLUMN: expected two columns, got '.*' for both"):
            prepared(some_rows(), **columns)


def test_ratings(prepared):
    frame = some_rows()
    frame["rating"] = np.arange(600) % 10 / 2 + 0.5  # half a star to five stars
    manifest, _ = prepared(frame)
    assert warnings_with(manifest, "set POSITIVE_FROM=4") == [420]
    assert step(manifest, "positives")["rows_out"] == 600
    manifest, _ = prepared(frame, positive_from=4.0)
    assert not manifest["warnings"] and step(manifest, "positives")["rows_out"] == 180
    frame = frame.rename(columns={"rating": "points"})
    assert step(prepared(frame, positive_from=4.0, listened_column="points")[0], "positives")["rows_out"] == 180
    with pytest.raises(DataError, match="POSITIVE_FROM: expected one column of ratings, got .*; set LISTENED_COLUMN"):
        prepared(frame, positive_from=4.0)


def test_flags_in_every_form(prepared):
    for yes, no in (("1", "0"), ("1.0", "0.0"), ("true", "FALSE"), ("Yes", "no"), (" 1", "0 ")):
        frame = some_rows().assign(listened=[yes if n % 4 else no for n in range(600)])
        assert step(prepared(frame)[0], "positives")["rows_out"] == 450, yes
    with pytest.raises(DataError, match="log.csv, line 602, column 'listened': expected 0 or 1 .* got '2'"):
        frame = pd.concat([some_rows().assign(listened="1"), some_rows(1).assign(listened="2")])
        prepared(frame)


def test_ids_stay_as_they_are_and_alike_ones_are_counted(prepared):
    frame = some_rows()
    odd = {"u1": "ö", "u2": unicodedata.normalize("NFD", "ö"), "u3": " ö", "u4": "x\u00a0", "u5": "x", "u6": "X"}
    manifest, split = prepared(frame.replace({"user_id": odd}))
    assert warnings_with(manifest, "User ids that differ from another one only by spaces") == [5]
    assert set(odd.values()) < set(split.users.user_id) and len(split.users) == 20
    assert not warnings_with(manifest, "Item ids")


UNSEEN = ["", " ", "\u00a0", "\u200b", "\ufeff", "\t", "\u3164", "\u2800"]


def test_rows_without_a_user_or_a_song_are_named_or_dropped(prepared):
    frame = some_rows()
    for number, value in enumerate(UNSEEN):
        frame.loc[10 + 20 * number, "user_id" if number % 2 else "item_id"] = value
    with pytest.raises(DataError) as error:
        prepared(frame)
    place = "log.csv, line 12, column 'item_id'"
    assert f"{place}: expected an id (text or a whole number), got nothing" in str(error.value)
    assert "; 8 rows without a user or a song (lines 12, 32, 52, 72, 92, …); EMPTY_IDS=drop" in str(error.value)
    manifest, _ = prepared(frame, empty_ids="drop")
    assert step(manifest, "empty ids") == {
        "step": "empty ids", "rows_in": 600, "dropped": {"without a user or a song": 8}, "rows_out": 592,
    }  # fmt: skip


def test_the_same_event_twice_is_one_event(prepared):
    once = some_rows()
    manifest, split = prepared(once)
    assert not step(manifest, "repeated events") and not manifest["warnings"]
    twice = pd.concat([once, once.iloc[::-1]])
    manifest, again = prepared(twice)
    assert step(manifest, "repeated events") == {
        "step": "repeated events", "rows_in": 1200, "dropped": {"same user song and second": 600}, "rows_out": 600,
    }  # fmt: skip
    for part in ("train", "validation", "test"):
        for column in ("user", "item", "timestamp"):
            assert (getattr(getattr(again, part), column) == getattr(getattr(split, part), column)).all()
    kept, _ = prepared(twice, repeated_events="keep")
    assert kept["steps"][-1]["rows_out"] == 1200 and not step(kept, "repeated events")
    fractions = pd.concat([once, once.assign(timestamp=once.timestamp + 0.25)])
    assert step(prepared(fractions)[0], "repeated events")["rows_out"] == 600


@pytest.mark.parametrize("shift", [1, 3600])
def test_a_shifted_copy_is_a_warning(prepared, shift):
    once = some_rows(3000)
    manifest, _ = prepared(pd.concat([once, once.assign(timestamp=once.timestamp + shift)]))
    (n,) = warnings_with(manifest, f"to the same song after exactly {shift:,} s. The log may contain itself twice")
    assert 2700 <= n <= 3100
    assert manifest["steps"][-1]["rows_out"] > 5900
    assert not warnings_with(prepared(once)[0], "itself twice")


def daily(n_users: int = 60, seed: int = 0) -> pd.DataFrame:
    """Return a log of days. A user hears five songs of an album a day, in any order; ids are in the album's order."""
    draw = random.Random(seed)
    rows = [
        (f"u{user:02}", f"album {draw.randrange(40):02}, song {song}", f"2020-{1 + day // 28:02}-{1 + day % 28:02}")
        for user in range(n_users) for day in draw.sample(range(300), 12) for song in draw.sample(range(10), 5)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


@pytest.mark.parametrize("way", ["by-time", "by-user-last"])
def test_equal_times_are_not_in_the_order_of_the_ids(prepared, way):
    """In the order of ids, each next listen of a day would be a later song of the album; by chance, every second is."""
    frame = daily()
    manifest, split = prepared(frame, split=way)
    assert manifest["equal_times"] > 0.7
    assert warnings_with(manifest, "Their order is not known, so no model uses it")
    assert step(manifest, "positives")["rows_out"] == manifest["steps"][-1]["rows_out"] == len(frame)
    song = split.items.item_id.str[-1].astype(int).to_numpy()[split.train.item]
    order = np.lexsort((np.arange(len(song)), split.train.user))
    user, time, song = split.train.user[order], split.train.timestamp[order], song[order]
    same = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    rises = (song[1:] > song[:-1])[same].mean()
    assert abs(rises - 0.5) < 4 * 0.5 / math.sqrt(same.sum() / 2)
    if way == "by-user-last":  # and the last song of the last day is no higher than the others
        last = split.items.item_id.str[-1].astype(int).to_numpy()[split.test.item]
        assert abs(last.mean() - 4.5) < 4 * 2.9 / math.sqrt(len(last))


def test_the_order_of_equal_times_depends_on_the_seed_but_not_on_the_rows(prepared):
    frame = daily()
    one, shuffled, other = (
        prepared(each, split="by-user-last", seed=seed)[0]["files"]
        for each, seed in ((frame, 0), (frame.sample(frac=1, random_state=1), 0), (frame, 1))
    )
    assert one == shuffled and one["test.parquet"] != other["test.parquet"]


def test_a_parameter_of_csv_is_refused_elsewhere(tmp_path):
    with pytest.raises(DataError, match="USER_COLUMN: expected nothing for the data set 'sample', got 'who'"):
        prepare("sample", root=tmp_path, user_column="who")


def test_files_of_several_forms_in_one_folder(tmp_path):
    frame = some_rows().drop(columns=["artist", "title"])
    folder = tmp_path / "logs"
    folder.mkdir()
    frame[:100].to_csv(folder / "a.csv", index=False)
    frame[100:200].to_csv(folder / "b.tsv", index=False, sep="\t")
    frame[200:300].to_parquet(folder / "c.parquet", index=False)
    (folder / "d.json").write_text(json.dumps(frame[300:400].to_dict("records")))
    frame[400:500].to_csv(folder / "e.csv.gz", index=False, sep=";")
    moments = pd.to_datetime(frame[500:].timestamp, unit="s")
    frame[500:].assign(timestamp=moments).to_csv(folder / "f.csv", index=False, sep="|")
    made = prepare("csv", folder, root=tmp_path)
    one = prepare("csv", save(frame, tmp_path / "log.csv"), root=tmp_path)
    assert made.manifest["steps"] == one.manifest["steps"]
    assert made.manifest["files"] == one.manifest["files"]
    assert [each["name"] for each in made.manifest["source"]] == [
        "a.csv", "b.tsv", "c.parquet", "d.json", "e.csv.gz", "f.csv"
    ]  # fmt: skip
    frame[:3].drop(columns="timestamp").to_csv(folder / "g.csv", index=False)
    with pytest.raises(DataError, match="expected the same columns in all files, got a.csv: item_id, timestamp, us"):
        prepare("csv", folder, root=tmp_path)


NAMED = {"name": "t0", "artist": "a0"}
WAYS = (  # how a file writes its names, the songs' columns and others as they are typed, and what is read of a song
    (str.title, "artist,TITLE", {"listened_column": "LISTENED"}, ("a0 – t0", NAMED)),
    (str.upper, "Artist , title", {"artist_column": "ARTIST", "seconds_column": "Seconds"}, ("a0 – t0", NAMED)),
    (" {} ".format, "ARTIST,Title", {"positive_from": 1.0, "listened_column": "Seconds"}, ("a0 – t0", NAMED)),
    (str.lower, "Item_ID", {"name_column": "ITEM_ID"}, ("s0", {"name": "s0", "artist": "a0"})),
)


@pytest.mark.parametrize(("header", "typed", "more", "song"), WAYS)
def test_a_column_is_found_in_any_case_by_every_parameter(prepared, header, typed, more, song):
    frame = some_rows().assign(listened=1, seconds=200, album="b").rename(columns=header)
    columns = {"user_column": "USER_ID", "item_column": typed, "time_column": "TimeStamp"}
    manifest, split = prepared(frame, **columns, **more)
    (found,) = split.items[split.items.item_id == song[0]].to_dict("records")
    assert found == {"item_id": song[0], "album": "b"} | song[1]
    assert manifest["steps"][-1]["rows_out"] == 600 and split.n_items_all == 60


def test_the_column_of_users_is_not_that_of_artists(prepared):
    manifest, split = prepared(some_rows().rename(columns={"artist": "Artist"}), user_column="artist")
    assert list(split.items.columns) == ["item_id"] and not manifest["warnings"]


@pytest.mark.parametrize("typed", ["artist,Artist", "title,artist, TITLE ", ",", " , "])
def test_a_song_of_the_same_column_twice_is_an_error(prepared, typed):
    with pytest.raises(DataError, match="ITEM_COLUMN: expected a column, or several different ones, got"):
        prepared(some_rows(), item_column=typed)


def test_a_column_named_like_one_of_ours_is_left_alone(prepared):
    frame = some_rows().assign(**{"Artist,Title": "x"})
    assert prepared(frame, item_column="artist,title")[1].n_items_all == 60
