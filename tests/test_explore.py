"""Songs found, neighbours explained and judged by slow twins, lists that show what they should, foreign names."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_evaluation import random_split

from recsys import explore
from recsys.split import Split


@pytest.fixture(scope="module")
def named() -> Split:
    items = pd.DataFrame({"item_id": [7, 8, 9], "name": ["One", "Two", "two"], "artist": ["A", "B", None]})
    split = Split.from_arrays([(0, 0), (0, 2), (1, 2), (1, 1)], [(0, 1)], [(1, 0)])
    return replace(split, items=items)


def test_a_song_is_found_by_id_or_name_and_the_error_names_what_to_choose_from(named):
    assert explore.find_song(named, "8") == 1
    assert explore.find_song(named, "oNE") == 0
    with pytest.raises(KeyError, match=r"expected one song, got 2 named 'TWO'; by raw id: 9 \(two\); 8 \(Two – B\)"):
        explore.find_song(named, "TWO")
    with pytest.raises(KeyError, match="raw id or name of a song in train, got 'onne'; closest: 'one'"):
        explore.find_song(named, "onne")
    with pytest.raises(KeyError, match=r"got 'zzz'\""):
        explore.find_song(named, "zzz")
    assert explore.find_songs(named, "one | 9").tolist() == [0, 2]
    assert explore.search_songs(named, "W").tolist() == [2, 1]
    assert explore.search_songs(named, "(").tolist() == []


def test_a_list_shows_what_the_listener_went_on_to_play_and_nothing_he_had():
    split = random_split(5)
    vectors = np.random.default_rng(0).normal(size=(split.n_items, 4))

    class Known:
        def scores(self, users):
            return np.tile(vectors[:, 0], (len(users), 1))

    user = explore.find_user(split)
    history, recommended = explore.history_and_recommendations(Known(), split, user, 10, vectors)
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
        assert reasons == "; ".join(f"song {item} {cosine[item]:.2f}" for item in best)
