"""Songs found, neighbours explained and judged by slow twins, lists that show what they should, foreign names."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html
from test_evaluation import random_split

from recsys.data.split import Split
from recsys.models import neighbours
from recsys.models.embeddings import Embeddings
from recsys.reports import exploration, figures, narrative, tables


@pytest.fixture(scope="module")
def named() -> Split:
    items = pd.DataFrame({"item_id": [7, 8, 9], "name": ["One", "Two", "two"], "artist": ["A", "B", None]})
    split = Split.from_arrays([(0, 0), (0, 2), (1, 2), (1, 1)], [(0, 1)], [(1, 0)])
    return replace(split, items=items)


def test_a_song_is_found_by_id_or_name_and_the_error_names_what_to_choose_from(named):
    assert exploration.find_song(named, "8") == 1
    assert exploration.find_song(named, "oNE") == 0
    with pytest.raises(KeyError, match=r"expected one song, got 2 named 'TWO'; by raw id: 9 \(two\); 8 \(Two – B\)"):
        exploration.find_song(named, "TWO")
    with pytest.raises(KeyError, match="raw id or name of a song in train, got 'onne'; closest: 'one'"):
        exploration.find_song(named, "onne")
    with pytest.raises(KeyError, match=r"got 'zzz'\""):
        exploration.find_song(named, "zzz")
    assert exploration.find_songs(named, "one | 9").tolist() == [0, 2]
    assert exploration.search_songs(named, "W").tolist() == [2, 1]
    assert exploration.search_songs(named, "(").tolist() == []


def test_a_list_shows_what_the_listener_went_on_to_play_and_nothing_he_had():
    split = random_split(5)
    vectors = np.random.default_rng(0).normal(size=(split.n_items, 4))

    class Known:
        def scores(self, users):
            return np.tile(vectors[:, 0], (len(users), 1))

    user = exploration.find_user(split)
    history, recommended = exploration.history_and_recommendations(Known(), split, user, 10, vectors)
    had = {str(item) for item in split.known[[user]].indices}
    assert set(history["song"]) <= had and not set(recommended["song"]) & had
    relevant = {str(item) for item in split.relevant("test")[[user]].indices}
    assert set(recommended.loc[recommended["played in test"] == "yes", "song"]) == relevant & set(recommended["song"])
    for song, reasons in zip(recommended["song"].astype(int), recommended["nearest in the history"], strict=True):
        cosine = {
            item: vectors[song] @ vectors[item] / np.linalg.norm(vectors[song]) / np.linalg.norm(vectors[item])
            for item in split.known[[user]].indices
        }
        best = sorted(cosine, key=cosine.get, reverse=True)[:3]
        assert reasons == "; ".join(f"song {item}\u00a0{cosine[item]:.2f}" for item in best)


def test_names_are_cut_put_on_one_line_and_never_turn_the_text_around_them():
    assert exploration.shown("x" * 10_000) == "x" * 59 + "…"
    assert exploration.shown("a\n\tb\x1b[31m \u202eevil\u2066 ") == "a b [31m evil"
    assert exploration.shown("👩‍🚀 שלום") == "👩‍🚀 שלום"
    assert exploration.shown("") == ""


def planted(n_groups: int = 3, size: int = 8, n_users: int = 60, seed: int = 0) -> tuple[Split, np.ndarray]:
    """Listeners each play within one group of songs; the vectors of a group point one way, the first song's is long."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), size)

    def draw(n: int) -> list[tuple[int, int]]:
        return [(user, song) for user in range(n_users)
                for song in rng.choice(np.flatnonzero(group == user % n_groups), n, replace=False)]  # fmt: skip

    every = [(song // size, song) for song in range(n_groups * size)]
    split = Split.from_arrays(every + draw(3), draw(1), draw(3))
    items = split.items.assign(artist=group, name=[f"song {song}" for song in range(len(group))])
    vectors = (np.eye(n_groups)[group] + 0.2 * rng.normal(size=(len(group), n_groups))).astype(np.float32)
    vectors[0] *= 5
    return replace(split, items=items), vectors


def slow_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def slow_lists(split: Split, vectors: np.ndarray, k: int) -> dict[str, list[list[int]]]:
    listeners = [{user for user, song in zip(*split.known.nonzero(), strict=True) if song == item}
                 for item in range(split.n_items)]  # fmt: skip
    kinds = {
        "cosine": lambda a, b: slow_cosine(vectors[a], vectors[b]),
        "dot product": lambda a, b: float(vectors[a] @ vectors[b]),
        "co-listening": lambda a, b: len(listeners[a] & listeners[b])
        / np.sqrt(max(len(listeners[a]) * len(listeners[b]), 1)),
    }
    found = {}
    for name, similarity in kinds.items():
        found[name] = []
        for a in range(split.n_items):
            others = [b for b in range(split.n_items) if b != a and (name != "co-listening" or similarity(a, b) > 0)]
            found[name].append(sorted(others, key=lambda b: (-round(similarity(a, b), 6), b))[:k])  # noqa: B023
    return found


def test_every_measure_of_neighbours_agrees_with_a_slow_twin():
    split, vectors = planted()
    again = planted(seed=0)[1] + np.random.default_rng(9).normal(0, 0.2, vectors.shape).astype(np.float32)
    k, n, artist = 4, split.n_items, split.items["artist"]
    quality = neighbours.quality(split, vectors, k, again)
    lists, others = slow_lists(split, vectors, k), slow_lists(split, again, k)
    test = [set(row.indices) for row in split.relevant("test")]
    active = sum(bool(songs) for songs in test)
    heard = [sum(song in songs for songs in test) for song in range(n)]

    def lift(pairs: list[tuple[int, int]]) -> float:
        shared = sum(a in songs and b in songs for a, b in pairs for songs in test)
        return shared / sum(heard[a] * heard[b] / active for a, b in pairs)

    for name, found in lists.items():
        pairs = [(a, b) for a in range(n) for b in found[a]]
        listed = np.bincount([b for _, b in pairs], minlength=n)
        expected = {
            "by the same artist": np.mean([artist[a] == artist[b] for a, b in pairs]),
            "mutual": np.mean([a in found[b] for a, b in pairs]),
            "places taken by the 1 % most listed": listed.max() / len(pairs),
            "songs in nobody's list": np.mean(listed == 0),
            neighbours.LIFT: lift(pairs),
        }
        if name != "co-listening":
            expected["also neighbours by co-listening"] = np.mean([b in lists["co-listening"][a] for a, b in pairs])
            expected["also neighbours with another seed"] = np.mean([b in others[name][a] for a, b in pairs])
        measured = quality.xs(name, level="list")
        assert measured["value"].to_dict() == pytest.approx(expected)
        assert ((measured["low"] <= measured["value"]) & (measured["value"] <= measured["high"])).all()
    anywhere = [(a, b) for a in range(n) for b in range(n) if a != b]
    chance = quality["chance"].xs("cosine", level="list")
    assert chance["by the same artist"] == pytest.approx(np.mean([artist[a] == artist[b] for a, b in anywhere]))
    assert chance[neighbours.LIFT] == pytest.approx(lift(anywhere))
    assert chance["mutual"] == chance["also neighbours by co-listening"] == k / (n - 1)


def test_planted_groups_are_found_and_random_vectors_get_what_chance_gives():
    split, vectors = planted(n_groups=6, size=30, n_users=300)
    good = neighbours.quality(split, vectors, 5)
    noise = np.random.default_rng(1).normal(size=(split.n_items, 40)).astype(np.float32)
    blind, lucky = neighbours.quality(split, noise, 5), neighbours.quality(split, vectors, 5, vectors)
    for measure in ("by the same artist", neighbours.LIFT):
        assert good.loc[(measure, "cosine"), "low"] > 4 * good.loc[(measure, "cosine"), "chance"]
        row = blind.loc[(measure, "cosine")]
        assert row.low < row.chance * 1.1 and row.high > row.chance * 0.9
    hubs = "places taken by the 1 % most listed"
    assert good.loc[(hubs, "dot product"), "value"] > 2 * good.loc[(hubs, "cosine"), "value"]
    assert lucky.loc[("also neighbours with another seed", "cosine"), "value"] == 1


def test_many_songs_are_judged_by_a_sample_of_anchors(monkeypatch):
    split, vectors = planted(n_groups=6, size=30, n_users=300)
    whole = neighbours.quality(split, vectors, 5)
    monkeypatch.setattr(neighbours, "MOST_PAIRS", 90 * split.n_items)
    sampled = neighbours.quality(split, vectors, 5)
    for measure in ("by the same artist", "mutual", "also neighbours by co-listening", neighbours.LIFT):
        row = sampled.loc[(measure, "cosine")]
        wide = 2 * (row.high - row.low)
        assert abs(row.value - whole.loc[(measure, "cosine"), "value"]) <= wide


def test_neighbours_say_how_many_listen_to_both_and_what_chance_gives():
    split, vectors = planted()
    table = exploration.neighbour_table(split, vectors, 3, k=5)
    seen = split.known.toarray()
    for row in table.to_dict("records"):
        other = int(row["song"])
        both, chance = int((seen[:, 3] * seen[:, other]).sum()), seen[:, 3].sum() * seen[:, other].sum() / split.n_users
        assert (row["listen to both"], row["lift"]) == (both, pytest.approx(both / chance, abs=0.06))
        assert row["similarity"] == pytest.approx(vectors[3] @ vectors[other], abs=6e-4)
    long = exploration.neighbour_table(split, 4 * vectors, 3, k=5)  # similarities above 16, as dot products have
    shown = BeautifulSoup(tables.songs_in_full(long).data, "html.parser").select("tbody tr")
    place = 1 + list(long.columns).index("similarity")  # after the number of the row
    assert all(len(row.select("td")[place].text.partition(".")[2]) <= 3 for row in shown), shown
    assert table["song"].tolist() == [str(song) for song in slow_lists(split, vectors, 5)["dot product"][3]]
    model = Embeddings(np.arange(3), np.arange(split.n_items), vectors.shape[1])
    model.item_embeddings.assign(vectors)
    for by, given in (("dot", vectors), ("cosine", neighbours.unit(vectors))):
        codes, values = neighbours.nearest(given, np.arange(split.n_items), 5)
        expected = [model.neighbours(item, 5, by) for item in range(split.n_items)]
        np.testing.assert_array_equal(codes, [each for each, _ in expected])
        np.testing.assert_allclose(values, [each for _, each in expected], rtol=1e-5)


def test_the_map_keeps_groups_apart_repeats_itself_and_takes_umap_where_it_is(monkeypatch):
    split, vectors = planted(n_groups=3, size=30, n_users=90)
    places = neighbours.flat_map(vectors)
    centred = neighbours.unit(vectors) - neighbours.unit(vectors).mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    twin = left[:, :2] * spread[:2]
    np.testing.assert_allclose(np.abs(places), np.abs(twin), atol=1e-4)
    near = neighbours.colistened(split.known, np.arange(split.n_items), 1)  # any song of the group
    assert np.median(np.linalg.norm(places - places[near[:, 0]], axis=1)) < np.median(
        np.linalg.norm(places - places[::-1], axis=1)
    )

    class UMAP:
        def __init__(self, **settings):
            assert settings["random_state"] == 5

        def fit_transform(self, directions):
            return directions[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    assert (neighbours.flat_map(vectors, "umap", 5) == neighbours.unit(vectors)[:, :2]).all()
    with pytest.raises(ValueError, match="MAP: expected pca or umap, got 'tsne'"):
        neighbours.flat_map(vectors, "tsne")


HOSTILE = [
    "<script>alert(1)</script>", "$\\frac{1", "$x$ and $$y$$", "**bold** _it_ `code` [a](javascript:alert(1))",
    "\u202eright to left\u202c", "שלום עולם", "👩‍🚀🎵", "x" * 10_000, "\x1b[31mred", "a\nb | c", "&lt;b&gt;", "",
    "'\"><img src=x onerror=alert(1)>", "=1+1", "名前", "%s {0} \\n",
]  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_foreign_names_stand_as_text_in_tables_sentences_and_figures():
    split, vectors = planted(n_groups=3, size=len(HOSTILE) // 2, n_users=30)
    names = (HOSTILE * 3)[: split.n_items]
    split = replace(split, items=split.items.assign(name=names, artist=names[::-1]))
    unit, anchors = neighbours.unit(vectors), {f"number {item}": item for item in range(3)}
    lists = {name: neighbours.nearest(unit, [item], 8)[0][0] for name, item in anchors.items()}
    ax = figures.song_map(split, neighbours.flat_map(vectors), anchors, lists)
    ax.figure.canvas.draw()
    labels = [text.get_text() for each in ax.figure.axes[:2] for text in each.get_legend().get_texts()]
    assert all(len(text) <= 61 and "\n" not in text for text in labels)
    for item in range(split.n_items):
        table = exploration.neighbour_table(split, unit, item, 8)
        shown = tables.songs_in_full(table).data
        assert "<script" not in shown and "<img" not in shown and "x" * 61 not in shown
        assert "mathjax_ignore" in shown
        said = narrative.neighbour_sentence(split, "chosen", item, table, table)
        page = markdown2html(said)
        soup = BeautifulSoup(page, "html.parser")
        assert {tag.name for tag in soup.find_all()} <= {"p", "strong", "code"}
        assert soup.code.text == "\u2068" + exploration.label(split, item).replace("`", "'") + "\u2069"
    plt.close(ax.figure)


def test_without_names_or_artists_songs_go_by_their_ids():
    split, vectors = planted()
    split = replace(split, items=split.items[["item_id"]])
    anchors = exploration.anchors(split)
    near = {kind: exploration.neighbour_table(split, vectors, item, 5) for kind, item in anchors.items()}
    lists = {kind: neighbours.nearest(vectors, [item], 5)[0][0] for kind, item in anchors.items()}
    ax = figures.song_map(split, neighbours.flat_map(vectors), anchors, lists)
    ax.figure.canvas.draw()
    plt.close(ax.figure)
    quality = neighbours.quality(split, vectors, 5)
    assert "by the same artist" not in quality.index and "artist" not in narrative.quality_sentence(quality)
    assert "artist" not in narrative.neighbour_sentence(split, "rare", anchors["rare"], near["rare"], near["rare"])
    assert exploration.anchors(split, "7") == {"chosen": 7}
    with pytest.raises(KeyError, match="expected the raw id of a song in train, got 'x'"):
        exploration.anchors(split, "x")


def test_in_a_live_kernel_a_search_finds_songs_and_a_click_goes_to_the_neighbours():
    split, vectors = planted()
    search, heading, box = exploration.browse(split, vectors, 3, 5).children
    expected = neighbours.nearest(neighbours.unit(vectors), [3], 5)[0][0]
    assert [each.description.split(" –")[0] for each in box.children] == [f"song {song}" for song in expected]
    search.value = "song 1"
    assert {each.description.split(" –")[0] for each in box.children} == {"song 1", *(f"song 1{i}" for i in range(10))}
    box.children[0].click()
    assert heading.value.startswith("Neighbours of song 1") and len(box.children) == 5
    box.children[2].click()
    assert len(box.children) == 5
    search.value = "<b>nothing</b>"
    assert len(box.children) == 0 and "<" not in heading.value
