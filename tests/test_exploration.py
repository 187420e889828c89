"""Finding songs, explaining and measuring neighbours, lists for listeners, and hostile names."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html
from test_evaluate import random_split

from recsys.data.split import Split
from recsys.models import neighbours
from recsys.models.neighbours import (
    BY_LISTENERS,
    BY_SEED,
    HUBS,
    LIFT,
    MUTUAL,
    SAME_ARTIST,
    UNLISTED,
    measure_neighbours,
)
from recsys.reports import exploration, exploration_narrative, figures, tables


@pytest.fixture(scope="module")
def named() -> Split:
    items = pd.DataFrame({"item_id": [7, 8, 9], "name": ["One", "Two", "two"], "artist": ["A", "B", None]})
    split = Split.from_arrays([(0, 0), (0, 2), (1, 2), (1, 1)], [(0, 1)], [(1, 0)])
    return replace(split, items=items)


def test_a_song_is_found_by_id_or_name_and_the_error_lists_the_choices(named):
    assert exploration.find_song(named, "8") == 1
    assert exploration.find_song(named, "oNE") == 0
    with pytest.raises(KeyError, match=r"got 2 named 'TWO'; give one of their ids: 9 \(two\); 8 \(Two – B\)"):
        exploration.find_song(named, "TWO")
    with pytest.raises(KeyError, match="expected the id or name of a song in train, got 'onne'; similar: 'one'"):
        exploration.find_song(named, "onne")
    with pytest.raises(KeyError, match=r"got 'zzz'\""):
        exploration.find_song(named, "zzz")
    assert exploration.find_songs(named, "one | 9").tolist() == [0, 2]


def test_a_list_marks_the_songs_played_in_test_and_has_none_of_the_history():
    split = random_split(5)
    vectors = np.random.default_rng(0).normal(size=(split.n_items, 4))

    class Known:
        def scores(self, users):
            return np.tile(vectors[:, 0], (len(users), 1))

    user = exploration.typical_user(split)
    songs, plays = exploration.most_played(split, user)
    recommended = exploration.recommendation_table(Known(), split, user, 10, vectors)
    history = split.known[[user]].indices
    assert set(songs) <= set(history) and not set(recommended["song"]) & {str(item) for item in history}
    counts = split.counts("train", "validation")[[user]].toarray()[0]
    assert plays.tolist() == counts[songs].tolist() == sorted(counts, reverse=True)[: len(songs)]
    relevant = {str(item) for item in split.relevant("test")[[user]].indices}
    assert set(recommended.loc[recommended["played in test"] == "yes", "song"]) == relevant & set(recommended["song"])
    for song, reasons in zip(recommended["song"].astype(int), recommended["nearest in the history"], strict=True):
        cosine = {
            item: vectors[song] @ vectors[item] / np.linalg.norm(vectors[song]) / np.linalg.norm(vectors[item])
            for item in history
        }
        best = sorted(cosine, key=cosine.get, reverse=True)[:3]
        assert reasons == "; ".join(f"song {item}\u00a0{cosine[item]:.2f}" for item in best)


def test_names_become_one_short_line_that_does_not_change_the_direction_of_the_text():
    assert exploration.one_line("x" * 10_000) == "x" * 59 + "…"
    assert exploration.one_line("a\n\tb\x1b[31m \u202eevil\u2066 ") == "a b [31m evil"
    assert exploration.one_line("👩‍🚀 שלום") == "👩‍🚀 שלום"
    assert exploration.one_line("") == ""


def planted(n_groups: int = 3, size: int = 8, n_users: int = 60, seed: int = 0) -> tuple[Split, np.ndarray]:
    """Each listener plays songs of one group. The vectors of a group have one direction; the first song's is long."""
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


def neighbour_table(split: Split, vectors: np.ndarray, song: int, k: int) -> pd.DataFrame:
    items, similarity = neighbours.nearest(vectors, [song], k)
    return exploration.neighbour_table(split, song, items[0], similarity[0])


