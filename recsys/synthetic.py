"""An invented listening log in the DSG17 shape whose truth is known: any size, deterministic, in bounded memory.

Songs form albums, albums artists, artists taste groups. A user takes a song from a favourite artist, from one of three
groups or from the charts, skips it the more readily the further it is from his taste, and may play it again. Every draw is
a hash of the seed and a row, user or song number, so that nothing depends on how the log is cut into pieces.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import ndtri

from recsys.runs import write_atomically

SAMPLE = {"n_users": 1_500, "n_items": 4_000, "n_listens": 150_000, "seed": 17}
START = np.datetime64("2016-11-01", "s")
SECONDS = 30 * 86_400  # the length of the log
SHARE = np.array([0.35, 0.50, 0.15])  # where a song comes from: a favourite artist, a group, the charts
LISTENED = np.array([0.82, 0.66, 0.45])  # chance that it is listened to for more than 30 s, by where it comes from
FLOW = np.array([0.1, 0.5, 0.3])  # chance that Flow played it
TASTE = np.array([0.80, 0.15, 0.05])  # of a user's three groups
FAVOURITES = 12  # artists, the last four of them from his second group
AGAIN = 0.2  # chance that a listen is one more of the song before

PIECE = 500_000  # listens
FIRST = "Amber Bitter Blue Broken Distant Electric Faded Gentle Golden Hollow Little Lost Midnight Northern Paper Quiet Restless"
SECOND = "Anthem Avenue Bridge Carousel Coast Dancer Engine Fever Garden Harbour Island Lantern Letter Machine Mirror Ocean Tide"
GIVEN = "Ada Bela Cora Dalia Elio Fen Gala Holm Ira June Kester Lio Mara Nor Oda Pelle Quin Rosa Sol Tamsin Una Vesper Wilf Yara"
FAMILY = "Ash Bar Cold Dun Ever Fair Green Hart Iron Kirk Lang Mill North Oak Red Stan"
ENDING = "bane croft dale fall gard hurst lund mere nell quist rand strom thorn vale wick worth"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The songs in order of group, artist and album: arrays (n_items,), and where each group and artist begins."""

    album: np.ndarray
    artist: np.ndarray
    group: np.ndarray
    release: np.ndarray  # seconds after the start, 0 for what was out before
    edges: np.ndarray  # (n_items + 1,) summed weights: songs a…b−1 are heard in proportion to edges[b] − edges[a]
    artist_starts: np.ndarray  # (n_artists + 1,)
    group_starts: np.ndarray  # (n_groups + 1,)


def uniform(seed: int, stream: int, *keys: np.ndarray) -> np.ndarray:
    """Return float64 in [0, 1), a hash (SplitMix64) of seed, stream and integer keys, of the keys' broadcast shape."""
    state = np.array([1_000 * seed + stream], np.uint64)
    for key in keys:
        state = (state ^ np.asarray(key).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0xD1B54A32D192ED03)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)) * 2.0**-53


def catalogue(n_items: int, seed: int) -> Catalogue:
    """Make the songs: popularity is Zipf(0.9) by rank of fame, which artists share; a tenth comes out during the log."""
    song = np.arange(n_items)
    album = np.cumsum((uniform(seed, 1, song) < 1 / 8) & (song > 0))
    artist = np.cumsum((uniform(seed, 2, album) < 1 / 3) & (np.diff(album, prepend=0) > 0))
    n_artists = int(artist[-1]) + 1
    n_groups = min(n_artists, 3 + round(np.sqrt(n_items) / 3))
    group = artist * n_groups // n_artists
    fame = ndtri(0.001 + 0.998 * uniform(seed, 3, artist)) + ndtri(0.001 + 0.998 * uniform(seed, 4, song))
    rank = np.empty(n_items)
    rank[np.argsort(-fame, kind="stable")] = song
    moment = uniform(seed, 5, album) / 0.1
    release = np.where(moment < 1, np.floor(30 * moment) * 86_400, 0.0)
    weight = (rank + 3) ** -1.0 * (1 - release / SECONDS)
    starts = (np.searchsorted(part, np.arange(n + 1)) for part, n in ((artist, n_artists), (group, n_groups)))
    return Catalogue(album, artist, group, release, np.concatenate([[0.0], np.cumsum(weight)]), *starts)


