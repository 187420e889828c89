"""Dependencies, supported Pythons and the Makefile: files that have to agree with each other."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = ["lab", "movielens", "tune", "export", "test"]  # the extras in requirements.lock
LOCK = (ROOT / "requirements.lock").read_text()
HOSTS = [".".join(words) for words in (("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"), ("npmjs", "org"))]


def committed() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("extra", ["", *LOCKED])
def test_the_lock_meets_the_requirements_of_pyproject(extra):
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)", LOCK, re.MULTILINE))
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_the_lock_names_no_index_and_hashes_everything():
    assert "://" not in LOCK and not re.search(r"^-", LOCK, re.MULTILINE)
    for pin in re.split(r"\n(?=\S)", LOCK.strip()):
        assert re.fullmatch(r"[a-z0-9.-]+==\S+( ; [^\\]+)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+", pin), pin[:80]


def test_the_conda_environment_installs_the_same_extras():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, installed = environment["dependencies"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    assert pip == "pip" and len(installed["pip"]) == 1
    extras = re.fullmatch(r"--editable \.\[(.*)\]", installed["pip"][0])[1].split(",")
    assert extras == re.findall(r"--extra (\S+)", (ROOT / "Makefile").read_text()) == LOCKED


def test_colabs_versions_are_allowed_by_pyproject():
    lines = [line for line in (ROOT / "tools" / "colab-constraints.txt").read_text().splitlines() if line[0] != "#"]
    installed = dict(line.split("==") for line in lines)
    required = [each for each in map(Requirement, PROJECT["dependencies"]) if each.name in installed]
    assert len(required) > 8
    assert [str(each) for each in required if not each.specifier.contains(installed[each.name])] == []


def test_all_lists_of_supported_pythons_agree():
    bounds = SpecifierSet(PROJECT["requires-python"])
    allowed = [f"3.{minor}" for minor in range(30) if bounds.contains(f"3.{minor}")]
    assert f"for version in {' '.join(allowed)}; do" in (ROOT / "tools" / "matrix.sh").read_text()
    setup = (ROOT / "tools" / "setup.sh").read_text()
    assert re.findall(r"python(3\.\d+)", setup[: setup.index("python3; fi")]) == allowed[::-1]
    assert " | ".join(f"{each}.*" for each in allowed) in setup
    colab = re.search(r"python.sh (3\.\d+)", (ROOT / "tools" / "colab.sh").read_text())[1]
    assert colab in allowed


def test_no_committed_file_names_a_registry_or_a_machine():
    for path in committed():
        text = path.read_bytes().decode(errors="replace")
        assert not [host for host in HOSTS if host in text], path
        assert path.suffix != ".ipynb" or "/home/" not in text, path


def test_notebooks_are_committed_without_outputs():
    for path in (path for path in committed() if path.suffix == ".ipynb" and path.parent.name == "notebooks"):
        notebook = json.loads(path.read_text())
        assert "papermill" not in notebook["metadata"] and "widgets" not in notebook["metadata"], path
        for cell in notebook["cells"]:
            assert "papermill" not in cell["metadata"], path
            assert cell["cell_type"] != "code" or (cell["outputs"], cell["execution_count"]) == ([], None), path


def make(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "VENV")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_make_alone_lists_every_command():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = make().splitlines()
    assert [line.split()[1] for line in lines] == targets and all(len(line.split()) > 4 for line in lines)


def test_make_passes_parameters_on_unchanged():
    given = ["SONG=it's 5 $HOME & \"co\"; `ls` #1 \\", "DATASET=30music", "DATA_PATH=my file.csv", "EMPTY=", "lower=x"]
    command = shlex.split(make("-n", "reports", "PYTHON=python3", *given).splitlines()[-1])
    assert command[:3] == [".venv/bin/python", "-m", "recsys.reports"] and sorted(command[3:]) == sorted(given)


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="the tests run in one process")
def test_the_tests_of_a_file_stay_together(request):
    """They share what is slow to make, and the notebooks share a run. A group's name is at the end of the id."""
    assert request.node.nodeid.endswith("@test_ground")
