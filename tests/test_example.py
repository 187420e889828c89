"""The report in reports/example is what the code would make now. Comments and prose of its notebooks may differ."""

import ast
import dataclasses
import json
import re
from pathlib import Path

import nbformat
import pytest
from test_hostile import ABSOLUTE, contents

from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.metrics import BY_USER
from recsys.files import read_json
from recsys.models import baselines
from recsys.reports.parameters import read_parameters
from recsys.training.recipes import RECIPES

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "reports" / "example"
STALE = "reports/example was made by other code; run `make example`"
pytestmark = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="no reports/example; run `make example`")


def headings_and_code(path: Path) -> list[str]:
    """Return a notebook's headings and code, without comments, layout and the cell of given parameters."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            found += [line for line in cell.source.splitlines() if line.startswith("#")]
        elif "injected-parameters" not in cell.metadata.get("tags", ()):
            found.append(ast.unparse(ast.parse(cell.source)))
    return found


@pytest.fixture(scope="module")
def record() -> dict:
    return read_json(EXAMPLE / "run.json")


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    return Split.load(prepare("sample", root=tmp_path_factory.mktemp("sample")).folder)


def test_its_notebooks_are_up_to_date(record):
    notebooks = sorted((REPOSITORY / "notebooks").glob("0[1-4]_*.ipynb"))
    assert list(record["hashes"]["notebooks"]) == [path.stem for path in notebooks], STALE
    for path in notebooks:
        assert headings_and_code(EXAMPLE / path.name) == headings_and_code(path), f"{path.stem}: {STALE}"
    defaults = {name: each.default for name, each in read_parameters(notebooks).items() if name != "RUN"}
    assert {name: each["value"] for name, each in record["parameters"].items() if name != "RUN"} == defaults, STALE


def test_its_recipes_are_up_to_date(record, split):
    """Recipes depend on the number of listeners and songs."""
    for name in record["parameters"]["RECIPES"]["value"].split():
        recipe = RECIPES[name].for_size(*split.size)
        settings = json.loads(json.dumps(dataclasses.asdict(recipe)))
        assert record["recipes"][name] == settings, f"{name}: {STALE}"


def test_its_figures_are_up_to_date(record, split):
    """All figures are there, and those of popularity, which need no training, are what the code computes now."""
    metrics = read_json(EXAMPLE / "metrics.json")
    names = " ".join(record["parameters"][name]["value"] for name in ("BASELINES", "RECIPES")).split()
    assert set(metrics["models"]) == set(names), STALE
    for model in metrics["models"].values():
        assert {f"{name}@20" for name in BY_USER} <= set(model), STALE
    found = evaluate({"popularity": baselines.fit("popularity", split).scorer}, split).means
    for metric, value in found.loc["popularity"]["value"].items():
        assert metrics["models"]["popularity"][metric]["value"] == pytest.approx(value, abs=1e-6), f"{metric}: {STALE}"


def test_it_is_complete_small_and_private(record):
    files = [path for path in EXAMPLE.iterdir() if path.is_file()]
    assert record["status"] == "succeeded" and record["files"] == sorted(path.name for path in files), STALE
    assert sum(path.stat().st_size for path in files) < 3e6
    assert not [path.name for path in files if ABSOLUTE.search(contents(path))]


@pytest.mark.parametrize("page", sorted(EXAMPLE.glob("0*.html")), ids=lambda page: page.stem)
def test_no_page_shows_a_warning_of_a_library(page):
    assert not re.findall("WARNING|AutoGraph|Warning:", page.read_text(encoding="utf-8"))


def test_links_of_the_first_page_lead_to_places_that_exist():
    page = (EXAMPLE / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([\w.]+)#([^"]+)"', page)
    assert len(links) >= 2
    for name, place in links:
        assert f'id="{place}"' in (EXAMPLE / name).read_text(encoding="utf-8"), (name, place)
