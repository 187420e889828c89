"""DATASET=auto takes the reader that fits, and says why; `make inspect` shows what a path is and how to read it."""

import gzip
import json
import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from recsys import inspect as command
from recsys import workflow
from recsys.data import prepare as preparation
from recsys.data import synthetic
from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.inspection import as_text, inspect_path
from recsys.data.prepare import prepare
from recsys.data.readers import READERS, find_dataset, open_dataset
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import never
from recsys.reports import runner
from recsys.reports.parameters import read_parameters, read_values
from recsys.runs import Run, project_root

FILES = Path(__file__).parent / "files"
REAL = project_root().parent / "shared" / "data"
EXPECTED = {
    "lastfm-1k": "lastfm-1k", "lastfm-360k": "lastfm-360k", "lastfm-scrobbles": "lastfm-scrobbles",
    "lastfm-scrobbles/ben.csv": "lastfm-scrobbles", "lastfm-scrobbles/shared.csv": "lastfm-scrobbles",
    "listenbrainz": "listenbrainz", "listenbrainz/listens.jsonl": "listenbrainz", "listenbrainz/dump": "listenbrainz",
    "listenbrainz/export": "listenbrainz", "movielens-csv": "movielens", "movielens-dat": "movielens",
    "movielens-csv/ratings.csv": "movielens", "spotify": "spotify", "spotify-one-year": "spotify",
    "spotify/ben": "spotify", "yambda": "yambda", "yambda-events": "yambda", "yambda/listens.parquet": "yambda",
    "lastfm-1k/userid-timestamp-artid-artname-traid-traname.tsv": "lastfm-1k",
}  # fmt: skip


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "scratch").mkdir()
    with start_engine(tmp_path / "scratch", threads=2) as engine:
        yield engine


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_own_forms(folder: Path) -> dict[str, Path]:
    """Write small files of the data sets that have none in tests/files; return their paths by name."""
    log = pd.concat([piece.to_pandas() for piece in synthetic.listens(20, 60, 300, seed=1)])
    for name in ("dsg17", "30music", "deezer-splits"):
        (folder / name).mkdir(parents=True)
    log.to_csv(folder / "dsg17" / "log.csv", index=False)
    for n, part in enumerate(("train", "validation", "test")):
        log.iloc[n::3].to_csv(folder / "deezer-splits" / f"{part}_dataset.csv", index=False)
    music = pd.DataFrame({"session_id": 1, "user_id": [1, 2], "song_id": [3, 4], "ts": 1_421_000_000, "playtime": 40})
    music.to_parquet(folder / "30music" / "sessions.parquet")
    write(folder / "lastfm" / "user_artists.dat", "userID\tartistID\tweight\n1\t2\t3\n")
    write(folder / "lastfm" / "artists.dat", 'id\tname\turl\tpictureURL\n2\t"Weird" Al\thttp://x\t\n')
    write(
        folder / "lastfm" / "user_taggedartists.dat", "userID\tartistID\ttagID\tday\tmonth\tyear\n1\t2\t3\t1\t4\t2009\n"
    )
    for part in ("train", "test"):
        write(folder / "lightgcn" / f"{part}.txt", "0 1 2 3 \n1\n2 4\n")
    write(folder / "csv" / "log.csv", "user_id,item_id,timestamp\na,b,1478000000\n")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(("path", "name"), EXPECTED.items())
def test_the_test_file_of_each_reader_is_recognised(engine, path, name):
    assert find_dataset(FILES / path, engine) == name
    assert re.fullmatch(rf"DATASET=auto: the files are read as '{name}', as .+ .+\.", engine.decisions[-1])
    opened = open_dataset("auto", FILES / path, engine)
    assert [source.fields for source in opened.sources]


def test_every_other_data_set_is_recognised(engine, tmp_path):
    paths = write_own_forms(tmp_path / "own")
    assert {name: find_dataset(path, engine) for name, path in paths.items()} == {name: name for name in paths}
    tested = {*paths, *EXPECTED.values()}
    assert {name for name, each in READERS.items() if each.rule is not never} == tested


def test_zips_compressed_files_and_patterns_are_recognised(engine, tmp_path):
    for name in ("movielens-dat", "spotify", "lastfm-1k", "yambda"):
        path = Path(shutil.make_archive(str(tmp_path / name), "zip", FILES / name))
        assert find_dataset(path, engine) == EXPECTED[name]
    plain = (FILES / "listenbrainz" / "listens.jsonl").read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain))
    assert find_dataset(tmp_path / "a*", engine) == "listenbrainz"
    text = (FILES / "lastfm-scrobbles" / "shared.csv").read_text(encoding="utf-8")
    (tmp_path / "b.csv").write_text(text, encoding="utf-16")
    assert find_dataset(tmp_path / "b.csv", engine) == "lastfm-scrobbles"


