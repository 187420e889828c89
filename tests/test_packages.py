"""The packages: their order, what belongs to them, where TensorFlow is imported, and the names in `import recsys`."""

import re
import subprocess
import sys
import tomllib

import packages
import pytest
from conftest import REPOSITORY
from packages import FLOORS, MODULES, floor, imports, runs_up
from setuptools import find_packages

CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
NEEDS_NO_TENSORFLOW = sorted({name for name in MODULES if floor(name) != "training"} - {"recsys.models.embeddings"})


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_the_floors_are_the_folders_of_the_package():
    folders = {path.name for path in (REPOSITORY / "recsys").iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(FLOORS) - {"files", "runs", "top"}
    assert {name for name in MODULES if floor(name) == "top"} == {
        "recsys", "recsys.colab", "recsys.explore", "recsys.export", "recsys.inspect", "recsys.lists",
        "recsys.lists_on_spark", "recsys.recommend", "recsys.train_run", "recsys.tune", "recsys.workflow",
    }  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_lead_to_earlier_packages(module):
    up = [each for each in imports(module, MODULES[module].read_text(encoding="utf-8")) if runs_up(module, each)]
    assert not up, f"{module} imports from a later package: {', '.join(up)}"


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("recsys.data.split", "from recsys.evaluation import metrics", ["recsys.evaluation.metrics"]),
        ("recsys.data.split", "import recsys", ["recsys"]),
        ("recsys.audit.checks", "def f():\n    import recsys.reports.pages", ["recsys.reports.pages"]),
        ("recsys.models.neighbours", "from recsys.workflow import open_split", ["recsys.workflow"]),
        ("recsys.runs", "from recsys.data.split import Split", ["recsys.data.split"]),
        ("recsys.reports.pages", "from recsys.runs import Run\nfrom recsys.data.split import Split", []),
        ("recsys.workflow", "from recsys.reports import pages", []),
    ],
)
def test_an_import_from_a_later_package_is_found(module, source, expected):
    assert [each for each in imports(module, source) if runs_up(module, each)] == expected


def test_a_relative_import_is_an_error():
    with pytest.raises(ValueError, match=r"recsys.data.split, line 2: expected an absolute import"):
        imports("recsys.data.split", "import os\nfrom . import prepare")


def test_the_picture_has_every_package_in_order_and_a_sentence_for_every_file(capsys):
    assert packages.main() == 0
    picture, errors = capsys.readouterr()
    assert errors == "" and re.findall(r"^(\w+): ", picture, re.MULTILINE) == list(FLOORS)
    assert len(re.findall(r"^    \S+\.py +\S.* ", picture, re.MULTILINE)) == len(MODULES)


def test_the_picture_names_an_import_from_a_later_package(capsys, monkeypatch, tmp_path):
    wrong = tmp_path / "recsys" / "data" / "wrong.py"
    wrong.parent.mkdir(parents=True)
    wrong.write_text('"""One sentence: `x`. Another one."""\nimport recsys.reports.pages\n')
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    monkeypatch.setattr(packages, "MODULES", {"recsys.data.wrong": wrong})
    assert packages.main() == 1
    picture, errors = capsys.readouterr()
    assert picture.startswith("files: 0 lines") and "data: 2 lines; imports from reports (1)\n" in picture
    assert re.search(r"wrong.py +One sentence: `x`\.\n", picture)
    assert "got recsys.data.wrong importing recsys.reports.pages" in errors


def test_a_wheel_holds_every_module_and_template():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = find_packages(REPOSITORY, **settings["packages"]["find"])
    found = {REPOSITORY.joinpath(*name.split(".")) for name in folders}
    assert found == {path.parent for path in MODULES.values()}
    data = {
        path for name, patterns in settings["package-data"].items() for pattern in patterns
        for path in REPOSITORY.joinpath(*name.split(".")).glob(pattern)
    }  # fmt: skip
    files = {path for path in (REPOSITORY / "recsys").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert data == files - set(MODULES.values())


def test_tensorflow_is_imported_by_models_embeddings_and_training_alone():
    """Import all other modules in one process; name the first one after which TensorFlow, Keras or PyTorch is there."""
    code = f"""
import importlib, sys
for name in {NEEDS_NO_TENSORFLOW}:
    importlib.import_module(name)
    if heavy := {{"tensorflow", "keras", "torch"}} & set(sys.modules):
        sys.exit(print(f"{{name}} imports {{heavy}}"))
"""
    assert run_python(code) == ""


def test_import_recsys_loads_nothing_before_it_is_used():
    code = """
import sys
before = {*sys.modules}
import recsys
print(sorted({*sys.modules} - before - sys.stdlib_module_names))
recsys.Recommender, recsys.RECIPES
print("tensorflow" in sys.modules)
print([name for name in dir(recsys) if getattr(recsys, name, None) is None])
"""
    assert run_python(code) == "['recsys']\nFalse\n[]\n"


def test_an_unknown_name_of_recsys_is_an_error_that_lists_the_known_ones():
    import recsys

    with pytest.raises(AttributeError, match="no attribute 'fit'; it has prepare, train"):
        recsys.fit  # noqa: B018


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading of CONTRIBUTING.md, without its head."""
    below = CONTRIBUTING.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_contributing_lists_the_packages_in_order():
    listed = [re.fullmatch(r"`(?:recsys\.)?(\w+)`", row[0])[1] for row in table("The packages")]
    assert listed == [each for each in FLOORS if each not in ("files", "runs", "top")]


def test_ten_changes_have_one_file_each_that_holds_the_place():
    rows = table("Ten changes and where to make them")
    assert len(rows) == 10
    for change, file, place in rows:
        path = REPOSITORY / file.strip("`")
        assert path.is_file(), f"{change}: {file}"
        names = re.findall(r"`(\w+)`", place)
        text = path.read_text(encoding="utf-8")
        assert names and all(re.search(rf"\b{name}\b", text) for name in names), f"{change}: {place} in {file}"
