"""What is installed is what was locked, and a run needs no network."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY

ALONE = ["unshare", "-rn"]  # a namespace of its own, in which there is no network
STEPS = """
import socket, sys
from pathlib import Path
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError:
    print("no network")
sys.path[:0] = ["tests", "tests/chaos"]
from test_surroundings import END, START, write_project
from recsys.reports.execution import execute
root = Path(sys.argv[1])
write_project(root, START, END)
execute(root / "notebooks" / "01_all.ipynb", root / "01_all.ipynb", {"RUN": "a"}, root)
print("done")
"""


def has_namespaces() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*ALONE, "true"], capture_output=True).returncode


def test_the_lock_has_hashes_only(count):
    text = (REPOSITORY / "requirements.lock").read_text()
    pins = re.split(r"\n(?=\S)", text.strip())
    whole = r"[a-z0-9.-]+==\S+( ; [^\\]+)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+"
    wrong = [pin for pin in pins if not re.fullmatch(whole, pin)] + re.findall(r"\S*://\S*|^-.*", text, re.MULTILINE)
    count("packages in requirements.lock", len(pins), len(wrong), "A version and hashes, no address of an index.")


def test_pip_audit_knows_no_hole(count, full):
    """`pip-audit` ends well too if its service knows none of the packages, as without a network: that is no answer."""
    if not (full and shutil.which("pip-audit")):
        pytest.skip("in the full form, where pip-audit is installed: pipx install pip-audit")
    command = ["pip-audit", "--disable-pip", "--require-hashes", "-r", "requirements.lock", "--format", "json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    packages = json.loads(done.stdout)["dependencies"] if done.stdout else []
    known = [each for each in packages if "vulns" in each]
    if not known:
        pytest.skip(f"pip-audit looked up none of {len(packages)} packages: {done.stderr.strip().splitlines()[-1:]}")
    wrong = [(each["name"], [hole["id"] for hole in each["vulns"]]) for each in known if each["vulns"]]
    print(*wrong, sep="\n")
    count("packages looked up by pip-audit", len(known), len(wrong), "No known hole.", f"Of {len(packages)} packages.")


@pytest.mark.skipif(not has_namespaces(), reason="this system gives no namespace without a network")
def test_a_notebook_runs_without_a_network(tmp_path, count, full):
    if not full:
        pytest.skip("in the full form only: make chaos TOPICS=supply_chain")
    command = [*ALONE, sys.executable, "-c", STEPS, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    wrong = "no network" not in done.stdout or not done.stdout.endswith("done\n")
    print(done.stdout, done.stderr)
    rule = "It needs no network: prepares, fits, evaluates and draws without one."
    count("a notebook in a namespace without a network", 1, int(wrong), rule)
