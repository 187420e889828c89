"""The explorer: its data equal slow references, and its page works in a real browser, by mouse and by keyboard."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from browser import Page, needs_browser, open_browser, until
from hostile import NAMES
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from scipy import sparse

from recsys import explore
from recsys.data.split import Split
from recsys.models import neighbours
from recsys.models.embeddings import Embeddings
from recsys.recommend import Recommender
from recsys.reports import execution, explorer
from recsys.reports.exploration import one_line
from recsys.reports.pages import explorer_page, notebook_page

N, DIM, LISTENERS = 90, 8, 240
TITLES = ("Één Ding", "Straße nach Łódź", "Don’t Stop", "İzmir", "夜に駆ける", "Señorita")


def planted(names: tuple[str, ...] = (), hostile_ids: bool = False, seed: int = 0) -> Split:
    """Listeners of three tastes and songs of three groups; the last ten songs have few listeners."""
    rng = np.random.default_rng(seed)
    rows = [(user, song) for user in range(LISTENERS)
            for song in rng.choice(np.arange(user % 3, N - 10, 3), rng.integers(3, 14), replace=False)]  # fmt: skip
    rows += [(user, song) for song in range(N - 10, N) for user in rng.choice(LISTENERS, 1 + song % 5, replace=False)]
    rows += [(0, song) for song in range(N - 10)]  # every song is warm
    split = Split.from_arrays(sorted(set(rows)), [(0, 0)], [(1, 0)])
    names = names or (*TITLES, *(f"Song {song}" for song in range(N - len(TITLES))))
    names = (names * N)[:N]
    ids, artists = [f"id{song}" for song in range(N)], [f"Artist {song % 9}" for song in range(N)]
    if hostile_ids:
        ids, artists = [f"{name}-{song}" for song, name in enumerate(names)], names[::-1]
    return replace(split, items=pd.DataFrame({"item_id": ids, "name": names, "artist": artists}))


def recommender(split: Split, similarity: str = "cosine", seed: int = 0) -> Recommender:
    """A recommender with random vectors, without a run."""
    made = object.__new__(Recommender)
    made.split = split
    model = Embeddings(range(split.n_users), range(split.n_items), DIM, similarity=similarity, seed=seed)
    made.model, made.recipe = model, "best"
    return made


def collected(made: Recommender) -> bytes:
    return made.explorer_data(neighbours.map_positions(made.vectors))


def unpack(data: bytes) -> dict[str, Any]:
    return explorer.unpack(explorer_page(data))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_the_data_equal_slow_references(similarity):
    made = recommender(planted(), similarity)
    data, split = unpack(collected(made)), made.split
    listeners = [{user for user, song in zip(*split.known.nonzero(), strict=True) if song == each} for each in range(N)]
    songs = [int(each.removeprefix("id")) for each in data["ids"]]
    shown = [len(listeners[song]) if len(listeners[song]) >= 5 else 0 for song in songs]
    assert data["listeners"].tolist() == shown == sorted(shown, reverse=True) and 0 in shown
    unit = neighbours.unit_vectors(made.vectors[songs])
    codes, cosines = neighbours.nearest(unit, np.arange(N), 10)
    assert data["neighbours"].reshape(N, 10).tolist() == codes.tolist()
    np.testing.assert_allclose(data["cosines"].reshape(N, 10), 100 * cosines, atol=0.5001)
    both = [[len(listeners[songs[a]] & listeners[songs[b]]) for b in codes[a]] for a in range(N)]
    assert data["shared"].reshape(N, 10).tolist() == [[each if each >= 5 else 0 for each in row] for row in both]
    assert {each for row in both for each in row} & {1, 2, 3, 4}, "no count was withheld"
    assert [data["artists"][each] for each in data["artist"]] == [f"Artist {song % 9}" for song in songs]
    rounded = neighbours.unit_vectors(data["vectors"].reshape(N, DIM).astype(float))
    np.testing.assert_allclose(rounded @ rounded.T, unit @ unit.T, atol=2 / 127)  # the page's vectors are rotated
    if similarity == "dot":
        np.testing.assert_allclose(data["lengths"], np.linalg.norm(made.vectors[songs], axis=1), rtol=1e-6)
    places = data["places"].reshape(N, 2) / 65_535
    expected = neighbours.map_positions(made.vectors)[songs]
    np.testing.assert_allclose(places * np.ptp(expected, axis=0).max(), expected - expected.min(axis=0), atol=1e-4)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_the_error_of_rounding_is_measured_with_the_projects_own_lists(similarity):
    made = recommender(planted(), similarity)
    for liked in ([3, 40], [1, 2, 3, 50, 70]):
        expected = made.rank_liked(np.array(liked), 20).items[0]
        assert page_list(unpack(collected(made)), [f"id{song}" for song in liked], exact=made) == [
            f"id{song}" for song in expected
        ]
    data = unpack(collected(made))
    assert 0.8 < data["same"] < 1 and 0 < data["n_mixes"] <= 500
    coarse = np.sign(neighbours.unit_vectors(made.vectors)).astype(np.int8)  # one bit: the measure must notice
    unit = neighbours.unit_vectors(made.vectors)
    assert explorer.overlap(made.split.known, unit, coarse, None, made.listener_map)[0] < data["same"] - 0.05
    assert explorer.overlap(made.split.known, unit, unit, None, made.listener_map)[0] == 1
    assert explorer.overlap(sparse.csr_matrix((3, N)), unit, unit, None, made.listener_map) == (0, 0)


def page_list(data: dict[str, Any], liked: list[str], exact: Recommender | None = None) -> list[str]:
    """Return the ids of a mix's list, as the page computes them; or with a recommender's exact vectors."""
    n, dim, ids = len(data["ids"]), data["dim"], data["ids"]
    unit, listener_map = neighbours.unit_vectors(data["vectors"].reshape(n, dim).astype(float)), data["map"]
    if exact:
        unit = neighbours.unit_vectors(exact.vectors)[[int(each.removeprefix("id")) for each in ids]]
        listener_map = exact.listener_map
    taste = sum(unit[ids.index(each)] for each in liked)
    scores = taste / np.linalg.norm(taste) @ listener_map.reshape(dim, dim) @ unit.T * data.get("lengths", 1)
    order = [song for song in np.argsort(-scores, kind="stable") if ids[song] not in liked]
    return [ids[song] for song in order[:20]]


def test_a_large_catalogue_shows_the_most_played_and_says_so(monkeypatch):
    monkeypatch.setattr(explorer, "MOST_SONGS", 30)
    made = recommender(planted())
    data = unpack(collected(made))
    counts = np.asarray(made.split.known.sum(axis=0)).ravel()
    assert len(data["ids"]) == 30 and data["n_songs"] == N and data["neighbours"].max() < 30
    assert data["listeners"].tolist() == sorted(counts, reverse=True)[:30]
    monkeypatch.setattr(explorer, "LARGEST", 1500)
    smaller = collected(made)
    assert len(smaller) <= 1500 and 5 < len(unpack(smaller)["ids"]) < 30


@needs_browser
def test_the_page_says_which_songs_it_leaves_out(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "MOST_SONGS", 30)
    visit(browser, save(collected(recommender(planted())), tmp_path))
    about = f"The data set arrays: the 30 songs with the most listeners, of {N} songs; {LISTENERS} listeners."
    assert browser.value("document.querySelector('#about').innerText").startswith(about)


def test_long_and_odd_ids_stay_different_and_short():
    ids = ["a" * 300 + "1", "a" * 300 + "2", "plain", "with\nbreak", "with break", "\u202eodd"]
    shown = [explorer._shown_id(each) for each in ids]
    assert len(set(shown)) == len(ids) and shown[2] == "plain" and shown[4] == "with break"
    assert all(len(each) < 70 and each.isprintable() for each in shown)


def test_songs_without_names_and_artists_go_by_their_ids():
    split = planted()
    data = unpack(collected(recommender(replace(split, items=split.items[["item_id"]]))))
    assert not {"names", "artists", "artist"} & set(data)
    numbered = split.items[["item_id"]].assign(artist_id=[None, *range(1, N)])
    data = unpack(collected(recommender(replace(split, items=numbered))))
    assert "artist 5" in data["artists"] and -1 in data["artist"] and "" not in data["artists"]


def test_a_report_keeps_the_link_and_not_the_frame(tmp_path):
    bundle = explorer.Shown(collected(recommender(planted())))._repr_mimebundle_()
    assert list(bundle) == ["text/html", "text/markdown"] and bundle["text/html"].startswith("<iframe ")
    cells = [new_markdown_cell("# Explore"), new_code_cell("x", outputs=[new_output("display_data", bundle)])]
    notebook = new_notebook(cells=cells, metadata={"papermill": {}})
    nbformat.write(notebook, tmp_path / "04_explore.ipynb")
    execution._clean(tmp_path / "04_explore.ipynb", tmp_path)
    text = (tmp_path / "04_explore.ipynb").read_text()
    assert "iframe" not in text and len(text) < 3000
    page = notebook_page(nbformat.read(tmp_path / "04_explore.ipynb", as_version=4), "04_explore", ["04_explore"])
    assert '<a href="explorer.html">Open the explorer</a>' in page and "iframe" not in page


def test_the_policy_allows_one_script_and_one_style():
    page = explorer_page(collected(recommender(planted())))
    policy = re.search('Content-Security-Policy" content="(.*?)"', page)[1]
    hashed = "'sha256-[A-Za-z0-9+/=]{44}'"
    assert re.fullmatch(f"default-src 'none'; script-src {hashed}; style-src {hashed}; img-src data:", policy)
    assert page.count("<script") == 2 and "style=" not in page and "://" not in page


def test_in_a_report_the_page_links_to_the_others():
    data = collected(recommender(planted()))
    linked = re.findall('<a href="(.*?)">', explorer_page(data, ["01_prepare", "04_explore"]))
    assert linked == ["index.html", "01_prepare.html", "04_explore.html"]
    assert "<nav>" not in explorer_page(data)


def test_the_command_writes_the_page_of_a_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    made = recommender(planted())
    made.run = type("Run", (), {"folder": tmp_path / "data/runs/mine", "root": tmp_path})
    monkeypatch.setattr(Recommender, "load", lambda run, recipe: made if run == "mine" else Recommender(None))
    assert explore.main(["RUN=mine"]) == 0
    assert capsys.readouterr().out.startswith("data/runs/mine/explorer.html: ")
    assert (tmp_path / "data/runs/mine/explorer.html").read_text() == explorer_page(collected(made))
    assert explore.main(["SONG=x"]) == 2 and "got 'SONG'" in capsys.readouterr().err


# In the browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        for domain in ("Runtime", "Network", "Log", "Page"):
            page.call(f"{domain}.enable")
        yield page


@pytest.fixture(scope="module")
def made() -> Recommender:
    return recommender(planted())


@pytest.fixture(scope="module")
def address(made, tmp_path_factory) -> str:
    return save(collected(made), tmp_path_factory.mktemp("explorer"))


@pytest.fixture
def page(browser, address) -> Page:
    """The explorer, just opened. After the test: no error was reported, and nothing was requested but the page."""
    visit(browser, address)
    yield browser
    assert complaints(browser) == []


def save(data: bytes, folder: Path) -> str:
    (folder / "explorer.html").write_text(explorer_page(data), encoding="utf-8")
    return (folder / "explorer.html").as_uri()


def visit(page: Page, address: str) -> None:
    page.call("Page.navigate", url="about:blank")
    page.events.clear()
    page.call("Page.navigate", url=address)
    until(30, lambda: page.value("!!document.querySelector('#song h2')"), "a page that is ready")


def complaints(page: Page) -> list[str]:
    """Return the errors that the page reported, and the addresses that it asked for, except its own."""
    page.value("1")
    found = []
    for event in page.events:
        kind, facts = event.get("method"), event.get("params", {})
        if kind in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled") or _level(facts) == "error":
            found.append(str(facts))
        elif kind == "Network.requestWillBeSent" and not facts["request"]["url"].startswith(("file:", "about:")):
            found.append(facts["request"]["url"])
    return found


def _level(facts: dict[str, Any]) -> str:
    return facts.get("entry", {}).get("level", "")


def shown(page: Page) -> str:
    return page.value("document.querySelector('#song h2').innerText")


def hash_of(page: Page) -> str:
    return page.value("location.hash")


def rows(page: Page) -> list[list[str]]:
    """Return the id and the cells of each neighbour in the table."""
    return page.value("""[...document.querySelectorAll('#song tbody tr')].map(
        (row) => [row.dataset.id, ...[...row.cells].map((cell) => cell.textContent)])""")


def options(page: Page) -> list[str]:
    return page.value("[...document.querySelectorAll('#found:not([hidden]) [role=option]')].map((e) => e.innerText)")


@needs_browser
@pytest.mark.parametrize(
    ("typed", "name"),
    [("een ding", "Één Ding"), ("strasse lodz", "Straße nach Łódź"), ("DONT", "Don’t Stop"), ("izmir", "İzmir"),
     ("夜に", "夜に駆ける"), ("senorita artist 5", "Señorita"), ("id2", "Don’t Stop"), ("señ", "Señorita")],
)  # fmt: skip
def test_typing_finds_a_song_by_name_artist_or_id(page, typed, name):
    page.click("document.querySelector('#search')")
    page.type(typed)
    assert options(page)[0].startswith(name)
    page.press("Enter")
    assert shown(page) == name and options(page) == []


@needs_browser
def test_the_search_works_by_keyboard_and_tells_a_screen_reader(page, made):
    state = """(([input]) => ['aria-expanded', 'aria-activedescendant'].map((each) => input.getAttribute(each)))(
        [document.querySelector('[role=combobox]')])"""
    page.click("document.querySelector('#search')")
    page.type("song 5")
    chosen = "document.querySelector('[role=option][aria-selected=true]')?.innerText"
    first = options(page)
    matching = [f"{row.name} {row.artist} {row.item_id}" for row in made.split.items.itertuples()]
    n = sum("Song" in each and "5" in each for each in matching)
    assert n > len(first) == 12 and all(each.startswith("Song 5") for each in first[:11])
    assert page.value(state) == ["true", "found-0"]
    told = f"{n} songs found, the first 12 are listed"
    assert page.value("document.querySelector('[role=status]').innerText") == told
    page.press("ArrowDown")
    assert page.value(state) == ["true", "found-1"] and page.value(chosen) == first[1]
    page.press("ArrowUp"), page.press("ArrowUp")
    assert page.value(chosen) == first[-1]
    page.press("Escape")
    assert page.value(state) == ["false", None] and options(page) == []
    assert page.value("document.querySelector('#search').value") == "song 5"
    page.press("ArrowDown")
    assert options(page) == first
    page.press("Enter")
    assert shown(page) in first[-1] or shown(page) in first[0]
    assert page.value("document.activeElement.id") == "song-title"
    page.click("document.querySelector('#search')")
    page.type("zzzz")
    assert options(page) == [] and page.value("document.querySelector('[role=status]').innerText") == "0 songs found"
    page.press("Escape")
    assert page.value("document.querySelector('#search').value") == ""
    label = "document.querySelector('#search').labels[0].innerText"
    assert page.value(label) == "Search by name, artist or id"


@needs_browser
def test_a_songs_page_shows_the_computed_neighbours(page, made, address):
    split, unit = made.split, neighbours.unit_vectors(made.vectors)
    seen, names = split.known.toarray(), split.items["name"].tolist()
    for song in (0, 5, N - 1, N - 5):
        visit(page, f"{address}#song=id{song}")
        assert shown(page) == names[song]
        codes, cosines = neighbours.nearest(unit, [song], 10)
        found, own = rows(page), int(seen[:, song].sum())
        assert sorted(row[0] for row in found) == sorted(f"id{code}" for code in codes[0])
        at = {row[0]: row for row in found}
        for code, cosine in zip(codes[0], cosines[0], strict=True):
            both, other = int(seen[:, song] @ seen[:, code]), int(seen[:, code].sum())
            _, _, text, similarity, lift, common, _ = at[f"id{code}"]
            assert abs(float(similarity.removeprefix("similarity ").replace("−", "-")) - cosine) < 0.00501
            if both < 5:
                assert lift == "lift –" and common == "listeners < 5" and f"{both} of" not in text
                assert ("Of the" in text) == (own >= 5) and "ewer than 5 listen to both songs" in text
                continue
            exact = both / (own * other / split.n_users)
            assert abs(float(lift.removeprefix("lift ").replace(",", "")) - exact) <= (0.0501 if exact < 10 else 0.5)
            assert common == f"listeners {both}"
            assert f"{both} of the {own} listeners also listen to it: " in text
            assert ("Same artist." in text) == (song % 9 == code % 9)
        facts = page.value("document.querySelector('#song .facts').innerText")
        assert (f"{own} listeners" in facts) == (own >= 5) and ("fewer than 5 listeners" in facts) == (own < 5)


@needs_browser
def test_a_click_goes_on_back_goes_back_and_a_link_opens_the_same_view(page, address):
    visit(page, f"{address}#song=id3")
    first, next_id = shown(page), rows(page)[2][0]
    page.click("document.querySelectorAll('#song tbody a')[2]")
    second = shown(page)
    assert second != first and hash_of(page) == f"#song={next_id}" and second in page.value("document.title")
    assert page.value("document.activeElement.id") == "song-title"
    page.value("history.back()")
    until(10, lambda: shown(page) == first, "the first song again")
    page.value("history.forward()")
    until(10, lambda: shown(page) == second, "the second song again")
    visit(page, f"{address}#song={next_id}")
    assert shown(page) == second
    visit(page, f"{address}#song=%E0%A4%A&mix=nobody")
    assert shown(page) == "Songs with the most listeners"
    assert "No song here has the id %E0%A4%A." in page.value("document.querySelector('#song').innerText")


@needs_browser
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_mix_gives_the_projects_list(browser, tmp_path, similarity):
    made = recommender(planted(), similarity, seed=3)
    data = collected(made)
    visit(browser, save(data, tmp_path) + "#song=id3")
    listed = "[...document.querySelectorAll('#recommended li')].map((each) => each.dataset.id)"
    browser.click("document.querySelector('#song .title button')")
    assert hash_of(browser) == "#song=id3&mix=id3" and browser.value(listed) == []
    liked = ["id3"]
    for n in range(4):
        liked.append(rows(browser)[n][0])
        browser.click(f"document.querySelectorAll('#song .plus')[{n}]")
        assert browser.value(listed) == page_list(unpack(data), liked)
        exact = [f"id{song}" for song in made.rank_liked(np.array([int(each[2:]) for each in liked]), 20).items[0]]
        assert len(set(exact) & set(browser.value(listed))) >= 18
    assert browser.value("[...document.querySelectorAll('#song .plus')].every((each) => each.disabled)")
    view = hash_of(browser)
    browser.click("document.querySelector('.chips button')")
    assert browser.value(listed) == page_list(unpack(data), liked[1:])
    browser.value("history.back()")
    until(10, lambda: hash_of(browser) == view, "the mix again")
    assert browser.value(listed) == page_list(unpack(data), liked)
    share = f"{np.floor(1000 * unpack(data)['same']) / 10:.1f}"
    assert f"On average {share}\u00a0% of a list’s songs" in browser.value("document.querySelector('#mix').innerText")
    assert complaints(browser) == []


@needs_browser
def test_the_map_zooms_pans_names_and_opens_songs(page, address):
    visit(page, f"{address}#song=id3")
    drawn = "document.querySelector('#map').toDataURL()"
    box = page.value("(r => [r.x, r.y, r.width, r.height])(document.querySelector('#map').getBoundingClientRect())")
    settle = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

    def picture() -> str:
        page.call("Runtime.evaluate", expression=settle, awaitPromise=True)
        return page.value(drawn)

    pictures = [picture()]
    middle = {"x": box[0] + box[2] / 2, "y": box[1] + box[3] / 2}
    page.call("Input.dispatchMouseEvent", type="mouseWheel", deltaX=0, deltaY=-300, **middle)
    until(10, lambda: picture() != pictures[0], "a map that is zoomed")
    pictures.append(picture())
    for kind, shift in (("mousePressed", 0), ("mouseMoved", 30), ("mouseMoved", 60), ("mouseReleased", 60)):
        place = {"x": middle["x"] + shift, "y": middle["y"]}
        page.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)
    pictures.append(picture())
    assert shown(page) == "İzmir"  # to drag is not to click
    for button in ("zoom-near", "zoom-out", "zoom-in", "zoom-all"):
        page.click(f"document.querySelector('#{button}')")
        pictures.append(picture())
    assert pictures[-1] == pictures[0] and len(set(pictures[:-1])) >= 5
    page.value("document.querySelector('select').value = 'artist'")
    page.value("document.querySelector('select').dispatchEvent(new Event('change'))")
    assert picture() != pictures[0] and "other artists" in page.value("document.querySelector('#colours').innerText")
    label = "document.querySelector('#map').getAttribute('aria-label')"
    assert page.value(label) == f"Map of {N} songs. İzmir and its 10 nearest songs are marked."
    hits = 0
    for step in range(60):  # along a line through the middle, until a song is below the mouse
        place = {"x": box[0] + box[2] * (step + 1) / 62, "y": middle["y"]}
        page.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
        name = page.value("(e => e.hidden ? '' : e.innerText)(document.querySelector('#hover'))")
        if name and not name.startswith("İzmir"):
            assert " listeners" in name
            for kind in ("mousePressed", "mouseReleased"):
                page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)
            assert name.startswith(shown(page))
            hits += 1
            break
    assert hits


@needs_browser
def test_hostile_names_stay_text(browser, tmp_path):
    made = recommender(planted(NAMES, hostile_ids=True))
    address = save(collected(made), tmp_path)
    visit(browser, address)
    tags = "[...new Set([...document.body.querySelectorAll('*')].map((each) => each.localName))].sort().join(' ')"
    known = set()
    for song in range(N):
        row = f"document.querySelectorAll('#song {'li' if song == 0 else 'tbody tr'} a')[{song % 9}]"
        browser.value(f"{row}.click()")
        browser.value("document.querySelector('#song .title button').click()")
        known |= set(browser.value(tags).split())
        assert browser.value("document.title") != "taken" and browser.value("location.protocol") == "file:"
    for name in (one_line(each)[:40] for each in NAMES):
        browser.value(f"document.querySelector('#search').value = {json.dumps(name)}")
        browser.value("document.querySelector('#search').dispatchEvent(new Event('input'))")
        if re.search(r"\w{3}", name):
            assert browser.value("document.querySelectorAll('#found li').length") > 0, name
        known |= set(browser.value(tags).split())
    assert known == {
        "a", "bdi", "button", "canvas", "div", "h1", "h2", "header", "input", "label", "li", "main", "noscript", "ol",
        "option", "p", "script", "section", "select", "span", "table", "tbody", "td", "th", "thead", "tr", "ul",
    }  # fmt: skip
    assert browser.value("document.title") != "taken" and complaints(browser) == []


@needs_browser
def test_a_planted_script_would_be_stopped_and_noticed(browser, tmp_path):
    text = explorer_page(collected(recommender(planted())))
    planted_script = "<script>document.title = 'taken'</script><img src='http://host.example/a.png'></main>"
    (tmp_path / "page.html").write_text(text.replace("</main>", planted_script), encoding="utf-8")
    visit(browser, (tmp_path / "page.html").as_uri())
    assert browser.value("document.title") != "taken"
    assert "Content Security Policy" in str(until(10, lambda: complaints(browser), "a message"))


@needs_browser
def test_the_page_fits_a_phone(browser, address):
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **phone)
    try:
        visit(browser, f"{address}#song=id3&mix=id3&mix=id40")
        assert browser.value("document.documentElement.scrollWidth") <= 390
        tops = "[...document.querySelectorAll('#song tbody tr')].every((e) => e.getBoundingClientRect().right <= 390)"
        assert browser.value(tops)
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


@needs_browser
def test_it_works_inside_the_output_of_a_cell(browser, made, tmp_path):
    """Its frame has no address and no origin of its own."""
    bundle = explorer.Shown(collected(made))._repr_mimebundle_()
    (tmp_path / "cell.html").write_text(f"<!doctype html><meta charset=utf-8>{bundle['text/html']}", encoding="utf-8")
    browser.call("Page.navigate", url=(tmp_path / "cell.html").as_uri())
    frame = Page(browser.port, "iframe")
    for domain in ("Runtime", "Network", "Log"):
        frame.call(f"{domain}.enable")
    until(30, lambda: frame.value("!!document.querySelector('#song h2')"), "a page that is ready")
    names = [shown(frame)]
    for link in ("#song a", "#song tbody tr:nth-child(2) a"):
        frame.value(f"document.querySelector('{link}').click()")
        names.append(shown(frame))
    assert len(set(names)) == 3 and set(names[1:]) <= set(made.split.items["name"])
    frame.value("history.back()")
    until(10, lambda: shown(frame) == names[1], "the song before")
    assert complaints(frame) == []


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """The page of 20,000 songs with long vectors, whose numbers no compression makes smaller."""
    n, rng = 20_000, np.random.default_rng(0)
    pairs = np.stack([rng.integers(0, 4000, 400_000), (n * rng.random(400_000) ** 3).astype(int)], axis=1)
    pairs = np.unique(np.concatenate([pairs, np.stack([np.arange(n) % 4000, np.arange(n)], axis=1)]), axis=0)
    split = Split.from_arrays(pairs, pairs[:1], pairs[:1])
    words = np.array(["Amber", "Blue", "Coast", "Dancer", "Engine", "Fever", "Garden", "Harbour", "Señor", "Lantern"])
    names = [" ".join(each) for each in words[rng.integers(0, len(words), (n, 4))]]
    artists = [" ".join(each) for each in words[rng.integers(0, len(words), (n, 3))]]
    items = pd.DataFrame({"item_id": rng.permutation(n) + 10_000_000, "name": names, "artist": artists})
    vectors = rng.normal(size=(n, 128)).astype(np.float32)
    positions, listener_map = rng.normal(size=(n, 2)), np.eye(128, dtype=np.float32)
    made = explorer.collect(replace(split, items=items), vectors, positions, listener_map, "cosine", "best")
    assert len(unpack(made)["ids"]) == n
    path = tmp_path_factory.mktemp("large") / "explorer.html"
    path.write_text(explorer_page(made), encoding="utf-8")
    return path


def test_the_page_of_20_000_songs_is_smaller_than_5_mb(large):
    assert 3e6 < large.stat().st_size < 5e6
    assert len(explorer.unpack(large.read_text())["vectors"]) == 20_000 * 128


@needs_browser
def test_a_keystroke_takes_less_than_100_ms_with_20_000_songs(browser, large):
    visit(browser, large.as_uri())
    typed = "(async () => { const taken = [], input = document.querySelector('#search');" \
        "for (const text of ['senor harbour', 'e', '10001', 'xyz', 'amber blue coast']) {" \
        "  for (let i = 1; i <= text.length; i++) { const start = performance.now(); input.value = text.slice(0, i);" \
        "    input.dispatchEvent(new Event('input')); document.querySelector('#found').offsetHeight;" \
        "    taken.push(performance.now() - start); } } return taken; })()"  # fmt: skip
    answer = browser.call("Runtime.evaluate", expression=typed, awaitPromise=True, returnByValue=True)
    taken = answer["result"]["value"]
    print(f"median {np.median(taken):.1f} ms, maximum {max(taken):.1f} ms a keystroke")
    assert np.median(taken) < 50 and np.quantile(taken, 0.9) < 100