def test_files_of_two_data_sets_are_an_error_that_names_both(engine, tmp_path):
    shutil.copytree(FILES / "yambda", tmp_path / "all" / "yambda")
    shutil.copytree(FILES / "spotify", tmp_path / "all" / "spotify")
    with pytest.raises(DataError, match=r"fit 2: spotify \(.*\); yambda \(.*\); set DATASET to spotify or yambda"):
        open_dataset("auto", tmp_path / "all", engine)


def test_a_table_of_other_columns_is_never_guessed_at(engine, tmp_path):
    for text, arrived in (
        ("who,what,when\na,b,2020-01-01\n", r"log.csv with the columns 'who', 'what', 'when'; for any other table"),
        (
            "ada,17,99,1478000000\nbob,18,98,1478000001\n",
            r"log.csv with the first line 'ada', '17', '99', '1478000000'",
        ),
        ("1,2\n3,4\n", r"log.csv with the first line '1', '2'"),
        ("just one line", r"log.csv with the columns 'just one line'"),
        ("a\tb\tc\t3\n", r"log.csv with the columns 'a', 'b', 'c', '3'|log.csv with the first line 'a', 'b', 'c', '3'"),
    ):
        with pytest.raises(DataError, match=f"expected files of one of dsg17, .*csv, got {arrived}"):
            find_dataset(write(tmp_path / "log.csv", text), engine)
    with pytest.raises(DataError, match=r"expected files named \*.csv or .* got none"):
        find_dataset(write(tmp_path / "photos" / "a.jpg", "x").parent, engine)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="bad.parquet: expected a complete Parquet file"):
        find_dataset(tmp_path / "bad.parquet", engine)


def test_an_archive_of_another_kind_is_to_be_extracted(engine, tmp_path):
    path = Path(shutil.make_archive(str(tmp_path / "lastfm-dataset-1K"), "gztar", FILES, "lastfm-1k"))
    with pytest.raises(
        DataError, match=r"lastfm-dataset-1K.tar.gz: expected a table, .* got a tar archive; extract it"
    ):
        find_dataset(path, engine)


def test_one_file_of_a_folder_that_is_needed_whole_leads_to_the_folder(engine, tmp_path):
    paths = write_own_forms(tmp_path / "own")
    for path, name in ((paths["lastfm"] / "artists.dat", "lastfm"), (paths["lightgcn"] / "test.txt", "lightgcn")):
        with pytest.raises(DataError, match=f"its folder fits {name}, set DATA_PATH to the folder"):
            find_dataset(path, engine)


def test_parameters_that_name_columns_mean_csv(engine, tmp_path):
    path = write(tmp_path / "log.csv", "who,what\n" + "".join(f"u{n % 5},s{7 * n % 31}\n" for n in range(90)))
    assert find_dataset(path, engine, Options(user_column="who", item_column="what")) == "csv"
    assert "USER_COLUMN and ITEM_COLUMN are set" in engine.decisions[-1]
    find_dataset(path, engine, Options(user_column="who"))
    assert "USER_COLUMN is set" in engine.decisions[-1]
    find_dataset(path, engine, Options(user_column="who", item_column="what", name_column="what"))
    assert "USER_COLUMN, ITEM_COLUMN and NAME_COLUMN are set" in engine.decisions[-1]
    made = prepare("auto", path, root=tmp_path, user_column="who", item_column="what").manifest
    assert made["steps"][0]["rows_out"] == 90
    assert find_dataset(None, engine) == "sample"
    with pytest.raises(DataError, match="DATASET: expected one of auto, sample, .* got 'autp'; did you mean 'auto'?"):
        open_dataset("autp", path, engine)


@pytest.mark.real
@pytest.mark.parametrize(("folder", "name", "rows", "listened"), [
    ("30music", "30music", 343_183, 341_967), ("lastfm", "lastfm", 92_834, 92_834),
    ("amazoncds", "lightgcn", None, None), ("electronics", "lightgcn", None, None),
    ("ml-1m-ultragcn", "lightgcn", 895_699, 895_699),
])  # fmt: skip
def test_the_real_folders_are_recognised_and_counted(engine, folder, name, rows, listened):
    if not (REAL / folder).exists():
        pytest.skip("the real data sets are not next to this repository")
    assert find_dataset(REAL / folder, engine) == name
    if rows:
        seen = inspect_path(engine, REAL / folder)
        assert (seen.dataset, seen.n_rows, seen.n_listened, seen.problem) == (name, rows, listened, "")


