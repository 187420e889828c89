"""The house: packages in the order of the data, imports that only run down, TensorFlow only where it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

PACKAGE = REPOSITORY / "recsys"
FLOORS = ("data", "evaluation", "models", "training", "audit", "reports")  # a floor imports from those before it
EVERYBODY = {"runs"}  # may be imported from anywhere
TOP = {"workflow", "recommend", "tune", "colab", "__init__"}  # may import from everywhere
USES_TENSORFLOW = {
    "recsys.models.embeddings",
    *(f"recsys.training.{name}" for name in (
        "losses", "optimizers", "devices", "shuffling", "sampled_softmax", "full_softmax", "history", "selection",
        "trainer",
    )),
}  # fmt: skip


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def floor(module: str) -> str:
    """The package of a module, or its own name on the top floor."""
    return [*module.split("."), "__init__"][1]


def arrows(module: str, source: str) -> set[str]:
    """Return the modules of recsys that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import"
            below = [f"{node.module}.{each.name}" for each in node.names]
            found |= {each if each in MODULES else str(node.module) for each in below}
    return {each for each in found if each.split(".")[0] == "recsys"} - {module}


def runs_up(module: str, imported: str) -> bool:
    here, there = floor(module), floor(imported)
    if here in TOP or there in EVERYBODY:
        return False
    if here in EVERYBODY or there not in FLOORS:
        return True
    return FLOORS.index(there) > FLOORS.index(here)


def test_every_module_is_on_a_floor():
    assert {floor(module) for module in MODULES} == {*FLOORS, *EVERYBODY, *TOP}


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_run_down(module):
    up = [each for each in arrows(module, MODULES[module].read_text()) if runs_up(module, each)]
    assert not up, f"{module} imports from a later package: {', '.join(up)}"


def test_an_arrow_that_runs_up_is_found():
    def up(module: str, source: str) -> list[str]:
        return [each for each in arrows(module, source) if runs_up(module, each)]

    assert up("recsys.data.split", "from recsys.evaluation import metrics") == ["recsys.evaluation.metrics"]
    assert up("recsys.audit.checks", "def f():\n    import recsys.reports.pages") == ["recsys.reports.pages"]
    assert up("recsys.models.neighbours", "from recsys.workflow import open_split") == ["recsys.workflow"]
    assert up("recsys.runs", "from recsys.data.split import Split") == ["recsys.data.split"]
    assert up("recsys.reports.pages", "from recsys.runs import Run\nfrom recsys.data.split import Split") == []
    assert up("recsys.workflow", "from recsys.reports import pages") == []


@pytest.mark.parametrize("module", sorted(MODULES.keys() - USES_TENSORFLOW))
def test_a_module_that_needs_no_tensorflow_starts_without_it(module):
    heavy = "{'tensorflow', 'keras', 'torch'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(sorted({heavy}))"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_the_public_door_opens_on_first_use():
    code = (
        "import sys; there = {*sys.modules}; import recsys; print([name for name in {*sys.modules} - there if name.split('.')[0] not in sys.stdlib_module_names]);"
        "recsys.Recommender, recsys.RECIPES; print('tensorflow' in sys.modules);"
        "print([name for name in dir(recsys) if not getattr(recsys, name)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "['recsys']\nFalse\n[]\n"


def test_the_public_door_says_what_it_has():
    import recsys

    with pytest.raises(AttributeError, match="no attribute 'fit'; it has prepare, train"):
        recsys.fit  # noqa: B018
