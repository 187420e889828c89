"""What a person or a machine has set before a report: it changes no figure and no number, or stops it at once."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import REPOSITORY
from mounts import BIND, check, has_mounts, own_mounts, read_only
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from recsys import colab
from recsys.reports import surroundings as checked
from recsys.reports.execution import RunFailed, _check, execute

START = """from recsys import runs, workflow
from recsys.evaluation.evaluate import evaluate
from recsys.models import baselines
from recsys.reports import figures
split = workflow.prepare_run(runs.Run(RUN), "csv", "log.csv")
models = {"popularity": baselines.fit_all(split, ["popularity"], 0)[0]["popularity"].scorer}"""
TRAIN = """workflow.import_trainer()
import tensorflow as tf
from recsys.models.embeddings import Embeddings
model = models["author"] = Embeddings(split.users["user_id"], split.items["item_id"], 4)
for _ in range(20):
    with tf.GradientTape() as tape:
        logits = model((split.train.user, split.train.item[:, None]))
        loss = tf.reduce_mean(tf.math.softplus(-logits))
    tf.keras.optimizers.SGD(10.0).apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)"""
END = """evaluation = evaluate(models, split, (20,))
print(evaluation.means.value.to_json(double_precision=15))
figures.show(figures.means_with_intervals(evaluation), "Means.")"""
DRAW = """import matplotlib.pyplot as plt, numpy as np
print(np.array([1.23456]))
plt.plot([1, 3, 2])"""
RC = "figure.facecolor: black\nlines.linewidth: 9\nfont.size: 30\nsavefig.transparent: True\ntext.color: red\n"
PROFILE = 'c.InteractiveShellApp.exec_lines = ["import numpy; numpy.set_printoptions(precision=1)", "1 / 0"]'
STARTUP = "raise SystemExit('PYTHONSTARTUP was run')"


def write_project(root: Path, *cells: str) -> Path:
    """Write a project with a small log and one notebook of these cells, and return the project's folder."""
    rows = [(n % 30, (n % 30 * 7 + (n // 30) ** 2) % 40, 1_600_000_000 + 600 * n) for n in range(360)]
    text = "user_id,item_id,timestamp\n" + "".join(f"u{user},s{item},{time}\n" for user, item, time in rows)
    (root / "pyproject.toml").touch()
    (root / "log.csv").write_text(text)
    (root / "notebooks").mkdir()
    tagged = new_code_cell('RUN: str = "sample"  # the run', metadata={"tags": ["parameters"]})
    content = [new_markdown_cell("# All"), tagged, *map(new_code_cell, cells)]
    nbformat.write(new_notebook(cells=content), root / "notebooks" / "01_all.ipynb")
    return root


def command(root: Path, given: dict[str, str], **options: Any) -> subprocess.CompletedProcess:
    """Run the reports command with other variables; the options are those of `subprocess.run`."""
    environment = {**os.environ, **given}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [given.get("PYTHONPATH"), str(REPOSITORY)]))
    call = [sys.executable, "-m", "recsys.reports"]
    options |= {"encoding": "utf-8", "errors": "replace", "stdin": subprocess.DEVNULL}
    return subprocess.run(call, cwd=root, env=environment, capture_output=True, timeout=120, **options)


def results(notebook: Path) -> dict[str, list[str]]:
    """Return what a notebook shows: the hashes of its pictures, the numbers that it prints, and the warnings."""
    outputs = [each for cell in nbformat.read(notebook, 4).cells for each in cell.get("outputs", ())]
    pictures = [each.data["image/png"] for each in outputs if "image/png" in each.get("data", {})]
    printed = "".join(each.text for each in outputs if each.get("name") == "stdout").splitlines()
    return {
        "pictures": [hashlib.sha256(each.encode()).hexdigest() for each in pictures],
        "numbers": [line for line in printed if line.startswith(("{", "["))],
        "warnings": [each.text for each in outputs if each.get("name") == "stderr"],
    }


def surroundings(folder: Path) -> dict[str, dict[str, str]]:
    """Return groups of variables that may be set, by what they are for. The files that they name are in `folder`."""
    for name, text in (
        ("home/.config/matplotlib/matplotlibrc", RC), ("rc/matplotlibrc", RC), ("startup.py", STARTUP),
        ("ipython/profile_default/ipython_kernel_config.py", PROFILE), ("home/.keras/keras.json", '{"backend": "jax"}'),
        ("ipython/profile_default/startup/00.py", "import matplotlib; matplotlib.rcParams['font.size'] = 40"),
        ("keras/keras.json", '{"floatx": "float16", "backend": "torch", "epsilon": 0.1}'),
        ("path/helpers.py", "raise RuntimeError"), ("jupyter/jupyter_config.json", "{"),
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    home = str(folder / "home")
    workers = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
    return {
        "figures": {"MPLBACKEND": "Agg", "HOME": home, "XDG_CONFIG_HOME": f"{home}/.config"},
        "figures, a file": {"MPLBACKEND": "module://nothing.here", "MATPLOTLIBRC": f"{folder}/rc/matplotlibrc"},
        "figures, a folder": {"MPLBACKEND": "TkAgg", "MPLCONFIGDIR": f"{folder}/rc"},
        "Keras": {"KERAS_BACKEND": "torch", "KERAS_HOME": f"{folder}/keras"},
        "TensorFlow, rounding": {
            "TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1",
            "TF_DETERMINISTIC_OPS": "1", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2", "XLA_FLAGS": "--no_such_flag",
        },
        "TensorFlow, others": {
            "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "0", "TF_CONFIG": workers, "TF_VAR_region": "x",
        },
        "language": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "encoding": {"LC_ALL": "tr_TR.ISO8859-9", "PYTHONIOENCODING": "ascii:strict"},
        "time zone": {"TZ": "Pacific/Kiritimati"},
        "terminal": {"PAGER": "less", "COLUMNS": "20", "LINES": "3", "NO_COLOR": "1", "TERM": "dumb"},
        "IPython": {
            "IPYTHONDIR": f"{folder}/ipython", "PYTHONSTARTUP": f"{folder}/startup.py",
            "JUPYTER_CONFIG_DIR": f"{folder}/jupyter", "JUPYTER_PLATFORM_DIRS": "1",
        },
        "Python's warnings": {"PYTHONWARNINGS": "error"},
        "Python's modes": {"PYTHONOPTIMIZE": "2", "PYTHONDEVMODE": "1"},
        "a home that cannot be written": {"HOME": "/dev/null/home", "PYTHONPATH": f"{folder}/path"},
        "no home": {"HOME": "", "LANG": "", "PANDAS_FUTURE_INFER_STRING": "0"},
    }  # fmt: skip


def of_report(root: Path, given: dict[str, str], **options: Any) -> dict:
    """Make a report and return its results, or what the command said if it failed."""
    done = command(root, given, **options)
    pages = [root / line for line in done.stdout.splitlines() if line.endswith("index.html")]
    return results(pages[-1].with_name("01_all.ipynb")) if not done.returncode else {"failed": done.stderr}


def of_notebook(root: Path, given: dict[str, str], monkeypatch) -> dict:
    """Run the notebook alone, and return its results."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    execute(root / "notebooks" / "01_all.ipynb", root / "01_all.ipynb", {"RUN": "a"}, root)
    return results(root / "01_all.ipynb")


def test_variables_and_files_change_no_figure_and_no_number(tmp_path, full, count, monkeypatch):
    given = surroundings(tmp_path / "set")
    (tmp_path / "project").mkdir()
    if full:
        root = write_project(tmp_path / "project", START, TRAIN, END)
        calm = of_report(root, {})
        wrong = {what: found for what, group in given.items() if (found := of_report(root, group)) != calm}
    else:  # a small notebook, with all that can be set at once
        root = write_project(tmp_path / "project", DRAW)
        calm, together = of_notebook(root, {}, monkeypatch), {"PYTHONPATH": str(REPOSITORY)}
        for group in given.values():
            together = group | together
        wrong = {"all": found} if (found := of_notebook(root, together, monkeypatch)) != calm else {}
    assert len(calm["pictures"]) == len(calm["numbers"]) == 1, calm
    print(wrong)
    note = f"{sum(map(len, given.values()))} variables, in groups."
    count("environment variables and settings files", len(given), len(wrong), "The same numbers and pictures.", note)


SYSTEM = Path("/usr/local/etc")  # IPython reads the folder ipython in it, in every process of the machine


def mounts(folder: Path) -> dict[str, Callable[[], None]]:
    """Return what changes the places of this process alone, by what is changed. Their files are in `folder`."""
    (folder / "home").mkdir()
    for name, text in (("ipython_kernel_config.py", PROFILE), ("startup/00.py", "import numpy; del numpy.array")):
        (folder / "etc" / "ipython" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "etc" / "ipython" / name).write_text(text)

    def read_only_home() -> None:
        read_only(own_mounts(), folder / "home")

    def settings_of_all_users() -> None:
        check(own_mounts().mount(bytes(folder / "etc"), bytes(SYSTEM), None, BIND, None))

    return {"a read-only HOME, no TMPDIR": read_only_home, "IPython's settings for all users": settings_of_all_users}


@pytest.mark.skipif(not SYSTEM.is_dir() or not has_mounts(), reason="this system allows no mounts of one's own")
def test_read_only_home_no_temporary_folder_and_settings_of_all_users(tmp_path, full, count):
    (tmp_path / "project").mkdir()
    root, changes = write_project(tmp_path / "project", DRAW), mounts(tmp_path)
    together = {" and ".join(changes): lambda: [change() for change in changes.values()]}
    set_up = changes if full else together
    given = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "absent")}
    calm, wrong = of_report(root, {}), {}
    for what, change in set_up.items():
        found = of_report(root, given, preexec_fn=change)
        wrong |= {} if found == calm else {what: found}
    assert len(calm["pictures"]) == len(calm["numbers"]) == 1, calm
    print(wrong)
    count(" and ".join(set_up), len(set_up), len(wrong), "The same numbers and pictures.")


VERSIONS = {
    "tensorflow": "2.18.0", "keras": "2.15.0", "numpy": "1.26.4", "pandas": "2.1.4", "duckdb": "2.0.0",
    "ibis-framework": "13.0.0", "sqlglot": "30.18.0", "papermill": "2.4.0", "pyarrow": "17.0.0", "nbconvert": "7.2.0",
}  # fmt: skip
HIDING = ("random", "calendar", "queue", "secrets", "statistics", "platform", "uuid", "json")


def test_other_versions_and_hidden_modules_stop_before_the_first_step(tmp_path, full, count):
    root, wrong = write_project(tmp_path, START), []
    for name, version in list(VERSIONS.items())[: None if full else 2]:
        facts = tmp_path / name / f"{name.replace('-', '_')}-{version}.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        done = command(root, {"PYTHONPATH": str(facts.parent)})
        told = re.search(f"{name}: expected a version .*, got {version}\n", done.stderr)
        wrong += [] if done.returncode == 2 and told and "Traceback" not in done.stderr else [f"{name}: {done.stderr}"]
    for name in HIDING[: None if full else 1]:
        (tmp_path / f"hides {name}").mkdir()
        (tmp_path / f"hides {name}" / f"{name}.py").write_text("raise ImportError(f'this is {__file__}')\n")
        done = command(root, {"PYTHONPATH": str(tmp_path / f"hides {name}")})
        wrong += [] if done.returncode and f"/{name}.py" in done.stderr else [f"{name}: {done.stderr}"]
    (root / "matplotlibrc").write_text(RC)
    done = command(root, {})
    wrong += [] if done.returncode == 2 and "matplotlibrc: expected" in done.stderr else [done.stderr]
    (root / "matplotlibrc").unlink()
    done = command(root, {"PYTHONINSPECT": "1"})
    wrong += [] if done.returncode and "unset PYTHONINSPECT" in done.stderr else [done.stderr]
    print(*wrong)
    assert not (root / "reports").exists() and not (root / "data").exists()
    n = 2 + (len(VERSIONS) + len(HIDING) if full else 3)
    rule = "An error before the first step that names what was found and what is wanted."
    count("other package versions, files that hide Python's modules, PYTHONINSPECT", n, len(wrong), rule)


def test_colab_installs_nothing_beside_a_version_that_does_not_fit(monkeypatch):
    monkeypatch.setattr(checked, "installed", lambda: {"tensorflow": "2.18.0"})
    monkeypatch.setattr(checked.metadata, "requires", lambda name: ["tensorflow>=2.20,<2.22", "implicit>=0.7.3"])
    monkeypatch.setattr(colab.subprocess, "run", lambda *a, **k: pytest.fail("pip was called"))
    with pytest.raises(ImportError, match="tensorflow: expected a version <2.22,>=2.20, got 2.18.0"):
        colab.install_missing()


def test_a_figure_without_a_picture_fails_the_run(tmp_path, count):
    shown = new_output("execute_result", {"text/plain": "<Figure size 640x480 with 1 Axes>"}, execution_count=1)
    cell = new_code_cell("plt.figure()", outputs=[shown], execution_count=1)
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "01_all.ipynb")
    with pytest.raises(RunFailed, match=r"01_all: expected a picture of each figure, got <Figure size"):
        _check(tmp_path / "01_all.ipynb", cell.source, 0, [], "")
    count("a figure that yields no picture", 1, 0, "The run fails.")
