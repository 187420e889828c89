"""The report that is kept in reports/example: is it still what the code would make? Remarks and prose may change."""

import ast
import dataclasses
import json
from pathlib import Path

import nbformat
import pytest
from test_hostile import ABSOLUTE, contents

from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.metrics import BY_USER
from recsys.models import baselines
from recsys.reports.parameters import read_parameters
from recsys.runs import read_json
from recsys.training.recipes import RECIPES

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "reports" / "example"
STALE = "reports/example is of other code: `make example` makes it anew"
pytestmark = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="no reports/example here: `make example` makes it")


def story(path: Path) -> list[str]:
    """A notebook's headings and code, the code without comments and layout, and without the values that were given."""
    told = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            told += [line for line in cell.source.splitlines() if line.startswith("#")]
        elif "injected-parameters" not in cell.metadata.get("tags", ()):
            told.append(ast.unparse(ast.parse(cell.source)))
    return told


@pytest.fixture(scope="module")
def record() -> dict:
    return read_json(EXAMPLE / "run.json")


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    return Split.load(prepare("sample", root=tmp_path_factory.mktemp("sample")).folder)


def test_its_notebooks_are_these(record):
    notebooks = sorted((REPOSITORY / "notebooks").glob("0[1-4]_*.ipynb"))
    assert list(record["hashes"]["notebooks"]) == [path.stem for path in notebooks], STALE
    for path in notebooks:
        assert story(EXAMPLE / path.name) == story(path), f"{path.stem}: {STALE}"
    defaults = {name: each.default for name, each in read_parameters(notebooks).items() if name != "RUN"}
    assert {name: each["value"] for name, each in record["parameters"].items() if name != "RUN"} == defaults, STALE


def test_its_recipes_are_these(record, split):
    """In the form that they take for so many listeners and songs."""
    for name in record["parameters"]["RECIPES"]["value"].split():
        recipe = RECIPES[name].fitting(split.n_users, split.n_items)
        settings = json.loads(json.dumps(dataclasses.asdict(recipe)))
        assert record["recipes"][name] == settings, f"{name}: {STALE}"


def test_its_figures_are_these(record, split):
    """All that should be there are; those that can be had without training are what the code finds now."""
    metrics = read_json(EXAMPLE / "metrics.json")
    names = " ".join(record["parameters"][name]["value"] for name in ("BASELINES", "RECIPES")).split()
    assert set(metrics["models"]) == set(names), STALE
    for model in metrics["models"].values():
        assert {f"{name}@20" for name in BY_USER} <= set(model), STALE
    found = evaluate({"popularity": baselines.fit("popularity", split).scorer}, split, n_resamples=2).means
    for metric, value in found.loc["popularity"]["value"].items():
        assert metrics["models"]["popularity"][metric]["value"] == pytest.approx(value, abs=1e-6), f"{metric}: {STALE}"


def test_it_is_whole_small_and_private(record):
    files = [path for path in EXAMPLE.iterdir() if path.is_file()]
    assert record["status"] == "succeeded" and record["files"] == sorted(path.name for path in files), STALE
    assert sum(path.stat().st_size for path in files) < 3e6
    assert not [path.name for path in files if ABSOLUTE.search(contents(path))]