COUNTS = {
    "lastfm-1k": (80, 79), "lastfm-360k": (80, 79), "yambda-events": (94, 50), "movielens-csv": (70, 40),
    "movielens-dat": (70, 46), "lastfm-scrobbles/shared.csv": None, "listenbrainz/listens.jsonl": None, "spotify": None,
}  # fmt: skip


@pytest.mark.parametrize(("path", "counts"), COUNTS.items())
def test_inspect_counts_what_prepare_reads_and_gives_the_command(engine, tmp_path, path, counts):
    seen = inspect_path(engine, FILES / path, shown=f"tests/files/{path}")
    made = prepare(seen.dataset, FILES / path, root=tmp_path, n_candidates=1).manifest
    read, positives = made["steps"][0], next(each for each in made["steps"] if each["step"] == "positives")
    assert (seen.n_rows, seen.n_listened) == (read["rows_out"], positives["rows_out"])
    assert counts in (None, (seen.n_rows, seen.n_listened))
    assert seen.command == f"make reports DATASET={EXPECTED[path]} DATA_PATH=tests/files/{path}"
    assert all(len(values) <= 3 for each in seen.files for values in each.values.values())


def parameters_of(command: str) -> dict[str, str]:
    """Return the NAME=value arguments of a command, as the shell reads them."""
    return dict(word.partition("=")[::2] for word in shlex.split(command)[2:])


ROWS = [(f"u{n % 5}", f"Band {n % 3}", f"Song {7 * n % 31}", 1_478_000_000 + 60 * n) for n in range(90)]
PLAYED = [n % 3 * 30_000 + n % 2 for n in range(90)]  # milliseconds: more than 30 s in 45 rows


@pytest.mark.parametrize(("header", "columns", "last", "expected", "listened"), [
    ("User;artist_name;Track;Played At;ms_played", [0, 1, 2, 3], PLAYED,
     {"USER_COLUMN": "User", "ITEM_COLUMN": "artist_name,Track", "TIME_COLUMN": "Played At",
      "MILLISECONDS_COLUMN": "ms_played"}, 45),
    ("user_id,item_id,timestamp", [0, 2], [row[3] for row in ROWS], {}, 90),
    ("user_id,item_id,rating", [0, 2], [n % 6 for n in range(90)], {"POSITIVE_FROM": "4"}, 30),
    ("listener|track_id|is_listened", [0, 2], [n % 2 for n in range(90)],
     {"USER_COLUMN": "listener", "ITEM_COLUMN": "track_id", "LISTENED_COLUMN": "is_listened"}, 45),
    ("who::song::x", [0, 2], [0] * 90, {"USER_COLUMN": "who", "ITEM_COLUMN": "song", "SEPARATOR": "::"}, 90),
])  # fmt: skip
def test_the_command_of_inspect_reads_any_table(engine, tmp_path, header, columns, last, expected, listened):
    separator = re.search(r"[^\w ]+", header)[0]
    rows = [[*(row[column] for column in columns), value] for row, value in zip(ROWS, last, strict=True)]
    lines = [separator.join(map(str, row)) for row in rows]
    path = write(tmp_path / "my log.csv", "\n".join([header, *lines]) + "\n")
    seen = inspect_path(engine, path)
    assert seen.problem == "" and (seen.n_rows, seen.n_listened) == (90, listened)
    assert parameters_of(seen.command) == {"DATASET": "csv", "DATA_PATH": str(path), **expected}
    values = {name.lower(): float(value) if name == "POSITIVE_FROM" else value for name, value in expected.items()}
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    made = prepare("csv", path, root=tmp_path, n_candidates=2, **values, **fractions).manifest
    assert next(each for each in made["steps"] if each["step"] == "positives")["rows_out"] == listened