def reference_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def reference_lists(split: Split, vectors: np.ndarray, k: int) -> dict[str, list[list[int]]]:
    listeners = [{user for user, song in zip(*split.known.nonzero(), strict=True) if song == item}
                 for item in range(split.n_items)]  # fmt: skip
    kinds = {
        "cosine": lambda a, b: reference_cosine(vectors[a], vectors[b]),
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


def test_every_measure_of_neighbours_agrees_with_a_slow_reference():
    split, vectors = planted()
    again = planted(seed=0)[1] + np.random.default_rng(9).normal(0, 0.2, vectors.shape).astype(np.float32)
    k, n, artist = 4, split.n_items, split.items["artist"]
    quality = measure_neighbours(split, vectors, k, again)
    lists, others = reference_lists(split, vectors, k), reference_lists(split, again, k)
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
            SAME_ARTIST: np.mean([artist[a] == artist[b] for a, b in pairs]),
            MUTUAL: np.mean([a in found[b] for a, b in pairs]),
            HUBS: listed.max() / len(pairs),
            UNLISTED: np.mean(listed == 0),
            LIFT: lift(pairs),
        }
        if name != "co-listening":
            expected[BY_LISTENERS] = np.mean([b in lists["co-listening"][a] for a, b in pairs])
            expected[BY_SEED] = np.mean([b in others[name][a] for a, b in pairs])
        measured = quality.xs(name, level="list")
        assert measured["value"].to_dict() == pytest.approx(expected)
        assert ((measured["low"] <= measured["value"]) & (measured["value"] <= measured["high"])).all()
    anywhere = [(a, b) for a in range(n) for b in range(n) if a != b]
    chance = quality["chance"].xs("cosine", level="list")
    assert chance[SAME_ARTIST] == pytest.approx(np.mean([artist[a] == artist[b] for a, b in anywhere]))
    assert chance[LIFT] == pytest.approx(lift(anywhere))
    assert chance[MUTUAL] == chance[BY_LISTENERS] == k / (n - 1)


def test_planted_groups_are_found_and_random_vectors_score_like_chance():
    split, vectors = planted(n_groups=6, size=30, n_users=300)
    good = measure_neighbours(split, vectors, 5)
    noise = np.random.default_rng(1).normal(size=(split.n_items, 40)).astype(np.float32)
    blind, same = measure_neighbours(split, noise, 5), measure_neighbours(split, vectors, 5, vectors)
    for measure in (SAME_ARTIST, LIFT):
        assert good.loc[(measure, "cosine"), "low"] > 4 * good.loc[(measure, "cosine"), "chance"]
        row = blind.loc[(measure, "cosine")]
        assert row.low < row.chance * 1.1 and row.high > row.chance * 0.9
    hubs = good.loc[HUBS, "value"]
    assert hubs["dot product"] > 2 * hubs["cosine"]
    assert same.loc[(BY_SEED, "cosine"), "value"] == 1


def test_a_sample_of_anchors_measures_a_large_catalogue(monkeypatch):
    split, vectors = planted(n_groups=6, size=30, n_users=300)
    whole = measure_neighbours(split, vectors, 5)
    monkeypatch.setattr(neighbours, "MOST_PAIRS", 90 * split.n_items)
    sampled = measure_neighbours(split, vectors, 5)
    for measure in (SAME_ARTIST, MUTUAL, BY_LISTENERS, LIFT):
        row = sampled.loc[(measure, "cosine")]
        wide = 2 * (row.high - row.low)
        assert abs(row.value - whole.loc[(measure, "cosine"), "value"]) <= wide


def test_the_table_counts_who_listens_to_both_songs_and_the_number_expected_by_chance():
    split, vectors = planted()
    table = neighbour_table(split, vectors, 3, 5)
    seen = split.known.toarray()
    for row in table.to_dict("records"):
        other = int(row["song"])
        both, chance = int((seen[:, 3] * seen[:, other]).sum()), seen[:, 3].sum() * seen[:, other].sum() / split.n_users
        assert (row["listen to both"], row["lift"]) == (both, pytest.approx(both / chance, abs=0.06))
        assert row["similarity"] == pytest.approx(vectors[3] @ vectors[other], abs=6e-4)
    long = neighbour_table(split, 4 * vectors, 3, 5)  # similarities above 16, as dot products can be
    shown = BeautifulSoup(tables.songs_in_full(long).data, "html.parser").select("tbody tr")
    place = 1 + list(long.columns).index("similarity")  # the first column numbers the rows
    assert all(len(row.select("td")[place].text.partition(".")[2]) <= 3 for row in shown), shown
    assert table["song"].tolist() == [str(song) for song in reference_lists(split, vectors, 5)["dot product"][3]]


