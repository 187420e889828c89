"""Speed and peak memory of writing and preparing a large invented log: python -m bench.prepare --rows 20000000.

With --datasets, the same log is written in the forms of these data sets: --rows 2000000 --datasets yambda movielens.
The form `csv` has ids of 400 characters.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from bench import peak_memory
from recsys.data import synthetic
from recsys.data.prepare import prepare
from recsys.files import write_atomically

Frames = Iterator[pd.DataFrame]  # pieces of the log: user_id, media_id, time (unix s), listened, title, artist, album


def named_listens(**size: int) -> Frames:
    """Yield the invented log with the names of its songs, piece by piece."""
    songs = synthetic.songs(size["n_items"], size["seed"]).sort_values("media_id", ignore_index=True)
    for piece in synthetic.listens(**size):
        rows = piece.select(["user_id", "media_id", "ts_listen", "is_listened"]).to_pandas()
        rows = rows.rename(columns={"ts_listen": "time", "is_listened": "listened"})
        named = songs.iloc[np.searchsorted(songs.media_id, rows.media_id)]
        yield rows.assign(**{name: named[name].to_numpy() for name in ("title", "artist", "album")})


def write_lastfm_1k(frames: Frames, path: Path) -> None:
    """Write a tenth of the songs without an id, as in the original."""
    with open(path / "userid-timestamp-artid-artname-traid-traname.tsv", "w", encoding="utf-8") as file:
        for rows in frames:
            artist, track = _mbids(rows.artist), _mbids(rows.media_id).mask(rows.media_id % 10 == 0, "")
            when = pd.to_datetime(rows.time, unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
            user = "user_" + rows.user_id.str.zfill(6)
            columns = [user, when, artist, rows.artist, track, rows.title]
            file.writelines("\t".join(values) + "\n" for values in zip(*columns, strict=True))


def write_lastfm_360k(frames: Frames, path: Path) -> None:
    """Write a row for each listen, as if it were a number of plays."""
    with open(path / "usersha1-artmbid-artname-plays.tsv", "w", encoding="utf-8") as file:
        for rows in frames:
            columns = [rows.user_id, _mbids(rows.artist), rows.artist, (rows.media_id % 500).astype(str)]
            file.writelines("\t".join(values) + "\n" for values in zip(*columns, strict=True))


def write_yambda(frames: Frames, path: Path) -> None:
    """Write seconds from the start of the log, in steps of five."""
    names = {"uid": "uint32", "timestamp": "uint32", "item_id": "uint32", "is_organic": "uint8",
             "played_ratio_pct": "uint16", "track_length_seconds": "uint32"}  # fmt: skip
    schema = pa.schema(list(names.items()))
    with write_atomically(path / "listens.parquet") as temporary, pq.ParquetWriter(temporary, schema) as file:
        for rows in frames:
            seconds = (rows.time - synthetic.START.astype(int)) // 5 * 5
            columns = [rows.user_id.astype(int), seconds, rows.media_id, rows.listened, 10 + 90 * rows.listened]
            values = dict(zip(names, [*columns, 150 + rows.media_id % 100], strict=True))
            file.write_table(pa.Table.from_pandas(pd.DataFrame(values), schema, preserve_index=False))


def write_movielens(frames: Frames, path: Path) -> None:
    """Write `ratings.dat` and, in Latin-1, `movies.dat`: a listen is a rating of 5 stars, a skip one of 2."""
    films: dict[int, str] = {}
    with open(path / "ratings.dat", "w", encoding="utf-8") as file:
        for rows in frames:
            columns = [rows.user_id, rows.media_id, 2 + 3 * rows.listened, rows.time]
            file.writelines("::".join(map(str, values)) + "\n" for values in zip(*columns, strict=True))
            films |= dict(zip(rows.media_id, rows.title, strict=True))
    with open(path / "movies.dat", "w", encoding="latin-1") as file:
        file.writelines(f"{film}::{title} à deux (1999)::Drama\n" for film, title in films.items())


def write_spotify(frames: Frames, path: Path) -> None:
    """Write a folder for each user, with a tenth of the rows as podcasts. Rows name no user."""
    for rows in frames:
        podcast = rows.time % 10 == 0
        number = rows.media_id.astype(str).str.zfill(22)
        track = pd.DataFrame({
            "ts": pd.to_datetime(rows.time, unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "platform": "android",
            "ms_played": np.where(rows.listened, 201_000, 1_000), "conn_country": "PT", "ip_addr": "192.0.2.7",
            "master_metadata_track_name": rows.title.mask(podcast),
            "master_metadata_album_artist_name": rows.artist.mask(podcast),
            "master_metadata_album_album_name": rows.album.mask(podcast),
            "spotify_track_uri": ("spotify:track:" + number).mask(podcast),
            "episode_name": rows.title.where(podcast), "episode_show_name": rows.album.where(podcast),
            "spotify_episode_uri": ("spotify:episode:" + number).where(podcast), "reason_start": "trackdone",
            "reason_end": "trackdone", "shuffle": False, "skipped": False, "offline": False, "offline_timestamp": None,
            "incognito_mode": False,
        })  # fmt: skip
        for user, own in track.groupby(rows.user_id):
            folder = path / f"person {user}" / "Spotify Extended Streaming History"
            folder.mkdir(parents=True)
            own.to_json(folder / "Streaming_History_Audio_2016_0.json", orient="records", force_ascii=False)


def write_scrobbles(frames: Frames, path: Path) -> None:
    """Write a file without a header for each user, as lastfm-to-csv does."""
    for rows in frames:
        when = pd.to_datetime(rows.time, unit="s").dt.strftime("%d %b %Y, %H:%M")
        listens = rows[["artist", "album", "title"]].assign(time=when)
        for user, own in listens.groupby(rows.user_id):
            own.to_csv(path / f"person {user}.csv", header=False, index=False)


def write_listenbrainz(frames: Frames, path: Path) -> None:
    """Write one file of a dump. A tenth of the songs has no MBID."""
    with open(path / "11.listens", "w", encoding="utf-8") as file:
        for rows in frames:
            mbids, msids = _mbids(rows.media_id), _mbids(-rows.media_id)
            for each in rows.assign(mbid=mbids.mask(rows.media_id % 10 == 0, None), msid=msids).itertuples():
                mapping = {"mbid_mapping": {"recording_mbid": each.mbid, "artist_mbids": []}} if each.mbid else {}
                track = {"artist_name": each.artist, "track_name": each.title, "release_name": each.album, **mapping}
                track["additional_info"] = {"submission_client": "bench", "duration_ms": 200_000, "tags": []}
                listen = {"user_id": int(each.user_id), "user_name": f"person {each.user_id}", "timestamp": each.time}
                file.write(json.dumps(listen | {"track_metadata": track, "recording_msid": each.msid}) + "\n")


def write_long_ids(frames: Frames, path: Path) -> None:
    """Write a table with ids of 400 characters, which differ in the last ones only."""
    names = {"user_id": "user_id", "media_id": "item_id", "time": "timestamp"}
    with pa.OSFile(str(path / "log.csv"), "wb") as file:
        for number, rows in enumerate(frames):
            ids = {name: rows[name].astype(str).str.zfill(400) for name in ("user_id", "media_id")}
            table = pa.Table.from_pandas(rows.assign(**ids)[[*names]].rename(columns=names), preserve_index=False)
            csv.write_csv(table, file, csv.WriteOptions(include_header=not number))


def _mbids(values: pd.Series) -> pd.Series:
    known = {value: str(uuid.uuid5(uuid.NAMESPACE_OID, str(value))) for value in values.unique()}
    return values.map(known)


# A data set: the function that writes the log in its form into a folder, which is then prepared. Add a line for a form.
FORMS: dict[str, Callable[[Frames, Path], None]] = {
    "lastfm-1k": write_lastfm_1k,
    "lastfm-360k": write_lastfm_360k,
    "spotify": write_spotify,
    "lastfm-scrobbles": write_scrobbles,
    "listenbrainz": write_listenbrainz,
    "yambda": write_yambda,
    "movielens": write_movielens,
    "csv": write_long_ids,
}


def print_speed(work: Callable[[], object], rows: int, name: str) -> None:
    start = time.perf_counter()
    work()
    seconds, peak = time.perf_counter() - start, peak_memory()
    print(f"{name}: {rows:,} rows, {seconds:.1f} s, {rows / seconds:,.0f} rows/s, peak {peak:.2f} GB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, help="default: one for every 380 rows, as in DSG17")
    parser.add_argument("--items", type=int, default=450_000)
    parser.add_argument("--datasets", nargs="+", choices=["dsg17", *FORMS], default=["dsg17"])
    parser.add_argument("--step", choices=["write", "prepare"], help="internal: run one step in this process")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    size = {"n_users": given.users or given.rows // 380, "n_items": given.items, "n_listens": given.rows, "seed": 1}
    if given.step:
        (name,), logs = given.datasets, given.folder / "logs"
        logs.mkdir(exist_ok=True)
        work: dict[str, Callable[[], object]] = {"prepare": lambda: prepare(name, logs, root=given.folder)}
        if name == "dsg17":
            work["write"] = lambda: synthetic.write(logs / "log.parquet", **size)
        else:
            work["write"] = lambda: FORMS[name](named_listens(**size), logs)
        print_speed(work[given.step], given.rows, f"{given.step} {name}")
        return
    for name in given.datasets:
        with tempfile.TemporaryDirectory() as folder:
            for step in ("write", "prepare"):
                command = [sys.executable, "-m", "bench.prepare", *sys.argv[1:], "--datasets", name]
                subprocess.run([*command, "--step", step, "--folder", folder], check=True)


if __name__ == "__main__":
    main()
