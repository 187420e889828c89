"""An invented listening log in the DSG17 format, of any size, whose true probabilities are known.

Songs belong to albums, albums to artists, and artists to groups of similar taste. Each user has 16 sources of songs:
favourite artists, favourite groups, and the charts. A visit picks one song from one of these sources and plays it once
or several times; a song from the charts is skipped more often than one by a favourite artist. All random draws are
hashes of the seed and the number of a row, user or song. The log is thus the same in however many pieces it is written.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import ndtri

from recsys.files import write_atomically

SAMPLE = {"n_users": 1_500, "n_items": 4_000, "n_listens": 150_000, "seed": 17}
START, SECONDS = np.datetime64("2016-11-01", "s"), 30 * 86_400  # when the log starts, and how long it is
PIECE = 500_000  # listens
REPEAT_CHANCE = 0.1  # that the next listen is to the same song again
KIND = np.repeat([0, 1, 2], [12, 3, 1])  # of each source: 0 an artist, 1 a group, 2 the charts
CHANCE = np.concatenate([np.full(12, 0.40 / 12), 0.5 * np.array([0.90, 0.08, 0.02]), [0.10]])  # of each source
LISTENED_CHANCE = np.array([0.80, 0.63, 0.40])  # by kind: the song is heard for more than 30 s
FLOW_CHANCE = np.array([0.1, 0.5, 0.3])  # by kind: the recommender "Flow" played it
FIRST = "Amber Bitter Blue Broken Distant Electric Faded Gentle Golden Hollow Little Lost Midnight Paper Quiet Silver"
SECOND = "Anthem Avenue Bridge Carousel Coast Dancer Engine Fever Garden Harbour Island Lantern Letter Machine Mirror"
GIVEN = "Ada Bela Cora Dalia Elio Fen Gala Holm Ira June Kester Lio Mara Nor Oda Pelle Quin Rosa Sol Tamsin Una Yara"
ENDING = "bane croft dale fall gard hurst lund mere nell quist rand strom thorn vale wick worth"


class Catalogue(NamedTuple):
    """The songs, sorted by group, artist and album: arrays (n_items,), except `edges` (n_items + 1,)."""

    media: np.ndarray  # raw ids, all different and below 2^27
    album: np.ndarray
    artist: np.ndarray
    group: np.ndarray
    release: np.ndarray  # seconds after the start of the log, 0 if the song was out before
    release_date: np.ndarray  # yyyymmdd
    edges: np.ndarray  # summed weights: songs a…b−1 are played in proportion to edges[b] − edges[a]


def uniform(seed: int, stream: int, key: np.ndarray) -> np.ndarray:
    """Return a float64 in [0, 1) for each integer key: a hash (SplitMix64) of the seed, the stream and the key."""
    state = np.zeros(1, np.uint64)
    for part in (1_000 * seed + stream, key):
        state = (state ^ np.asarray(part).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return (state >> np.uint64(11)) * 2.0**-53


def catalogue(n_items: int, seed: int) -> Catalogue:
    """Make the songs.

    Popularity follows Zipf's law by rank of fame; the songs of an artist share a part of their fame. A tenth of the
    albums appears during the log.
    """
    song = np.arange(n_items)
    album = np.cumsum((uniform(seed, 1, song) < 1 / 8) & (song > 0))
    artist = np.cumsum((uniform(seed, 2, album) < 1 / 3) & (np.diff(album, prepend=0) > 0))
    group = artist * min(artist[-1] + 1, 3 + round(0.4 * n_items**0.5)) // (artist[-1] + 1)
    fame = ndtri(0.001 + 0.998 * uniform(seed, 3, artist)) + ndtri(0.001 + 0.998 * uniform(seed, 4, song))
    weight = (2.0 + np.argsort(np.argsort(-fame, kind="stable"))) ** -1.1
    moment = uniform(seed, 5, album)
    day = np.floor(np.where(moment < 0.1, 300 * moment, -9_000 * moment)).astype(int)
    release = np.maximum(day, 0) * 86_400
    date = np.char.replace((START.astype("datetime64[D]") + day).astype(str), "-", "").astype(np.int32)
    edges = np.concatenate([[0.0], np.cumsum(weight * (1 - release / SECONDS))])
    return Catalogue((song * 5_915_587 + 2_288_934) % (2**27 - 39), album, artist, group, release, date, edges)


def songs(n_items: int, seed: int) -> pd.DataFrame:
    """Return the names: `media_id, title, artist, album`, one row for each song, in the order of the catalogue."""
    made = catalogue(n_items, seed)

    def word(stream: int, key: np.ndarray, words: str) -> np.ndarray:
        return np.array(words.split(), object)[(uniform(seed, stream, key) * len(words.split())).astype(int)]

    song = np.arange(n_items)
    title = word(30, song, FIRST) + " " + word(31, song, SECOND) + " for " + word(37, song, GIVEN)
    artist = word(32, made.artist, GIVEN) + " " + word(33, made.artist, FIRST) + word(34, made.artist, ENDING)
    album = word(35, made.album, SECOND) + " of " + word(36, made.album, FIRST) + " Days"
    return pd.DataFrame({"media_id": made.media, "title": title, "artist": artist, "album": album})


def first_seconds(users: np.ndarray, seed: int) -> np.ndarray:
    """Return the second of the log at which each user joins. Nine tenths are there from the start."""
    moment = uniform(seed, 8, users)
    return np.where(moment < 0.1, np.floor(10 * SECONDS * moment), 0.0)


def draw_songs(made: Catalogue, low: np.ndarray, high: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return one song of each range low…high−1, in proportion to its weight; `chance` in [0, 1) selects it."""
    target = made.edges[low] + chance * (made.edges[high] - made.edges[low])
    return np.clip(np.searchsorted(made.edges, target, side="right") - 1, low, high - 1)


