"""`make setup` with a fake installer: when it creates the environment, and what it prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "setup.sh"
INSTALLER = f"""#!/bin/sh
echo "$*" >>calls
if [ "$1" = venv ]; then for venv; do :; done; mkdir -p "$venv/bin"; ln -s "{sys.executable}" "$venv/bin/python"; fi
[ ! -e stop ] || exit 1
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """A project whose PATH has only the tools that the script needs, an installer and a Python."""
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text("one")
    (tmp_path / "tools").mkdir()
    shutil.copy(SCRIPT, tmp_path / "tools")
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "cat", "cksum", "rm", "mkdir", "ln"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    python(tmp_path, "python3", f'exec "{sys.executable}" "$@"')
    python(tmp_path, "uv", INSTALLER)
    return tmp_path


def python(project: Path, name: str, script: str) -> None:
    path = project / "bin" / name
    path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def setup(project: Path, chosen: str = "") -> tuple[int, str, int]:
    """Return the exit status, the output, and the number of calls of the installer."""
    calls = project / "calls"
    calls.unlink(missing_ok=True)
    environment = {"PATH": str(project / "bin"), "PYTHON": chosen, "HOME": os.environ.get("HOME", "/")}
    command = [str(project / "bin" / "sh"), "tools/setup.sh", ".venv", "setup"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, len(calls.read_text().splitlines()) if calls.exists() else 0


def test_it_is_created_once(project):
    status, output, calls = setup(project)
    assert (status, calls) == (0, 3) and "creating .venv with uv" in output
    status, output, calls = setup(project)
    assert (status, calls) == (0, 0) and "is up to date with requirements.lock and pyproject.toml" in output


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_it_is_created_again_when_its_sources_change(project, changed):
    setup(project)
    (project / changed).write_text("two")
    assert setup(project)[2] == 3 and setup(project)[2] == 0


def test_an_interrupted_one_is_created_again(project):
    (project / "stop").touch()
    status, _, calls = setup(project)
    assert status != 0 and calls == 1 and (project / ".venv").exists()
    (project / "stop").unlink()
    assert setup(project)[::2] == (0, 3) and setup(project)[::2] == (0, 0)


def test_one_whose_python_is_gone_is_created_again(project):
    setup(project)
    (project / ".venv" / "bin" / "python").unlink()
    assert setup(project)[::2] == (0, 3)


def test_an_old_python_is_an_error_that_names_it(project):
    for name in ("python3", "python3.12"):
        python(project, name, "echo 3.9.18")
    status, output, calls = setup(project)
    assert status != 0 and calls == 0 and not (project / ".venv").exists()
    assert "expected Python 3.11, 3.12 or 3.13" in output and "got python3.12 (3.9.18), python3 (3.9.18)\n" in output
    status, output, _ = setup(project, "python9")
    assert status != 0 and "as one of: python9; got none" in output and "PYTHON=" in output


def test_a_missing_python_is_an_error(project):
    (project / "bin" / "python3").unlink()
    status, output, _ = setup(project)
    assert status != 0 and "got none of them" in output
