"""The readers of what people have of themselves: Spotify's histories, scrobbles of Last.fm, exports of ListenBrainz."""

import csv
import gzip
import json
import re
import shutil
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.prepare import prepare
from recsys.data.readers import find_dataset, open_dataset
from recsys.data.readers.options import NOTHING_SET, Options
from recsys.data.reading import read_all
from recsys.data.split import Split

FILES = Path(__file__).parent / "files"
NAME, ARTIST = "master_metadata_track_name", "master_metadata_album_artist_name"
BEN = "ben_ö'21"  # the username in his files
AWKWARD = [
    'say "when"', "a, b; c\tend", "log[1]*?", "für Ü", "🎈", "NULL", "null", "NaN", "None", "1979", "=SUM(A1)", "a – b",
    "O'Hara's \\ road", "e\u0301", "#1 hit", "two\nlines", "{}", "  spaced", "01 Jan 2020, 12:34",
]  # fmt: skip


class Found:
    """What is read of a path: `listens` as sorted (user, song, time, listened), `songs` by id, and the account."""

    def __init__(self, folder: Path, dataset: str, path: Path, options: Options = NOTHING_SET, empty: str = "error"):
        with tempfile.TemporaryDirectory(dir=folder) as scratch, start_engine(Path(scratch), threads=2) as engine:
            data = open_dataset(dataset, path, engine, options)
            read = read_all(engine, data, 0, empty, "error")
            self.n_rows, self.left_out, self.decisions = read.n_rows, read.left_out, engine.decisions
            rows = read.listens.to_pandas()
            for what in ("user", "item"):
                names = read.names[what].to_pandas().set_index("key").id
                rows[what] = names[rows[f"{what}_id"]].to_numpy()
            times = [moment.replace(tzinfo=UTC) for moment in rows.timestamp.dt.to_pydatetime()]
            listened = [bool(each) for each in rows.listened]
            self.listens = sorted(zip(rows.user, rows.item, times, listened, strict=True))
            songs = [row for each in read.rows for row in each.described("item").to_pandas().to_dict("records")]
            self.songs = {row.pop("item_id"): row for row in songs}

    @property
    def users(self) -> set[str]:
        return {user for user, *_ in self.listens}


@pytest.fixture
def read(tmp_path_factory):
    """Return a function that reads a path."""
    return partial(Found, tmp_path_factory.getbasetemp())