def sources(users: np.ndarray, made: Catalogue, seed: int) -> np.ndarray:
    """Return each user's 16 sources as ranges of songs, the first and one past the last: (2, n_users, 16)."""

    def song_range(owner: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.stack([np.searchsorted(owner, which), np.searchsorted(owner, which, side="right")])

    key = users[:, None] * 16 + np.arange(16)
    groups = song_range(made.group, (uniform(seed, 6, key[:, :3]) ** 2 * (made.group[-1] + 1)).astype(int))
    low, high = groups[:, :, [0] * 8 + [1] * 4]  # 8 favourite artists are of the first group, 4 of the second
    favourites = draw_songs(made, low, high, uniform(seed, 7, key[:, :12]))
    charts = np.broadcast_to([[[0]], [[len(made.artist)]]], (2, len(users), 1))
    return np.concatenate([song_range(made.artist, made.artist[favourites]), groups, charts], axis=2)


def listens(n_users: int, n_items: int, n_listens: int, seed: int, pieces: int | None = None) -> Iterator[pa.Table]:
    """Yield the 15 columns of the log in pieces of whole users. Joined, the pieces are the same for any number."""
    made, users = catalogue(n_items, seed), np.arange(n_users)
    activity = np.exp(ndtri(0.0005 + 0.999 * uniform(seed, 9, users))) * (1 - first_seconds(users, seed) / SECONDS)
    ends = np.round(np.cumsum(activity) / activity.sum() * n_listens).astype(np.int64)
    cuts = np.linspace(0, n_listens, (pieces or -(-n_listens // PIECE)) + 1)[1:-1]
    for some in np.split(users, np.searchsorted(ends, cuts, side="right")):
        if len(some):
            yield _make_piece(np.repeat(some, np.diff(ends, prepend=0)[some]), ends[some[-1]], made, seed)


def _make_piece(user: np.ndarray, end: int, made: Catalogue, seed: int) -> pa.Table:
    row = np.arange(end - len(user), end)
    begins = (uniform(seed, 10, row) >= REPEAT_CHANCE) | (np.diff(user, prepend=-1) > 0)
    visit = np.maximum.accumulate(np.where(begins, row, 0))  # (rows,) the row with which its visit begins
    source = np.searchsorted(np.cumsum(CHANCE)[:-1], uniform(seed, 11, visit), side="right")
    kind, first = KIND[source], user[:1]
    low, high = sources(np.arange(first[0], user[-1] + 1), made, seed)[:, user - first, source]
    song = draw_songs(made, low, high, uniform(seed, 12, visit))
    start = np.maximum(made.release[song], first_seconds(user, seed))
    second = start + uniform(seed, 13, row) * (SECONDS - start)
    platform, gender, age = uniform(seed, 14, row), uniform(seed, 15, user), uniform(seed, 16, user)
    flow, listened = uniform(seed, 17, row) < FLOW_CHANCE[kind], uniform(seed, 18, row) < LISTENED_CHANCE[kind]
    return pa.table({
        "genre_id": made.group[song], "ts_listen": START.astype(np.int64) + second.astype(np.int64),
        "media_id": made.media[song], "album_id": made.album[song], "context_type": kind,
        "release_date": made.release_date[song], "platform_name": (3 * platform).astype(np.int8),
        "platform_family": (2 * platform).astype(np.int8),
        "media_duration": (120 + 220 * uniform(seed, 19, song)).astype(np.int16), "listen_type": flow.astype(np.int8),
        "user_gender": (gender < 0.4).astype(np.int8), "user_id": pa.array(user).cast(pa.string()),
        "artist_id": made.artist[song], "user_age": (18 + 13 * age).astype(np.int8),
        "is_listened": listened.astype(np.int8),
    })  # fmt: skip


def write(path: Path, **size: int) -> None:
    """Write the log to one Parquet file, piece by piece. `size` is the arguments of `listens`."""
    schema = next(listens(2, 2, 2, 0)).schema
    with write_atomically(path) as temporary, pq.ParquetWriter(temporary, schema) as file:
        for piece in listens(**size):
            file.write_table(piece)


def truth(users: np.ndarray, n_items: int, seed: int, before: np.datetime64 | float = 0.0) -> np.ndarray:
    """Return the probability that a user's next new song is this one: float32 (users, n_items), rows sum to 1.

    A song is new if the user did not listen to it for 30 s before the time `before`. If `before` is a number, it is the
    share of listens that came before, as in a random split. No ranking of unseen songs is better than the order of
    these probabilities. The number of listens in a visit is geometric, with the generating function G. If each listen
    counts with probability p, a visit plays a new song with probability G(1 − before·p) − G(1 − p).
    """
    made, song, total = catalogue(n_items, seed), np.arange(n_items), np.zeros((len(users), n_items))
    low, high = sources(np.asarray(users), made, seed)[:, :, :, None]  # (users, 16, 1)
    if isinstance(before, np.datetime64):
        start = np.maximum(made.release, first_seconds(np.asarray(users), seed)[:, None])  # (users, n_items)
        before = np.clip(((before.astype("datetime64[s]") - START).astype(float) - start) / (SECONDS - start), 0, 1)
    chance, again = CHANCE[:, None] / (made.edges[high] - made.edges[low]), REPEAT_CHANCE  # (users, 16, 1)
    for source, kind in enumerate(KIND):
        not_before, never = 1 - before * LISTENED_CHANCE[kind], 1 - LISTENED_CHANCE[kind]
        new = (1 - again) * (not_before / (1 - again * not_before) - never / (1 - again * never))
        total = total + (low[:, source] <= song) * (song < high[:, source]) * chance[:, source] * new
    total *= np.diff(made.edges)
    return (total / total.sum(axis=1, keepdims=True)).astype(np.float32)