def test_inspect_asks_for_what_it_cannot_know(engine, tmp_path):
    path = write(tmp_path / "log.csv", "ada,7,1478000000\nbob,8,1478000009\n")
    seen = inspect_path(engine, path, shown="log.csv")
    assert seen.command == "make reports DATASET=csv DATA_PATH=log.csv COLUMNS='? ? ?' USER_COLUMN='?' ITEM_COLUMN='?'"
    assert seen.n_rows is None and seen.problem.startswith("COLUMNS, USER_COLUMN and ITEM_COLUMN must be set")
    assert as_text(seen).splitlines()[2:6] == [
        "log.csv (text, without a header)", "  column 1  ada | bob", "  column 2  7 | 8",
        "  column 3  1478000000 | 1478000009",
    ]  # fmt: skip
    named = Options(columns="user_id item_id timestamp")
    seen = inspect_path(engine, path, options=named, shown="log.csv")
    assert (seen.n_rows, seen.n_listened, seen.problem) == (2, 2, "")
    assert seen.command == "make reports DATASET=csv DATA_PATH=log.csv COLUMNS='user_id item_id timestamp'"


def test_inspect_names_the_candidates_and_the_problem(engine, tmp_path):
    shutil.copytree(FILES / "yambda", tmp_path / "all" / "yambda")
    shutil.copytree(FILES / "movielens-csv", tmp_path / "all" / "films")
    seen = inspect_path(engine, tmp_path / "all", shown="all")
    assert seen.problem == "set DATASET to yambda or movielens"
    assert seen.command == "make reports DATASET='?' DATA_PATH=all"
    seen = inspect_path(engine, tmp_path / "all", "yambda", shown="all")
    assert (seen.n_rows, seen.n_listened) == (80, 50)
    path = write(tmp_path / "log.csv", "user_id,item_id,timestamp\na,b,1478000000\na,,1478000001\n")
    seen = inspect_path(engine, path, shown="log.csv")
    assert "EMPTY_IDS=drop" in seen.command.split() and (seen.n_rows, seen.n_listened, seen.problem) == (2, 1, "")
    path = write(tmp_path / "log.csv", "user_id,item_id,timestamp\na,b,1478000000\na,c,yesterday\n")
    seen = inspect_path(engine, path, shown="log.csv")
    assert "The rows are not counted: log.csv, line 3" in as_text(seen)
    assert as_text(seen).endswith("works once that is mended:\n\nmake reports DATASET=csv DATA_PATH=log.csv")