def utc(text: str, form: str = "%Y-%m-%dT%H:%M:%SZ") -> datetime:
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def write(path: Path, content: str | list | dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def objects(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def play(**other) -> dict:
    """Return one play of an extended streaming history."""
    known = {"ts": "2022-05-01T10:00:00Z", "ms_played": 60_000, NAME: "Slow Tram", ARTIST: "Okko",
             "master_metadata_album_album_name": "Okko", "spotify_track_uri": "spotify:track:1"}  # fmt: skip
    return known | {"episode_name": None, "spotify_episode_uri": None} | other


def zip_folder(folder: Path, target: Path) -> Path:
    return Path(shutil.make_archive(str(target.with_suffix("")), "zip", folder))


# Spotify


def expected_of_spotify() -> list[tuple]:
    """Return the listens of tests/files/spotify, read with Python's own JSON."""
    rows = []
    for person, files in (("ada", "ada/**/*_Audio_*.json"), (BEN, "ben/**/endsong*.json"), ("cora", "cora/*_Audio_*")):
        for path in (FILES / "spotify").glob(files):
            for each in json.loads(path.read_text(encoding="utf-8")):
                if each[NAME] is not None:
                    when = utc(each["ts"])
                    rows.append((person, each["spotify_track_uri"], when, each["ms_played"] > 30_000))
    return sorted(rows)


def test_the_extended_history_of_three_people(read):
    found = read("spotify", FILES / "spotify")
    assert found.listens == expected_of_spotify()
    assert found.users == {"ada", BEN, "cora"} and len(found.listens) == 55
    assert {listened for *_, listened in found.listens} == {True, False}
    assert found.left_out == {"podcasts and audiobooks": 4, "plays without a track": 1}
    assert found.n_rows == 60
    names = {(song["name"], song["artist"], song["album"]) for song in found.songs.values()}
    assert ("Intro", "Mirela Voss", "Glasshouse") in names and ("Intro", "The Quiet Harbours", "Salt Road") in names
    assert ("Null", "Tin Can Choir", "B-Sides, Vol. 2") in names and ("🎈", "Okko", "Okko") in names
    assert "Files without a username are of one person for each folder or zip: 2 of them." in found.decisions
    assert all("ada" not in each.split("column")[0].lower() for each in found.decisions if "username" in each)


def test_listened_is_more_than_30_seconds(read, tmp_path):
    lengths = {0: False, 29_999: False, 30_000: False, 30_001: True, 3_600_000: True}
    rows = [play(ms_played=ms, spotify_track_uri=f"spotify:track:{ms}") for ms in lengths]
    found = read("spotify", write(tmp_path / "me" / "endsong_0.json", rows))
    assert {int(song.split(":")[2]): listened for _, song, _, listened in found.listens} == lengths
    assert found.users == {"me"}


def test_the_zip_as_it_came_the_folder_and_one_file_are_read_alike(read, tmp_path):
    folder = FILES / "spotify" / "ada"
    archive = zip_folder(folder, tmp_path / "ada" / "my_spotify_data.zip")
    as_folder, as_zip = read("spotify", folder), read("spotify", archive)
    assert as_zip.listens == as_folder.listens and as_folder.users == {"ada"}
    assert as_zip.left_out == as_folder.left_out and as_zip.songs == as_folder.songs
    one = read("spotify", folder / "Spotify Extended Streaming History" / "Streaming_History_Audio_2021_0.json")
    two = read("spotify", folder / "Spotify Extended Streaming History" / "Streaming_History_Audio_2022_1.json")
    assert sorted(one.listens + two.listens) == as_folder.listens
    pattern = read("spotify", FILES / "spotify" / "**" / "Streaming_History_Audio_*.json")
    assert pattern.listens == [row for row in expected_of_spotify() if row[0] != BEN]


def test_compressed_files_and_zips_of_several_people(read, tmp_path):
    for name in ("ada", "cora"):
        zip_folder(FILES / "spotify" / name, tmp_path / "all" / name / "my_spotify_data.zip")
    content = (FILES / "spotify" / "ben" / "MyData" / "endsong_0.json").read_bytes()
    (tmp_path / "all" / "endsong_0.json.gz").write_bytes(gzip.compress(content))
    found = read("spotify", tmp_path / "all")
    assert found.listens == expected_of_spotify()


def test_people_whose_folders_have_the_same_name_stay_apart(read, tmp_path):
    for place in ("ada/MyData", "ben/MyData", "c/history", "d/history"):
        write(tmp_path / "all" / place / "endsong_0.json", [play()])
    for number in ("", " (1)"):
        write(tmp_path / "zip" / "endsong_0.json", [play()])
        zip_folder(tmp_path / "zip", tmp_path / "all" / "downloads" / f"my_spotify_data{number}.zip")
    people = {"ada", "ben", "c/history", "d/history", "downloads", "my_spotify_data (1)"}
    assert read("spotify", tmp_path / "all").users == people


def test_the_history_of_one_year(read):
    found = read("spotify", FILES / "spotify-one-year")
    rows = []
    for person, pattern in (("dora", "dora/**/*_music_*.json"), ("emil", "emil/**/*.json")):
        for path in (FILES / "spotify-one-year").glob(pattern):
            for each in json.loads(path.read_text(encoding="utf-8")):
                song = f"{each['artistName']} – {each['trackName']}"
                rows.append((person, song, utc(each["endTime"], "%Y-%m-%d %H:%M"), each["msPlayed"] > 30_000))
    assert found.listens == sorted(rows) and len(rows) == 42 and found.left_out == {}
    assert found.songs["Mirela Voss – Intro"] == {"name": "Intro", "artist": "Mirela Voss"}
    assert "The Quiet Harbours – Intro" in found.songs
    assert "Songs are pairs of artist and track, as the history of one year has no ids." in found.decisions


def test_times_in_another_form_than_the_usual_one(read, tmp_path):
    for number, ts in enumerate(["2022-05-01T12:00:00+02:00", "2022-05-01 10:00", 1_651_399_200, "1651399200000"]):
        rows = [play(ts=ts), play(ts=ts, spotify_track_uri="spotify:track:2")]
        found = read("spotify", write(tmp_path / str(number) / "endsong_0.json", rows))
        assert {when for _, _, when, _ in found.listens} == {utc("2022-05-01T10:00:00Z")}, ts


def test_a_track_without_a_uri_is_artist_and_track(read, tmp_path):
    rows = [play(spotify_track_uri=None), play(spotify_track_uri=""), play()]
    found = read("spotify", write(tmp_path / "me" / "endsong_0.json", rows))
    assert [song for _, song, *_ in found.listens] == ["Okko – Slow Tram"] * 2 + ["spotify:track:1"]


SPOTIFY_ERRORS = {
    "both forms": (
        {"a/endsong_0.json": [play()], "a/StreamingHistory_music_0.json": [
            {"endTime": "2024-01-15 14:30", "artistName": "Okko", "trackName": "Slow Tram", "msPlayed": 40_000}]},
        "expected one form of Spotify's history, got the extended one in a/endsong_0.json and that of one year in "
        "a/StreamingHistory_music_0.json: .*; move one form to another folder, or name the files of the other as a",
    ),
    "with and without a username": (
        {"a/endsong_0.json": [play(username="ada")], "a/Streaming_History_Audio_2022_0.json": [play()]},
        "got a/endsong_0.json with a username and a/Streaming_History_Audio_2022_0.json without one; keep the files of",
    ),
    "other columns": (
        {"endsong_0.json": [{"ts": "2022-05-01T10:00:00Z", "track": "Slow Tram"}]},
        "endsong_0.json: expected Spotify's ts, ms_played, .*, or endTime, .*, got 'ts', 'track'",
    ),
    "a user's name is missing": (
        {"endsong_0.json": [play(username="ada"), play(username=None)]},
        "endsong_0.json, row 2, column 'person': expected an id .*, got nothing; 1 row without a user or a song",
    ),
    "no number": (
        {"endsong_0.json": [play(), play(ms_played="long")]},
        "endsong_0.json, row 2, column 'ms_played': expected a number of milliseconds, got 'long'",
    ),
    "mixed times": (
        {"endsong_0.json": [play(), play(ts=1_650_000_000)]},
        "endsong_0.json, column 'ts': expected times in one form, got 1 of unix seconds and 1 of written dates",
    ),
    "cut off": ({"endsong_0.json": json.dumps([play(), play()])[:-40]}, "endsong_0.json"),
    "nothing": ({"Playlist1.json": [{"playlists": []}]}, "expected files named Streaming_History_Audio.* in all, got"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOTIFY_ERRORS)
def test_errors_of_spotify_say_what_to_do(read, tmp_path, case):
    files, message = SPOTIFY_ERRORS[case]
    for name, content in files.items():
        write(tmp_path / "all" / name, content)
    with pytest.raises(DataError, match=message):
        read("spotify", tmp_path / "all")


# Scrobbles of Last.fm


def expected_of_scrobbles() -> list[tuple]:
    """Return the listens of tests/files/lastfm-scrobbles, read with Python's own CSV."""

    def table(name: str, **style) -> list[list[str]]:
        with open(FILES / "lastfm-scrobbles" / name, encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file, **style))

    rows = []
    for uts, _, artist, _, _, _, track, _ in table("recenttracks-ada_lovely-1705330800.csv")[1:]:
        rows.append(("ada_lovely", artist, track, datetime.fromtimestamp(int(uts), UTC)))
    for artist, _, track, when in table("ben.csv"):
        rows.append(("ben", artist, track, utc(when, "%d %b %Y %H:%M")))
    for artist, _, _, track, when in table("lastfmstats-cora.csv", delimiter=";")[1:]:
        rows.append(("cora", artist, track, datetime.fromtimestamp(int(when) / 1000, UTC)))
    for user, when, artist, _, track in table("shared.csv")[1:]:
        rows.append((user, artist, track, utc(when, "%d %b %Y, %H:%M")))
    return sorted((user, f"{artist} – {track}", when, True) for user, artist, track, when in rows)


def test_scrobbles_of_four_exporters(read):
    found = read("lastfm-scrobbles", FILES / "lastfm-scrobbles")
    assert found.listens == expected_of_scrobbles()
    assert found.users == {"ada_lovely", "ben", "cora", "Dora", "emil"}
    assert (found.n_rows, found.left_out) == (len(found.listens), {})
    named = {"name": "Null", "artist": "Tin Can Choir", "album": "B-Sides, Vol. 2"}
    assert found.songs["Tin Can Choir – Null"] == named
    assert {
        "Songs are pairs of artist and track.",
        "Files without a header have the columns artist, album, track, utc_time.",
        "Without a column of users, each file is one person, named like the file: 2 files.",
    } <= {*found.decisions}


@pytest.mark.parametrize(
    "content",
    [
        'uts,utc_time,artist,album,track\n1577882040,"01 Jan 2020, 12:34",Okko,LP,Slow Tram\n',
        '1577882040,"01 Jan 2020, 12:34",Okko,LP,Slow Tram\n',
        '1577882040,"01 Jan 2020, 12:34",Okko,m1,LP,m2,Slow Tram,m3\n',
        "Okko,LP,Slow Tram,01 Jan 2020 12:34\n",
        'Okko,LP,Slow Tram,"1 Jan 2020, 12:34"\n',
        "ada,Okko,LP,Slow Tram,01 Jan 2020 12:34\n",
        'ada,1577882040,"01 Jan 2020, 12:34",Okko,LP,Slow Tram\n',
        "ada\t1577882040\t01 Jan 2020, 12:34\tOkko\tm1\tLP\tm2\tSlow Tram\tm3\n",
        "Track;Artist;utc_time\nSlow Tram;Okko;01 Jan 2020, 12:34\n",
        ",Username,Artist,Track,Album,Date,Time\n0,ada,Okko,Slow Tram,LP, 01 Jan 2020, 12:34\n",
        "# exported today; by a program\nartist,track,uts\nOkko,Slow Tram,1577882040\n",
        "Artist, Track, UTS\nOkko, Slow Tram, 1577882040\n",
        "Okko, LP, Slow Tram, 01 Jan 2020 12:34\n",
        "artist,track,date\nOkko,Slow Tram,2020-01-01T13:34:00+01:00\n",
        "username,timestamp,artist_name,track_name\nada,1577882040000,Okko,Slow Tram\n",
    ],
)
def test_headers_layouts_and_times_of_all_kinds(read, tmp_path, content):
    found = read("lastfm-scrobbles", write(tmp_path / "all" / "ada.csv", content))
    assert found.listens == [("ada", "Okko – Slow Tram", datetime(2020, 1, 1, 12, 34, tzinfo=UTC), True)]


def test_scrobbles_in_gzip_zip_and_utf_16(read, tmp_path):
    source = FILES / "lastfm-scrobbles"
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "ben.csv.gz").write_bytes(gzip.compress((source / "ben.csv").read_bytes()))
    text = (source / "recenttracks-ada_lovely-1705330800.csv").read_text(encoding="utf-8")
    (tmp_path / "all" / "ada_lovely.CSV").write_text(text, encoding="utf-16")
    (tmp_path / "more").mkdir()
    for name in ("shared.csv", "lastfmstats-cora.csv"):
        shutil.copy(source / name, tmp_path / "more")
    zip_folder(tmp_path / "more", tmp_path / "all" / "more.zip")
    assert read("lastfm-scrobbles", tmp_path / "all").listens == expected_of_scrobbles()


def test_files_of_the_same_name_in_several_folders_are_several_people(read, tmp_path):
    for place in ("ada/scrobbles", "ben/scrobbles", "cora"):
        write(tmp_path / "all" / f"{place}.csv", "Okko,LP,Slow Tram,01 Jan 2020 12:34\n")
    found = read("lastfm-scrobbles", tmp_path / "all")
    assert found.users == {"ada/scrobbles", "ben/scrobbles", "cora"} and len(found.listens) == 3


def test_a_time_format_of_ones_own(read, tmp_path):
    path = write(tmp_path / "ada.csv", "artist,track,date\nOkko,Slow Tram,02/01/2020 12.34\n")
    found = read("lastfm-scrobbles", path, Options(time_format="%d/%m/%Y %H.%M"))
    assert found.listens[0][2] == datetime(2020, 1, 2, 12, 34, tzinfo=UTC)
    both = 'TIME_FORMAT="%d/%m/%Y %H.%M" or TIME_FORMAT="%m/%d/%Y %H.%M" reads such times'
    with pytest.raises(DataError, match=f"column 'date': expected a time .*; {both}"):
        read("lastfm-scrobbles", path)


def test_scrobbles_without_an_artist_are_an_error_or_are_counted(read, tmp_path):
    text = "artist,track,uts\nOkko,Slow Tram,1577882040\n,Intro,1577882041\nOkko,,1577882042\n"
    path = write(tmp_path / "ada.csv", text)
    with pytest.raises(DataError, match="ada.csv, line 3, column 'artist and track': .*; 2 rows .*EMPTY_IDS=drop"):
        read("lastfm-scrobbles", path)
    found = read("lastfm-scrobbles", path, empty="drop")
    assert (len(found.listens), found.n_rows, sum(found.left_out.values())) == (1, 3, 2)


SCROBBLE_ERRORS = {
    "no artist": ("name,plays\nSlow Tram,3\n", "a.csv: expected a header with artist, track and uts or utc_time, or"),
    "unknown layout": ("Slow Tram,Okko,1577882040\n", "got the line 'Slow Tram,Okko,1577882040'; write a first line"),
    "no time": (
        "artist,track\nOkko,Slow Tram\n",
        "a.csv: expected a header .*and uts or .*, got the line 'artist,track'",
    ),
    "a comment or not": (
        "#1 Dads,LP,Slow Tram,01 Jan 2020 12:34\nOkko,LP,Intro,01 Jan 2020 12:35\n",
        "got the line '#1 Dads.*; write a first",
    ),
    "mixed times": (
        'artist,track,utc_time\nOkko,Slow Tram,1577882040\nOkko,Intro,"01 Jan 2020, 12:34"\n',
        "a.csv, column 'utc_time': expected times in one form, got 1 of unix seconds and 1 of written dates",
    ),
    "never played": (
        "uts,artist,track\n1577882040,Okko,Intro\n0,Okko,Slow Tram\n",
        "a.csv, line 3, column 'uts': expected a time between 1970 and now.*TIMES_OUTSIDE=drop leaves (?:it|them) out",
    ),
    "ragged": ("Okko,LP,Slow Tram,01 Jan 2020 12:34\nOkko,LP,Slow Tram\n", "a.csv"),
    "latin-1": ("Okko,LP,für Ü,01 Jan 2020 12:34\n".encode("latin-1"), "a.csv: expected text in UTF-8.* set ENCODING"),
}


@pytest.mark.parametrize("case", SCROBBLE_ERRORS)
def test_errors_of_scrobbles_say_what_to_do(read, tmp_path, case):
    content, message = SCROBBLE_ERRORS[case]
    (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read("lastfm-scrobbles", tmp_path / "a.csv")


# ListenBrainz


def expected_of_listenbrainz(*files: str, user: str = "") -> list[tuple]:
    """Return the listens of files in tests/files/listenbrainz, read with Python's own JSON."""
    rows = []
    for each in (each for name in files for each in objects(FILES / "listenbrainz" / name)):
        track = each["track_metadata"]
        song = (track.get("mbid_mapping") or {}).get("recording_mbid")
        song = song or each.get("recording_msid") or track["recording_msid"]
        when = datetime.fromtimestamp(each.get("listened_at") or each["timestamp"], UTC)
        rows.append((each.get("user_name") or user, song, when, True))
    return sorted(rows)


def test_listens_as_json_lines_as_a_list_and_compressed(read, tmp_path):
    source = FILES / "listenbrainz" / "listens.jsonl"
    found, expected = read("listenbrainz", source), expected_of_listenbrainz("listens.jsonl")
    assert found.listens == expected and len(expected) == 15 and found.users == {"cora", "Döra 🎈"}
    assert (found.n_rows, found.left_out) == (15, {})
    for each in objects(source):
        track = each["track_metadata"]
        song = track.get("mbid_mapping", {}).get("recording_mbid") or each["recording_msid"]
        named = {"name": track["track_name"], "artist": track["artist_name"], "album": track["release_name"]}
        assert found.songs[song] == named
    assert any("MBID" in each for each in found.decisions)
    write(tmp_path / "cora_lb-2021.json", objects(source))
    assert read("listenbrainz", tmp_path / "cora_lb-2021.json").listens == expected
    (tmp_path / "listens.jsonl.gz").write_bytes(gzip.compress(source.read_bytes()))
    assert read("listenbrainz", tmp_path / "listens.jsonl.gz").listens == expected


def test_the_dump(read):
    found = read("listenbrainz", FILES / "listenbrainz" / "dump")
    assert found.listens == expected_of_listenbrainz("dump/listens/2019/11.listens", "dump/listens/2019/12.listens")
    assert found.users == {"ada", "ben"} and found.n_rows == 22


def test_the_export_of_a_person_has_its_name_in_another_file(read, tmp_path):
    folder = FILES / "listenbrainz" / "export"
    expected = expected_of_listenbrainz("export/listens/2023/1.jsonl", "export/listens/2023/2.jsonl", user="emil")
    assert read("listenbrainz", folder).listens == expected and len(expected) == 20
    assert read("listenbrainz", zip_folder(folder, tmp_path / "listenbrainz_emil_1700000000.zip")).listens == expected
    shutil.copytree(folder, tmp_path / "all" / "one")
    shutil.copytree(folder, tmp_path / "all" / "two")
    write(tmp_path / "all" / "two" / "user.json", {"user_id": 8, "username": "fen"})
    both = read("listenbrainz", tmp_path / "all")
    assert both.listens == sorted(expected + [("fen", *rest) for _, *rest in expected])


LISTEN = {"user_name": "ada", "listened_at": 1_577_882_040, "recording_msid": "m1",
          "track_metadata": {"artist_name": "Okko", "track_name": "Slow Tram"}}  # fmt: skip
NO_USER = {name: value for name, value in LISTEN.items() if name != "user_name"}
LISTENBRAINZ_ERRORS = {
    "whose": ([NO_USER], "a.jsonl: expected user_name in each listen, or user.json beside the folder of listens, got"),
    "no time": ([{"track_metadata": {}, "user_name": "ada"}], "with listened_at or timestamp, got 'track_m"),
    "feedback": ([{"score": 1, "recording_msid": "m1"}], "a.jsonl: expected .*listened_at"),
    "no song": (
        [LISTEN, {**LISTEN, "recording_msid": None}],
        "a.jsonl, row 2, column 'song': expected an id .*, got nothing; 1 row .*EMPTY_IDS=drop leaves (?:it|them) out",
    ),
    "playing now": (
        [LISTEN, {**LISTEN, "listened_at": None}],
        "a.jsonl, row 2, column 'listened_at': expected a time .*, got nothing",
    ),
    "not nested": ([LISTEN, {**LISTEN, "track_metadata": "Slow Tram"}], "a.jsonl"),
}


@pytest.mark.parametrize("case", LISTENBRAINZ_ERRORS)
def test_errors_of_listenbrainz_say_what_to_do(read, tmp_path, case):
    rows, message = LISTENBRAINZ_ERRORS[case]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=message):
        read("listenbrainz", path)


# All three


def test_awkward_names_stay_as_they_are(read, tmp_path):
    second = 1_577_882_040
    moments = [datetime.fromtimestamp(second + n, UTC) for n in range(len(AWKWARD))]
    folder = tmp_path / "[1] ü, 🎈 'x' null"
    plays = [
        play(ts=f"{moment:%Y-%m-%dT%H:%M:%SZ}", username=name, spotify_track_uri=name, **{NAME: name, ARTIST: name})
        for name, moment in zip(AWKWARD, moments, strict=True)
    ]
    listens = [
        {"user_name": name, "listened_at": second + n, "recording_msid": name,
         "track_metadata": {"artist_name": name, "track_name": name}} for n, name in enumerate(AWKWARD)
    ]  # fmt: skip
    write(folder / "endsong_[1] null.json", plays)
    write(folder / "log[1]*?.jsonl", "".join(json.dumps(each) + "\n" for each in listens))
    with open(folder / "NULL, 'ü' [1].csv", "w", newline="", encoding="utf-8") as file:
        named = [("user", "uts", "artist", "track")]
        csv.writer(file).writerows(named + [(name, second + n, name, name) for n, name in enumerate(AWKWARD)])
    for dataset in ("spotify", "listenbrainz"):
        path = folder / "log[1]*?.jsonl" if dataset == "listenbrainz" else folder
        found = read(dataset, path)
        assert found.listens == sorted(zip(AWKWARD, AWKWARD, moments, [True] * len(AWKWARD), strict=True)), dataset
        assert all(found.songs[each]["name"] == found.songs[each]["artist"] == each for each in AWKWARD)
    songs = [f"{name} – {name}".replace("a – b – a – b", "a –– b – a –– b") for name in AWKWARD]
    found = read("lastfm-scrobbles", folder)
    assert found.listens == sorted(zip(AWKWARD, songs, moments, [True] * len(AWKWARD), strict=True))
    assert [found.songs[song]["name"] for song in songs] == AWKWARD


@pytest.mark.parametrize("name", ["[1]", "null", "ü 'x' \"y\"", "🎈", "a=1", "ada, 2"])
def test_awkward_names_of_folders_and_files_are_the_people(read, tmp_path, name):
    write(tmp_path / "all" / name / "endsong_0.json", [play()])
    write(tmp_path / "all" / f"{name}.csv", "Okko,LP,Slow Tram,01 Jan 2020 12:34\n")
    assert read("spotify", tmp_path / "all").users == read("lastfm-scrobbles", tmp_path / "all").users == {name}


PATHS = {
    "spotify": ("spotify", "spotify-one-year", "spotify/ada"), "lastfm-scrobbles": ("lastfm-scrobbles",),
    "listenbrainz": ("listenbrainz/dump", "listenbrainz/export", "listenbrainz/listens.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("dataset, place", [(name, place) for name, places in PATHS.items() for place in places])
def test_the_data_set_is_recognised(tmp_path, dataset, place):
    with start_engine(tmp_path) as engine:
        assert find_dataset(FILES / place, engine) == dataset


@pytest.mark.parametrize("dataset, n_rows", [("spotify", 60), ("lastfm-scrobbles", 47)])
def test_the_account_adds_up(tmp_path, dataset, n_rows):
    manifest = prepare(dataset, FILES / dataset, root=tmp_path, n_candidates=5).manifest
    steps = {step["step"]: step for step in manifest["steps"]}
    assert steps["read"]["rows_in"] == n_rows and manifest["steps"][-1]["rows_out"] == sum(manifest["parts"].values())
    for before, after in zip(manifest["steps"], manifest["steps"][1:], strict=False):
        assert after["rows_in"] == before["rows_out"] == after["rows_out"] + sum(after["dropped"].values())
    if dataset == "spotify":
        assert steps["other rows"]["dropped"] == {"podcasts and audiobooks": 4, "plays without a track": 1}
        n_skipped = sum(not listened for *_, listened in expected_of_spotify())
        assert steps["positives"]["dropped"] == {"skipped": n_skipped}


@pytest.mark.parametrize("place", ["spotify", "spotify-one-year", "lastfm-scrobbles"])
def test_the_manifest_names_no_person_and_the_prepared_folder_is_named_after_the_reader(tmp_path, place):
    folder = shutil.copytree(FILES / place, tmp_path / "logs")
    if place == "lastfm-scrobbles":
        (folder / "dan.csv").write_bytes((folder / "ben.csv").read_bytes())  # a second file without a column of users
    made = prepare("auto", folder, root=tmp_path, n_candidates=2)
    dataset = place.removesuffix("-one-year")
    assert made.folder.name == f"{dataset}-{made.manifest['key']}" and made.manifest["dataset"] == dataset
    people = set(Split.load(made.folder).users.user_id)
    people |= {part for path in folder.rglob("*") for part in (path.stem, path.name) if path.stem != "listens"}
    assert len(people) > 5
    text = json.dumps(made.manifest, ensure_ascii=False)
    assert [name for name in people if re.search(rf"\b{re.escape(name)}\b", text)] == []
    names = [each["name"] for each in made.manifest["source"]]
    assert names == [f"{number} of {len(names)}" for number in range(1, len(names) + 1)]


def test_an_export_with_a_name_in_its_header_keeps_it_to_itself(tmp_path):
    rows = "".join(f"Okko;Sol {n};;{1_600_000_000_000 + 60_000 * n}\n" for n in range(40))
    for person in ("zed", "yul"):
        write(tmp_path / "logs" / f"{person}.csv", f"Artist;Track;Album;Date#{person}\n{rows}")
    manifest = prepare("auto", tmp_path / "logs", root=tmp_path, n_candidates=2).manifest
    assert manifest["n_users_all"] == 2 and not re.search("zed|yul", json.dumps(manifest))