def test_nearest_songs_equal_a_sort_leave_the_song_out_and_order_ties_by_code():
    _, vectors = planted()
    for given in (vectors, neighbours.unit_vectors(vectors)):
        codes, values = neighbours.nearest(given, np.arange(len(vectors)), 5)
        products = given @ given.T
        np.fill_diagonal(products, -np.inf)
        np.testing.assert_array_equal(codes, np.argsort(-products, axis=1, kind="stable")[:, :5])
        np.testing.assert_allclose(values, -np.sort(-products, axis=1)[:, :5], rtol=1e-5)
    vectors = np.array([[1, 0], [3, 0], [0, 1], [1, 0], [0, 0]], np.float32)
    codes, values = neighbours.nearest(neighbours.unit_vectors(vectors), [0, 3], 100)  # there are 4 other songs
    assert codes.tolist() == [[1, 3, 2, 4], [0, 1, 2, 4]] and values.tolist() == [[1, 1, 0, 0]] * 2
    codes, values = neighbours.nearest(vectors, [0], 2)
    assert codes.tolist() == [[1, 3]] and values.tolist() == [[3, 1]]


def test_the_map_is_the_same_as_by_svd_keeps_groups_apart_and_can_use_umap(monkeypatch):
    split, vectors = planted(n_groups=3, size=30, n_users=90)
    positions = neighbours.map_positions(vectors)
    centred = neighbours.unit_vectors(vectors) - neighbours.unit_vectors(vectors).mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    reference = left[:, :2] * spread[:2]
    np.testing.assert_allclose(np.abs(positions), np.abs(reference), atol=1e-4)
    near = neighbours.nearest_by_listeners(split.known, np.arange(split.n_items), 1)  # any song of the group
    assert np.median(np.linalg.norm(positions - positions[near[:, 0]], axis=1)) < np.median(
        np.linalg.norm(positions - positions[::-1], axis=1)
    )

    class UMAP:
        def __init__(self, **settings):
            assert settings["random_state"] == 5

        def fit_transform(self, directions):
            return directions[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    assert (neighbours.map_positions(vectors, "umap", 5) == neighbours.unit_vectors(vectors)[:, :2]).all()
    with pytest.raises(ValueError, match="MAP: expected one of pca, umap, got 'tsne'"):
        neighbours.map_positions(vectors, "tsne")


HOSTILE = [
    "<script>alert(1)</script>", "$\\frac{1", "$x$ and $$y$$", "**bold** _it_ `code` [a](javascript:alert(1))",
    "\u202eright to left\u202c", "שלום עולם", "👩‍🚀🎵", "x" * 10_000, "\x1b[31mred", "a\nb | c", "&lt;b&gt;", "",
    "'\"><img src=x onerror=alert(1)>", "=1+1", "名前", "%s {0} \\n",
]  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_hostile_names_stay_text_in_tables_and_sentences():
    split, vectors = planted(n_groups=3, size=len(HOSTILE) // 2, n_users=30)
    names = (HOSTILE * 3)[: split.n_items]
    split = replace(split, items=split.items.assign(name=names, artist=names[::-1]))
    unit = neighbours.unit_vectors(vectors)
    for item in range(split.n_items):
        table = neighbour_table(split, unit, item, 8)
        shown = tables.songs_in_full(table).data
        assert "<script" not in shown and "<img" not in shown and "x" * 61 not in shown
        assert "mathjax_ignore" in shown
        sentence = exploration_narrative.neighbour_sentence(split, "chosen", item, table, [0], "cosine")
        soup = BeautifulSoup(markdown2html(sentence), "html.parser")
        assert {tag.name for tag in soup.find_all()} <= {"p", "strong", "code"}
        assert soup.code.text == "\u2068" + exploration.label(split, item).replace("`", "'") + "\u2069"


def test_equal_lengths_are_not_drawn_and_the_caption_is_still_shown(capsys):
    split, vectors = planted()
    drawn = figures.length_against_popularity(split, neighbours.unit_vectors(vectors))
    figures.show(drawn, "The lengths are equal.")
    assert drawn is None and "Markdown" in capsys.readouterr().out
    ax = figures.length_against_popularity(split, vectors * np.linspace(1, 2, len(vectors))[:, None])
    assert ax.get_ylim()[0] == 0
    plt.close(ax.figure)


def test_a_model_that_compares_by_cosine_is_not_told_about_dot_products():
    split, vectors = planted()
    table = neighbour_table(split, vectors, 3, 5)
    told = {kind: exploration_narrative.neighbour_sentence(split, "rare", 3, table, [0, 1], kind)
            for kind in ("cosine", "dot")}  # fmt: skip
    assert "dot product" in told["dot"] and "dot product" not in told["cosine"]
    assert exploration_narrative.no_dot_products("best").startswith("The model “best” compares by cosine")


def test_whole_numbers_of_songs_have_commas_and_ids_have_none():
    table = pd.DataFrame({"song": ["1234567"], "listens in train": [12345], "similarity": [0.5]}, index=[1])
    shown = tables.songs_in_full(table).data
    assert "<td>12,345</td>" in shown and "<td>1234567</td>" in shown and "<td>0.5</td>" in shown


def test_numbers_by_chance_are_written_out_and_ids_of_words_stand_alone():
    split, vectors = planted()
    table = neighbour_table(split, vectors, 3, 5)
    assert not any("e+" in text for text in table["by chance"])
    for number, text in ((0.123, "0.12"), (3.21, "3.2"), (104.4, "104"), (12_345.6, "12,346")):
        assert exploration.rounded(number) == text
    split = replace(split, items=pd.DataFrame({"item_id": [f"Cœur {n}" for n in range(split.n_items)]}))
    assert exploration.label(split, 3) == "Cœur 3"
    split = replace(split, items=pd.DataFrame({"item_id": range(100, 100 + split.n_items)}))
    assert exploration.label(split, 3) == "song 103"


def test_songs_without_name_and_artist_go_by_their_ids():
    split, vectors = planted()
    split = replace(split, items=split.items[["item_id"]])
    anchors = exploration.choose_anchors(split)
    table = neighbour_table(split, vectors, anchors["rare"], 5)
    quality = measure_neighbours(split, vectors, 5)
    assert SAME_ARTIST not in quality.index
    assert "artist" not in " ".join(exploration_narrative.quality_sentences(quality))
    assert "artist" not in exploration_narrative.neighbour_sentence(split, "rare", anchors["rare"], table, [0], "dot")
    assert exploration.choose_anchors(split, "7") == {"chosen": 7}
    with pytest.raises(KeyError, match="expected the id of a song in train, got 'x'"):
        exploration.choose_anchors(split, "x")


def test_the_sentences_state_the_computed_figures():
    split, vectors = planted()
    quality = measure_neighbours(split, vectors, 5)
    quality.loc[(SAME_ARTIST, "cosine"), ["value", "chance"]] = 0.25, 0.01
    quality.loc[(HUBS, ["cosine", "dot product"]), "value"] = 0.03, 0.5
    by_artist, by_listeners, hubs = exploration_narrative.quality_sentences(quality)
    assert "25.0 % are by the same artist (of random songs: 1.0 %)" in by_artist
    assert "take 3.0 % of all places by cosine and 50.0 % by dot product" in hubs and "co-listening" in by_listeners
    sentences = exploration_narrative.quality_sentences(measure_neighbours(split, vectors, 5, vectors))
    assert "100.0 % are also found by the model that was trained with another seed" in sentences[2]
    n_new, recommended = split.relevant("test")[[4]].nnz, pd.DataFrame({"played in test": ["yes", "", ""]})
    assert exploration_narrative.listener_sentence(split, "author", 4, recommended) == (
        f"The listener with code 4 played {n_new} new songs in the test period. "
        "Of the 3 songs that the described system recommends to them, they played 1."
    )
    sentence = exploration_narrative.listener_sentence(split, "author", 4, recommended, show_user_ids=True)
    assert sentence.startswith("Listener `\u20684\u2069` played")