HEAD = "user_id,item_id,timestamp\n"
LISTENS = [f"u{n % 5},s{7 * n % 31},{1_478_000_000 + 60 * n}\n" for n in range(90)]
FAULTS = {  # what is wrong → the file, the parameters that get past it, the rows that are left
    "empty": ("".join([HEAD, *LISTENS, ",s1,1478000000\n"]), {"EMPTY_IDS": "drop"}, 90),
    "outside": ("".join([HEAD, *LISTENS, "u1,s1,1\n"]), {"TIMES_OUTSIDE": "drop"}, 90),
    "both": (
        "".join([HEAD, *LISTENS, "u1,s1,1\n", "u1,,1478000000\n"]), {"EMPTY_IDS": "drop", "TIMES_OUTSIDE": "drop"}, 90
    ),
    "format": (
        HEAD + "".join(f"u{n % 5},s{7 * n % 31},{n % 28 + 1:02}.03.2020 {n % 24:02}:10:19\n" for n in range(90)),
        {"TIME_FORMAT": "%d.%m.%Y %H:%M:%S"}, 90,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_command_of_inspect_gets_past_the_faults_that_it_found(engine, tmp_path, fault):
    content, expected, n_left = FAULTS[fault]
    seen = inspect_path(engine, path := write(tmp_path / "log.csv", content), shown="log.csv")
    given = parameters_of(seen.command)
    assert given == {"DATASET": "csv", "DATA_PATH": "log.csv", **expected} and seen.n_listened == n_left
    text = as_text(seen)
    for name, value in expected.items():
        assert f"- Without {name}={shlex.quote(value)} this is an error: log.csv, " in text
    values = {name.lower(): value for name, value in expected.items()}
    with pytest.raises(DataError):
        prepare("csv", path, root=tmp_path)
    assert prepare("csv", path, root=tmp_path, **values).manifest["parts"]


def test_inspect_takes_the_parameters_that_it_prints(capsys, tmp_path):
    path = write(tmp_path / "log.csv", FAULTS["both"][0])
    arguments = [f"DATA_PATH={path}"]
    assert command.main(arguments) == 0
    printed = shlex.split(capsys.readouterr().out.splitlines()[-1])[2:]
    assert command.main(printed) == 0
    text = capsys.readouterr().out
    assert {*shlex.split(text.splitlines()[-1])[2:]} == {*printed} and "Without" not in text
    assert command.main([*arguments, "EMPTY_IDS=dorp"]) == 2
    assert "EMPTY_IDS: expected one of error, drop, got 'dorp'; did you mean 'drop'?" in capsys.readouterr().err


def test_inspect_warns_of_too_few_songs_as_a_report_does(engine, tmp_path):
    path = write(tmp_path / "log.csv", HEAD + "".join(f"u{n % 5},s{n % 20},{1_478_000_000 + n}\n" for n in range(90)))
    seen = inspect_path(engine, path)
    with pytest.raises(DataError) as error:
        prepare("csv", path, root=tmp_path)
    assert str(error.value) == f"log.csv: {seen.too_few}" and "at least 21 different songs" in seen.too_few
    assert f"This is too little for a report: {seen.too_few}." in as_text(seen)
    assert not inspect_path(engine, write(tmp_path / "log.csv", HEAD + "".join(LISTENS))).too_few


def test_inspect_lists_the_columns_that_are_not_used(engine, tmp_path):
    rows = [
        f"u{n % 5};s{7 * n % 31};{n % 28 + 1:02}.03.2020 {n % 24:02}:10;{n % 60},5;web;2020-01-01\n" for n in range(90)
    ]
    path = write(tmp_path / "log.csv", "Hörer;Lied;Gehört am;Dauer in s;Gerät;Datum\n" + "".join(rows))
    time = "written times; if they say when a row was listened to, set TIME_COLUMN='Gehört am'"
    length = "numbers; if they say how long a listen was, set SECONDS_COLUMN='Dauer in s' or MILLISECONDS_COLUMN="
    own = Options(user_column="Hörer", item_column="Lied")
    for seen in (inspect_path(engine, path), inspect_path(engine, path, options=own)):
        assert seen.unused["Gehört am"].startswith(time) and seen.unused["Dauer in s"].startswith(length)
        assert seen.unused["Gerät"] == seen.unused["Datum"] == ""
        assert "TIME_COLUMN" not in seen.command and "SECONDS_COLUMN" not in seen.command
    assert "Columns that are not used: Gehört am, Dauer in s, Gerät, Datum.\n- Gehört am: written" in as_text(seen)
    own = Options(user_column="Hörer", item_column="Lied", time_column="Gehört am", seconds_column="dauer in s")
    seen = inspect_path(engine, path, options=own)
    assert seen.unused == {"Gerät": "", "Datum": ""} and seen.n_listened == sum(n % 60 > 29 for n in range(90))
    path = write(tmp_path / "log.csv", "user_id,Artist,title,timestamp,album,x\na,b,c,2020-01-01,d,e\n")
    assert inspect_path(engine, path, options=Options(item_column="artist,title")).unused == {"x": ""}


def test_values_of_inspect_are_three_different_short_ones(engine, tmp_path):
    rows = [{"user_id": "a" * 60, "item_id": n % 2, "extra": {"b": n}} for n in range(6)]
    path = write(tmp_path / "log.json", json.dumps(rows))
    (shown,) = inspect_path(engine, path).files
    assert shown.kind == "json"
    assert shown.values == {
        "user_id": ["a" * 40 + "…"],
        "item_id": ["0", "1"],
        "extra": ['{"b": 0}', '{"b": 1}', '{"b": 2}'],
    }


def test_the_command_prints_text_and_ends_with_the_next_command(capsys):
    assert command.main([f"DATA_PATH={FILES / 'yambda-events'}"]) == 0
    text = capsys.readouterr().out
    assert "  event_type            listen | like | dislike\n" in text
    assert "Of 94 rows, 50 count as listened. Left out: 14 (likes and dislikes).\n" in text
    assert text.startswith(f"{FILES / 'yambda-events'}: 1 file")
    assert parameters_of(text.splitlines()[-1]) == {"DATASET": "yambda", "DATA_PATH": str(FILES / "yambda-events")}
    for arguments, message in (
        ([], "DATA_PATH: expected a file or folder, got nothing"),
        (["DATA_PATH=nowhere.csv"], "DATA_PATH: expected a file or a folder at nowhere.csv, got nothing there"),
        (["PATH=x"], r"expected the name of a parameter \(nearest: DATA_PATH"),
        (["DATA_PATH=tests/files/yambda", "DATASET=yamda"], "DATASET: expected one of auto, .* did you mean 'yambda'"),
    ):
        assert command.main(arguments) == 2
        assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(("arguments", "expected"), [
    ("", "sample"), ("DATASET=auto", "sample"), ("DATASET=dsg17", "dsg17"), ("DATA_PATH=tests/files/yambda", "yambda"),
    ("DATASET=auto DATA_PATH=tests/files/movielens-dat", "movielens"), ("DATASET=csv DATA_PATH=nowhere", "csv"),
    ("DATA_PATH=tests/files/yambda USER_COLUMN=uid", "csv"), ("DATA_PATH=nowhere", "auto"),
])  # fmt: skip
def test_an_empty_dataset_is_the_sample_or_what_the_path_holds(monkeypatch, arguments, expected):
    """The runner, which names the report, and the notebook, which reads the data, decide in the same way."""
    parameters = read_parameters([project_root() / "notebooks" / "01_prepare.ipynb"])
    used = {name: each.default for name, each in parameters.items()}
    used |= read_values(arguments.split(), parameters, project_root())
    assert runner._dataset(used, project_root()) == expected
    asked = []

    def remember(dataset, path, **given):
        asked.append((dataset, path))
        raise DataError("read no further")

    monkeypatch.setattr(preparation, "prepare", remember)
    with pytest.raises(DataError):
        workflow.prepare_run(Run("any", project_root()), used["DATASET"], used["DATA_PATH"])
    path = project_root() / used["DATA_PATH"] if used["DATA_PATH"] else None
    assert asked == [(used["DATASET"] or ("auto" if path else "sample"), path)]


SHOWS_MORE = ("a column", "a named column", "another reader", "a list")  # where inspect says more than the error
WRONG = {  # what the file holds, the parameters, and the start of the error
    "a value": (HEAD + "a,b,1478000000\na,b,yesterday\n", {}, "log 1.csv, line 3, column 'timestamp': expected a time"),
    "a column": ("who,what\na,b\n", {}, "DATASET: expected files of one of .*, got log 1.csv with the columns 'who'"),
    "a named column": (HEAD + "a,b,1\n", {"user_column": "who"}, "log 1.csv: expected a column 'who', got 'user_id'"),
    "a row": (HEAD + "a,b,1478000000\na\n", {}, "log 1.csv, line 3: expected rows like the header"),
    "bytes": (b"\xff\xfe\xfd", {}, "DATASET: expected files of one of .*, got log 1.csv, which is no table"),
    "nothing": ("", {}, "log 1.csv: expected rows, got an empty file"),
    "no file": (None, {}, "DATA_PATH: expected a file or a folder at log 1.csv, got nothing there"),
    "no listens": (HEAD + "a,b,1478000000\n", {}, "log 1.csv: expected at least 2 users with a row that counts"),
    "another reader": (HEAD + "a,b,1478000000\n", {"dataset": "yambda"}, "log 1.csv: expected a column 'uid'"),
    "a list": ("[1, 2]", {"dataset": "spotify"}, "log 1.csv: expected Spotify's ts, ms_played, .*, got '.1', '2.'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_of_reading_ends_with_the_command_that_shows_more_than_it(tmp_path, case):
    content, parameters, message = WRONG[case]
    if content is not None:
        (tmp_path / "log 1.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        workflow.prepare_run(Run("any", tmp_path), parameters.pop("dataset", ""), "log 1.csv", **parameters)
    hint = "read them, type: make inspect DATA_PATH='log 1.csv'"
    assert str(error.value).endswith(hint) == ("inspect" in str(error.value)) == (case in SHOWS_MORE)


def test_a_path_is_shown_as_it_was_typed(capsys, tmp_path):
    missing = tmp_path / "nothere.csv"
    assert command.main([f"DATA_PATH={missing}"]) == 2
    assert capsys.readouterr().err == f"DATA_PATH: expected a file or a folder at {missing}, got nothing there\n"
    parameters = read_parameters([project_root() / "notebooks" / "01_prepare.ipynb"])
    root = tmp_path / "project"
    for path, hint in ((missing, False), (write(tmp_path / "other.csv", "who,what\na,b\n"), True)):
        typed = read_values([f"DATA_PATH={path}"], parameters, root)["DATA_PATH"]
        assert typed.startswith("..")
        with pytest.raises(DataError) as error:
            workflow.prepare_run(Run("any", root), "", typed)
        assert ".." not in str(error.value) and str(error.value).endswith(f"make inspect DATA_PATH={path}") == hint


def test_an_error_without_a_path_has_no_such_line(tmp_path):
    with pytest.raises(DataError) as error:
        workflow.prepare_run(Run("any", tmp_path), split="by-date")
    assert "SPLIT: expected one of" in str(error.value) and "inspect" not in str(error.value)
