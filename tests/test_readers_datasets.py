"""The readers of published data sets that come without a header, as Parquet or with `::`, and GroupLens' folders."""

import gzip
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest

from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.listens import join_listens, settle
from recsys.data.partition import count_rows
from recsys.data.prepare import prepare
from recsys.data.readers import find_dataset, open_dataset
from recsys.data.readers.options import Options
from recsys.data.reading import read_all

FILES = Path(__file__).parent / "files"
LISTENS, PLAYS = "userid-timestamp-artid-artname-traid-traname.tsv", "usersha1-artmbid-artname-plays.tsv"
MBID = "8f6bd1e4-fbe1-4f50-aa9b-94c450ec0f11"


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "scratch").mkdir()
    with start_engine(tmp_path / "scratch", threads=2) as engine:
        yield engine


@pytest.fixture
def read(engine):
    """Return a function that reads the listens of a data set as a frame with raw ids, and what it says of songs."""

    def read_listens(name, path, **options) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        data = open_dataset(name, path, engine, Options(**options))
        rows = [settle(engine, source) for source in data.sources]
        listens = join_listens(rows)
        listens = listens.filter(listens.why.isnull()).to_pandas()
        items = (settle(engine, data.songs) if data.songs else rows[0]).described("item")
        return listens, None if items is None else items.to_pandas()

    return read_listens


def steps(name: str, path: Path, root: Path, **parameters) -> dict[str, tuple[int, int]]:
    """Prepare a data set; return rows in and out of the steps, by name. The account must add up."""
    made = prepare(name, path, root=root, n_candidates=5, **parameters).manifest["steps"]
    for before, after in zip(made, made[1:], strict=False):
        assert after["rows_in"] == before["rows_out"]
    assert all(each["rows_in"] - sum(each["dropped"].values()) == each["rows_out"] for each in made)
    return {each["step"]: (each["rows_in"], each["rows_out"]) for each in made}


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_lastfm_1k_is_read_line_by_line(read, tmp_path):
    row = f'user_000002\t2008-06-01T23:59:59Z\t{MBID}\tThe "Weird" Band\t\tA – B\n'
    path = tmp_path / LISTENS
    path.write_text(row + f"user_000001\t2009-01-01T00:00:00Z\t\tSóley\t{MBID}\tNULL\n", encoding="utf-8")
    listens, songs = read("lastfm-1k", path)
    assert listens.user_id.tolist() == ["user_000002", "user_000001"]
    assert listens.item_id.tolist() == ['The "Weird" Band – A –– B', MBID]
    assert listens.timestamp.tolist() == [pd.Timestamp("2008-06-01 23:59:59"), pd.Timestamp("2009-01-01")]
    assert listens.listened.all()
    assert songs[["name", "artist"]].to_numpy().tolist() == [["A – B", 'The "Weird" Band'], ["NULL", "Sóley"]]


def test_a_line_of_lastfm_1k_with_a_tab_in_a_name_is_left_out_and_counted(tmp_path):
    made = prepare("lastfm-1k", FILES / "lastfm-1k", root=tmp_path, n_candidates=5).manifest
    assert made["steps"][0]["rows_out"] == 80
    assert made["steps"][1] == {
        "step": "other rows", "rows_in": 80, "dropped": {"lines without 6 values": 1}, "rows_out": 79
    }  # fmt: skip
    assert {"sentence": "Lines without 6 values, which are left out", "count": 1} in made["warnings"]
    assert made["split"] == "by-time" and sum(made["parts"].values()) == 79


@pytest.mark.parametrize("how", ["gz", "zip"])
def test_lastfm_1k_is_the_same_when_it_is_compressed(read, tmp_path, how):
    plain = read("lastfm-1k", FILES / "lastfm-1k")[0]
    if how == "gz":
        path = tmp_path / f"{LISTENS}.gz"
        path.write_bytes(gzip.compress((FILES / "lastfm-1k" / LISTENS).read_bytes()))
    else:
        path = Path(shutil.make_archive(str(tmp_path / "lastfm-dataset-1K"), "zip", FILES / "lastfm-1k"))
    pd.testing.assert_frame_equal(read("lastfm-1k", path)[0], plain)