def tastes(users: np.ndarray, songs: Catalogue, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each user's groups (n, 3), favourite artists (n, 12) and second of joining (n,): a tenth joins during the log."""
    column = np.arange(FAVOURITES)
    groups = (uniform(seed, 6, users[:, None], np.arange(3)) ** 2 * (len(songs.group_starts) - 1)).astype(int)
    home = groups[:, (column >= 8).astype(int)]
    low, high = songs.group_starts[home], songs.group_starts[home + 1]
    artists = songs.artist[(low + uniform(seed, 7, users[:, None], column) * (high - low)).astype(int)]
    moment = uniform(seed, 8, users) / 0.1
    return groups, artists, np.where(moment < 1, np.floor(SECONDS * moment), 0.0)


def songs(n_items: int, seed: int) -> pd.DataFrame:
    """Return `media_id, title, artist, album`, one row a song, in the order of the columns of `truth`."""
    made = catalogue(n_items, seed)

    def words(stream: int, key: np.ndarray, *lists: str) -> list[np.ndarray]:
        draws = (uniform(seed, stream + column, key) for column in range(len(lists)))
        return [
            np.array(each.split(), object)[(u * len(each.split())).astype(int)] for u, each in zip(draws, lists, strict=True)
        ]

    given, family, ending = words(30, made.artist, GIVEN, FAMILY, ENDING)
    second, first = words(40, made.album, SECOND, FIRST)
    title = words(50, np.arange(n_items), FIRST, SECOND)
    return pd.DataFrame({"media_id": media_ids(np.arange(n_items)), "title": title[0] + " " + title[1],
                         "artist": given + " " + family + ending, "album": second + " of " + first + " Days"})  # fmt: skip


def media_ids(song: np.ndarray) -> np.ndarray:
    """Return raw ids below 2^27, as the author's are: distinct for as many songs."""
    return (np.asarray(song, np.int64) * 5_915_587 + 2_288_934) % 134_217_689


def listens(n_users: int, n_items: int, n_listens: int, seed: int, pieces: int | None = None) -> Iterator[pa.Table]:
    """Yield the log's 15 columns in pieces, whole users each; joined they are the same for any number of pieces."""
    made = catalogue(n_items, seed)
    activity = np.cumsum(np.exp(ndtri(0.0005 + 0.999 * uniform(seed, 9, np.arange(n_users)))))
    ends = np.round(activity / activity[-1] * n_listens).astype(np.int64)
    cuts = np.linspace(0, n_listens, (pieces or -(-n_listens // PIECE)) + 1)[1:-1]
    for users in np.split(np.arange(n_users), np.searchsorted(ends, cuts, side="right")):
        if len(users):
            yield _piece(users, np.diff(ends[users], prepend=ends[users[0] - 1] if users[0] else 0), ends, made, seed)


def _piece(users: np.ndarray, counts: np.ndarray, ends: np.ndarray, made: Catalogue, seed: int) -> pa.Table:
    groups, artists, joined = tastes(users, made, seed)
    who = np.repeat(np.arange(len(users)), counts)  # row of `users`
    row = np.arange(ends[users[-1]] - len(who), ends[users[-1]])
    fresh = (uniform(seed, 10, row) >= AGAIN) | (np.diff(who, prepend=-1) > 0)
    origin = np.maximum.accumulate(np.where(fresh, np.arange(len(row)), 0))

    source = np.searchsorted(np.cumsum(SHARE)[:2], uniform(seed, 11, row), side="right")
    pick = uniform(seed, 12, row)
    artist = artists[who, (pick * FAVOURITES).astype(int)]
    group = groups[who, np.searchsorted(np.cumsum(TASTE)[:2], pick, side="right")]
    low = np.choose(source, [made.artist_starts[artist], made.group_starts[group], 0])
    high = np.choose(source, [made.artist_starts[artist + 1], made.group_starts[group + 1], len(made.album)])
    aim = made.edges[low] + uniform(seed, 13, row) * (made.edges[high] - made.edges[low])
    song = np.clip(np.searchsorted(made.edges, aim, side="right") - 1, low, high - 1)

    source, song = source[origin], song[origin]
    start = np.maximum(made.release[song], joined[who])
    second = start + np.floor(uniform(seed, 14, row) * (SECONDS - start))
    user, platform = users[who], (uniform(seed, 15, row) * 3).astype(np.int8)
    back = np.where(made.release > 0, made.release // 86_400, -1 - np.floor(uniform(seed, 16, made.album) * 9_000))
    day = (START.astype("datetime64[D]") + back.astype(int)).astype(str)
    release_date = np.char.replace(day, "-", "").astype(np.int32)
    columns = {
        "genre_id": made.group[song], "ts_listen": START.astype(np.int64) + second.astype(np.int64),
        "media_id": media_ids(song), "album_id": made.album[song] + 100_000, "context_type": source,
        "release_date": release_date[song], "platform_name": platform, "platform_family": platform // 2,
        "media_duration": (120 + 220 * uniform(seed, 17, song)).astype(np.int32),
        "listen_type": (uniform(seed, 18, row) < FLOW[source]).astype(np.int8),
        "user_gender": (uniform(seed, 19, user) < 0.4).astype(np.int8), "user_id": user, "artist_id": made.artist[song] + 10_000,
        "user_age": (18 + 13 * uniform(seed, 20, user)).astype(np.int8),
        "is_listened": (uniform(seed, 21, row) < LISTENED[source]).astype(np.int8),
    }  # fmt: skip
    return pa.table(columns)


def write(path: Path, n_users: int, n_items: int, n_listens: int, seed: int) -> Path:
    """Write the log to one Parquet file, piece by piece, atomically."""
    with write_atomically(path) as temporary:
        pieces = listens(n_users, n_items, n_listens, seed)
        first = next(pieces)
        with pq.ParquetWriter(temporary, first.schema) as writer:
            for piece in (first, *pieces):
                writer.write_table(piece)
    return Path(path)


def truth(users: np.ndarray, n_items: int, seed: int, before: np.datetime64 | float = 0.0) -> np.ndarray:
    """Return how probable it is that a user's next new song is each song: float32 (users, n_items), rows sum to 1.

    New means not listened to for more than 30 s until `before`: the moment at which the test begins, or the share of
    every song's listens that lies before (for a split at random). No ranking of unseen songs can be better, on average,
    than this one. A song enters a user's history by visits, geometric runs of listens whose generating function is G; a
    visit is news when none of its listens before counted and one after does: G(1 − share·listened) − G(1 − listened).
    """
    made = catalogue(n_items, seed)
    groups, artists, joined = tastes(np.asarray(users), made, seed)
    if isinstance(before, float):
        share = np.full((1, n_items), before)
    else:
        start = np.maximum(made.release[None], joined[:, None])  # (users, n_items)
        cut = (np.datetime64(before, "s") - START).astype(float)
        share = np.clip((cut - start) / (SECONDS - start), 0, 1)
    weight, total = np.diff(made.edges), np.zeros((len(groups), n_items))

    def runs(z):
        return (1 - AGAIN) * z / (1 - AGAIN * z)

    news = [runs(1 - share * p) - runs(1 - p) for p in LISTENED]
    for user in range(len(groups)):
        bounds = [(made.artist_starts, a, SHARE[0] / FAVOURITES, 0) for a in artists[user]]
        bounds += [(made.group_starts, g, SHARE[1] * t, 1) for g, t in zip(groups[user], TASTE, strict=True)]
        bounds += [(np.array([0, n_items]), 0, SHARE[2], 2)]
        for starts, which, chance, source in bounds:
            part = slice(starts[which], starts[which + 1])
            gain = news[source][min(user, len(share) - 1), part]
            total[user, part] += chance * gain * weight[part] / weight[part].sum()
    return (total / total.sum(axis=1, keepdims=True)).astype(np.float32)