def test_errors_of_lastfm_1k_name_the_line(tmp_path):
    good = [f"user_{n}\t2008-06-01T23:59:0{n}Z\t{MBID}\ta\t{MBID}\tb" for n in range(5)]
    for line, message in (
        (f"user_9\t2008-06-01 23:59\t{MBID}\ta\t{MBID}\tb", "line 6, column 'time': .*, got '2008-06-01 23:59'"),
        (f"\t2008-06-01T23:59:00Z\t{MBID}\ta\t{MBID}\tb", "line 6, column 'user': expected an id .* EMPTY_IDS=drop"),
        (f"user_9\t2008-06-01T23:59:00Z\t{MBID}\ta\t\t ", "line 6, column 'song': expected an id .* EMPTY_IDS=drop"),
        (f"user_9\t2999-06-01T23:59:00Z\t{MBID}\ta\t\tb", "line 6, column 'time': .* TIMES_OUTSIDE=drop"),
        ("user_9,2008-06-01T23:59:00Z,x,a,y,b", "expected 6 values in a line, .* another number in 1 of 7 lines"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            prepare("lastfm-1k", write_lines(tmp_path / "log.tsv", *good, line, good[0]), root=tmp_path)


def test_lastfm_360k_counts_plays_of_artists(read, tmp_path):
    listens, artists = read("lastfm-360k", write_lines(
        tmp_path / "plays.tsv", f"a1\t{MBID}\tsigur rós\t12", 'a1\t\t"weird al"\t1', "b2\t\tnobody\t0"
    ))  # fmt: skip
    assert listens.item_id.tolist() == [MBID, '"weird al"', "nobody"]
    assert listens.listened.tolist() == [True, True, False]
    assert artists.name.tolist() == ["sigur rós", '"weird al"', "nobody"]
    assert "timestamp" not in listens
    found = steps("lastfm-360k", FILES / "lastfm-360k", tmp_path)
    assert found["read"] == (80, 80) and found["positives"] == (80, 79)
    with pytest.raises(DataError, match=r"plays.tsv, line 2, column 'plays': expected a number of plays, got 'many'"):
        prepare("lastfm-360k", write_lines(tmp_path / "plays.tsv", "a\t\tb\t1", "a\t\tc\tmany"), root=tmp_path)


def test_yambda_keeps_the_order_and_says_that_dates_are_unknown(engine, read, tmp_path):
    log = pd.DataFrame({
        "uid": [1, 1, 1, 2], "item_id": [9, 8, 7, 9], "timestamp": [25_999_995, 0, 5, 5], "is_organic": 1,
        "played_ratio_pct": [50, 49, 100, 104], "track_length_seconds": 200,
    }).astype("uint32")  # fmt: skip
    log.to_parquet(tmp_path / "listens.parquet", index=False)
    listens, _ = read("yambda", tmp_path / "listens.parquet")
    start = pd.Timestamp("1970-01-01")
    assert ((listens.timestamp - start) // pd.Timedelta("1s")).tolist() == [25_999_995, 0, 5, 5]
    assert listens.listened.tolist() == [True, False, True, True]
    assert listens.item_id.tolist() == [9, 8, 7, 9]
    assert [each for each in engine.decisions if "the dates are not" in each]


def test_likes_and_dislikes_of_yambda_are_no_listens(read, tmp_path):
    found = steps("yambda", FILES / "yambda-events", tmp_path)
    assert found["read"] == (94, 94) and found["other rows"] == (94, 80) and found["positives"] == (80, 50)
    assert "other rows" not in (alone := steps("yambda", FILES / "yambda", tmp_path))
    assert alone["positives"] == found["positives"]
    events, listens = read("yambda", FILES / "yambda-events")[0], read("yambda", FILES / "yambda")[0]
    order = ["user_id", "timestamp", "item_id"]
    pd.testing.assert_frame_equal(
        events.sort_values(order, ignore_index=True), listens.sort_values(order, ignore_index=True)
    )


def test_one_file_of_yambda_is_chosen_or_asked_for(read, tmp_path):
    for folder in ("50m", "500m"):
        (tmp_path / folder).mkdir()
        shutil.copy(FILES / "yambda" / "listens.parquet", tmp_path / folder)
    shutil.copy(FILES / "yambda-events" / "multi_event.parquet", tmp_path / "50m")
    assert len(read("yambda", tmp_path / "50m")[0]) == 80
    with pytest.raises(DataError, match=r"expected one file listens.parquet in .*, got 500m/listens.parquet, 50m/"):
        read("yambda", tmp_path)


def test_values_of_yambda_that_cannot_be_are_errors(tmp_path):
    log = pd.read_parquet(FILES / "yambda" / "listens.parquet").astype("Int64")
    for column, value, message in (
        ("played_ratio_pct", None, "row 3, column 'played_ratio_pct': expected the percentage .*, got nothing"),
        (
            "timestamp",
            1_700_000_000,
            "row 3, column 'timestamp': expected seconds from the start .* TIMES_OUTSIDE=drop",
        ),
        ("item_id", None, "row 3, column 'item_id': expected a whole number .* EMPTY_IDS=drop"),
    ):
        wrong = log.copy()
        wrong.loc[2, column] = value
        wrong.to_parquet(tmp_path / "listens.parquet", index=False)
        with pytest.raises(DataError, match=message):
            prepare("yambda", tmp_path / "listens.parquet", root=tmp_path)


@pytest.mark.parametrize(("form", "positives"), [("csv", 40), ("dat", 46)])
def test_folders_of_grouplens_are_read_with_the_names_of_films(read, tmp_path, form, positives):
    listens, films = read("movielens", FILES / f"movielens-{form}")
    assert len(listens) == 70
    ratings = pd.read_csv(FILES / "movielens-csv" / "ratings.csv")
    rating = (
        ratings.rating
        if form == "csv"
        else ratings.rating.round(0).where(ratings.rating % 1 == 0, ratings.rating + 0.5)
    )
    assert listens.listened.tolist() == (rating >= 4).tolist()
    assert listens.item_id.tolist() == ratings.movieId.tolist()
    assert listens.timestamp.tolist() == pd.to_datetime(ratings.timestamp, unit="s").tolist()
    names = films.set_index("item_id")
    assert names.loc[3, "name"] == "Ménage à trois, Le (Café d'été) (1999)"
    assert names.loc[5, "name"] == 'The "Real" Story (2001)' and names.loc[5, "genres"] == "Drama"
    found = steps("movielens", FILES / f"movielens-{form}", tmp_path)
    assert found["read"] == (70, 70) and found["positives"] == (70, positives)


def test_a_zip_of_grouplens_and_a_file_of_ratings_alone_are_read(engine, read, tmp_path):
    path = Path(shutil.make_archive(str(tmp_path / "ml-small"), "zip", FILES, "movielens-csv"))
    from_zip, films = read("movielens", path)
    alone, nothing = read("movielens", FILES / "movielens-csv" / "ratings.csv")
    pd.testing.assert_frame_equal(from_zip, alone)
    assert films.name.notna().all() and nothing is None
    assert (
        "The ratings are read without the names of the films, which are in another file of the folder."
        in engine.decisions
    )


def test_a_folder_of_grouplens_that_is_not_complete_or_holds_two_is_an_error(read, tmp_path):
    shutil.copy(FILES / "movielens-csv" / "ratings.csv", tmp_path)
    with pytest.raises(DataError, match=r"expected a file at .*movies.csv, got nothing there"):
        read("movielens", tmp_path)
    shutil.copy(FILES / "movielens-dat" / "ratings.dat", tmp_path)
    with pytest.raises(DataError, match=r"expected one file of ratings in .*, got ratings.csv, ratings.dat; name one"):
        read("movielens", tmp_path)


NAME_FILES = {  # the file of names, its data set, what separates the values, and the number of its first line
    "movies.csv": ("movielens", ",", 2), "movies.dat": ("movielens", "::", 1), "artists.dat": ("lastfm", "\t", 2),
}  # fmt: skip


def write_named(folder: Path, name: str) -> tuple[str, list[str]]:
    """Write a data set whose names are in a file of their own; return this file's header and its rows."""
    dataset, separator, _ = NAME_FILES[name]
    draw = random.Random(0)
    columns = {"movielens": ("userId", "movieId", "rating", "timestamp"), "lastfm": ("userID", "artistID", "weight")}
    columns = columns[dataset]
    pairs = [(user, song) for user in range(9) for song in draw.sample(range(30), 20)]
    rows = [(*pair, 5, 1_400_000_000 + 100 * n)[: len(columns)] for n, pair in enumerate(pairs)]
    lines = [separator.join(map(str, row)) for row in rows]
    lines[:0] = [] if name == "movies.dat" else [separator.join(columns)]
    folder.mkdir()
    ratings = {"movies.csv": "ratings.csv", "movies.dat": "ratings.dat", "artists.dat": "user_artists.dat"}[name]
    (folder / ratings).write_text("\n".join(lines))
    header = {"movies.csv": "movieId,title,genres\n", "movies.dat": "", "artists.dat": "id\tname\turl\n"}[name]
    return header, [f"{song}{separator}Name {song}{separator}x\n" for song in range(30)]


@pytest.mark.parametrize("name", NAME_FILES)
def test_a_damaged_file_of_names_is_an_error_that_names_its_line(tmp_path, name):
    dataset, separator, first = NAME_FILES[name]
    header, rows = write_named(tmp_path / "in", name)
    many = rows + [f"{song}{separator}y{separator}y\n" for song in range(100, 9000)]  # more than a look at the start
    value = f"line {first + 5}, column '.*[iI]d': expected a whole number of at most 64 bits, got"
    for content, message in (
        ([*rows[:5], f"5{separator}a\n", *rows[6:]], f"line {first + 5}: .*, got 2 instead of 3 values; correct"),
        ([*many, f"7{separator}a{separator}b{separator}c\n"], f"line {first + 8930}: .* got 4 instead of 3 values"),
        ([*many, "9"], f"line {first + 8930}: .*, got 1 instead of 3 values"),
        ([*rows[:5], f"x{separator}a{separator}b\n", *rows[6:]], f"{value} 'x'"),
        ([*rows[:5], f"{separator}a{separator}b\n", *rows[6:]], f"{value} nothing"),
        ([], "expected rows, got an empty file"),
    ):  # fmt: skip
        (tmp_path / "in" / name).write_text(header * bool(content) + "".join(content))
        with pytest.raises(DataError, match=f"^{name}.*{message}"):
            prepare(dataset, tmp_path / "in", root=tmp_path)
    (tmp_path / "in" / name).write_bytes(gzip.compress((header + "".join(rows)).encode())[:-9])
    with pytest.raises(DataError, match=f"^{name}: expected a complete gzip, got"):
        prepare(dataset, tmp_path / "in", root=tmp_path)
    text = (header + "".join(many) + f"40{separator}é{separator}b\n").encode("latin-1")
    (tmp_path / "in" / name).write_bytes(text)
    if name == "movies.dat":
        assert "Text is read as LATIN-1." in prepare(dataset, tmp_path / "in", root=tmp_path).manifest["decisions"]
    else:
        with pytest.raises(DataError, match=f"^{name}, line {first + 8930}: expected text in UTF-8, .* set ENCODING"):
            prepare(dataset, tmp_path / "in", root=tmp_path)


@pytest.mark.parametrize("name", NAME_FILES)
def test_songs_without_a_name_or_with_two_are_counted(tmp_path, name):
    dataset, separator, _ = NAME_FILES[name]
    header, rows = write_named(tmp_path / "in", name)
    for content, expected in (
        (rows, []), (rows[:20], [("Songs that the file of names lacks", 10)]), (rows + rows, []),
        ([*rows, f"4{separator}A{separator}x\n"], [("Songs to which the file of names gives several. The first", 1)]),
    ):  # fmt: skip
        (tmp_path / "in" / name).write_text(header + "".join(content), encoding="utf-16")
        made = prepare(dataset, tmp_path / "in", root=tmp_path)
        found = [(each["sentence"].partition(" in the alph")[0], each["count"]) for each in made.manifest["warnings"]]
        assert [each for each in found if each[0].startswith("Songs")] == expected
        names = pd.read_parquet(made.folder / "items.parquet").set_index("item_id").name
        assert names[4] == ("A" if len(content) == 31 else "Name 4")


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return the content with one fault, of the kinds that files have when they were cut, edited or converted."""
    at, n = rng.randrange(len(content)), rng.randrange(1, 40)
    junk = rng.choice([b"\t", b"\n", b"\r", b'"', b"::", b",", b"\0", b"\x01", b"\xff", b"{"]) * rng.randrange(1, 4)
    lines, text = content.split(b"\n"), content.decode(errors="replace")
    rng.shuffle(lines)
    return rng.choice([
        content[:at], content[:at] + content[at + n :], content[:at] + junk + content[at:], b"\n".join(lines),
        content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :], content + content[at:],
        text.encode("utf-16"), text.encode("latin-1", "replace"),
    ])  # fmt: skip


@pytest.mark.parametrize(("folder", "name"), [
    ("lastfm-1k", LISTENS), ("lastfm-360k", PLAYS), ("yambda", "listens.parquet"),
    ("yambda-events", "multi_event.parquet"), ("movielens-csv", "ratings.csv"), ("movielens-dat", "ratings.dat"),
])  # fmt: skip
def test_a_damaged_file_is_an_error_or_every_row_is_accounted_for(engine, tmp_path, folder, name):
    rng, n_read = random.Random(name), 0
    for number in range(24):
        path = tmp_path / f"{folder} {number}"
        shutil.copytree(FILES / folder, path)
        content = damage((path / name).read_bytes(), rng)
        (path / name).write_bytes(content)
        try:
            found = find_dataset(path, engine)
            read = read_all(engine, open_dataset(found, path, engine), 0, "error", "error")
        except DataError:
            continue
        n_read += 1
        assert read.n_rows == count_rows(read.listens) + sum(read.left_out.values())
        if not name.endswith("parquet"):
            text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8")
            lines = text.replace("\r", "\n").removesuffix("\n").split("\n")
            lines = lines if "lastfm" in folder else [line for line in lines if line]
            assert read.n_rows == len(lines) - name.endswith("csv")
    assert n_read
