"""Reports from real papermill runs of small notebooks, and every way in which a run can end."""

import contextlib
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import REPOSITORY
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from recsys.data.errors import DataError
from recsys.reports import execution, reuse
from recsys.reports.choices import ONE_OF, SOME_OF, check_typed
from recsys.reports.execution import execute, hide_paths
from recsys.reports.folder import claim_folder, write_index
from recsys.reports.pages import notebook_page
from recsys.reports.parameters import read_parameters, read_values
from recsys.reports.runner import main
from recsys.runs import Run, run_of_report

RUN = 'RUN: str = "sample"  # the run'
PREPARE = """import json, os, sys
from pathlib import Path
print("kernel", Path(sys.executable).resolve(), os.getcwd())
run = Path("data/runs", RUN); run.mkdir(parents=True, exist_ok=True)
entry = {"value": SEED / 10, "low": 0.01, "high": 0.5}
models = {"author": {"ndcg@20": entry, "seconds": 1.0}, "popularity": {"ndcg@20": {"value": 0.02}}}
(run / "metrics.json").write_text(json.dumps({"split": "by-time", "users": 9, "models": models, "differences": []}))
(run / "summary.json").write_text(json.dumps({"headline": "author leads & <b>how</b>", "sentences": ["By 1 < 2."]}))
(run / "data.json").write_text(json.dumps({"path": DATA_PATH, "song": SONG}))"""
TRAIN = """import os, sys, time
from pathlib import Path
Path("kernel.pid").write_text(str(os.getpid()))
if ENDING == "error": raise ValueError("no such <song>")
if ENDING == "data": from recsys.data.errors import DataError; raise DataError("log.csv: expected a song, got a <bird>")
if ENDING == "path": raise ValueError(f"DATA_PATH: expected a file at {Path.home()}/x.csv, got nothing")
if ENDING == "value": raise ValueError("EPOCHS: expected 1 or more,\\ngot 0")
if ENDING == "disk": raise OSError(28, "No space left on device")
if ENDING == "exit": sys.exit(0)
if ENDING == "kill": os.kill(os.getpid(), 9)
if ENDING == "sleep": time.sleep(60)"""


def write_notebook(path: Path, parameters: str, *cells: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A step"), tagged, *map(new_code_cell, cells)]), path)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    own = ["# data", RUN, 'DATASET: str = "sample"  # a name', 'DATA_PATH: str = ""  # a file']
    own += ["# rare", "SEED: int = 1  # of chance"]
    write_notebook(root / "notebooks" / "01_prepare.ipynb", "\n".join([*own, 'SONG: str = ""  # a title']), PREPARE)
    own = [RUN, 'ENDING: str = ""  # how to end']
    write_notebook(root / "notebooks" / "02_train.ipynb", "\n".join(own), TRAIN, "print('end')")
    write_notebook(root / "notebooks" / "05_later.ipynb", RUN, "1 / 0")
    return root


def start(project: Path, *arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "recsys.reports", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment, **pipes, **options)


def run(project: Path, *arguments: str) -> tuple[int, list[str], str]:
    process = start(project, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out.splitlines(), err


def is_gone(pid: str) -> bool:
    return not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def report(project) -> tuple[Path, list[str]]:
    data = project / "data"
    data.mkdir()
    status, lines, err = run(project, "SEED=3", f"DATA_PATH={data}", "SONG=007 & it's $5")
    assert status == 0, err
    return (project / lines[-1]).parent, lines


def test_a_run_becomes_a_report(project, report):
    folder, lines = report
    assert lines[-1] == f"reports/{folder.name}/index.html"
    assert any(line.startswith("02_train, cell 2 of 3, ") for line in lines)
    assert folder.name.endswith("_sample") and not list((project / "reports").glob(".*"))
    names = {path.name for path in folder.iterdir()}
    expected = {"01_prepare.ipynb", "01_prepare.html", "02_train.ipynb", "02_train.html", "metrics.json"}
    assert names == expected | {"run.json", "index.html"}
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["exit_code"], record["error"]) == ("succeeded", 0, None)
    assert record["parameters"]["SEED"] == {"value": 3, "given": True}
    assert record["parameters"]["DATASET"] == {"value": "sample", "given": False}
    assert record["parameters"]["RUN"] == {"value": folder.name, "given": False} and record["seed"] == 3
    assert set(record["seconds"]) == set(record["hashes"]["notebooks"]) == {"01_prepare", "02_train"}
    assert set(record["files"]) == names and record["versions"]["papermill"]


def test_a_log_file_shows_some_lines_of_a_long_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execution, "QUIET", 0.5)
    cell = "import time\nfor i in range(40): print('epoch', i, flush=True); time.sleep(0.05)"
    source = write_notebook(tmp_path / "notebooks" / "02_train.ipynb", RUN, cell)
    execute(source, tmp_path / "done.ipynb", {}, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    shown = [line for line in lines if re.fullmatch(r"02_train, cell 2 of 2, \d+ s  epoch \d+", line)]
    assert 2 <= len(shown) <= 20, lines  # of 40; about 4 on an idle machine


def test_a_line_that_moves_becomes_lines_of_progress_and_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execution, "QUIET", 0.0)
    cell = "for i in range(9): print(f'\\repoch {i}'.ljust(60), end='', flush=True)\nprint('\\rbest epoch 7'.ljust(60))"
    late = "import atexit, os; _ = atexit.register(os.write, 2, b'the kernel says this at its end\\n')"
    source = write_notebook(tmp_path / "notebooks" / "02_train.ipynb", RUN, late, cell)
    execute(source, tmp_path / "done.ipynb", {}, tmp_path)
    lines = [f"epoch {i}" for i in range(9)] + ["best epoch 7"]
    printed = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in printed if line] == lines
    page = notebook_page(nbformat.read(tmp_path / "done.ipynb", as_version=4), "02_train", ["02_train"])
    assert "<summary>Log, 10 lines</summary><pre>{}</pre>".format("\n".join(lines)) in page


def test_a_notebook_may_end_with_its_parameters(tmp_path):
    source = write_notebook(tmp_path / "notebooks" / "01_prepare.ipynb", RUN)
    execute(source, tmp_path / "done.ipynb", {"RUN": "mine"}, tmp_path)
    last = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells[-1]
    assert last.source.endswith('RUN = "mine"\n') and last.execution_count


@pytest.mark.parametrize(("name", "transport"), [("short", "ipc"), ("long" * 25, "tcp")])
def test_a_kernel_uses_unix_sockets_unless_their_path_would_be_too_long(
    tmp_path, monkeypatch, name, transport
):
    cell = "import json\nfrom ipykernel.connect import get_connection_info\ninfo = json.loads(get_connection_info())"
    last = f"assert info['transport'] == {transport!r}, info"
    source = write_notebook(tmp_path / "notebooks" / "02_train.ipynb", RUN, cell, last)
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    execute(source, tmp_path / "done.ipynb", {}, tmp_path)
    assert not any(folder.iterdir())


def test_values_arrive_as_they_were_typed(project, report):
    arrived = json.loads((project / "data" / "runs" / report[0].name / "data.json").read_text())
    assert arrived == {"path": "data", "song": "007 & it's $5"}


def test_the_kernel_is_this_interpreter_in_the_projects_folder(project, report):
    printed = nbformat.read(report[0] / "01_prepare.ipynb", as_version=4).cells[-1].outputs[0].text
    assert printed.endswith(" .\n") and Path(sys.executable).resolve().name in printed


def test_no_file_of_a_report_names_a_folder_of_this_machine(project, report):
    for path in [*report[0].iterdir(), project / "reports" / "index.html"]:
        text = path.read_text()
        assert not [place for place in (str(project), sys.prefix, str(REPOSITORY)) if place in text], path


def test_pages_show_the_answer_first_and_escape_it(project, report):
    page = (report[0] / "index.html").read_text()
    assert "<h1>author leads &amp; &lt;b&gt;how&lt;/b&gt;</h1>" in page and "By 1 &lt; 2." in page
    assert page.index("author leads") < page.index("By 1") < page.index(">popularity<") < page.index("How it was made")
    command = """make reports DATA_PATH=data SEED=3 SONG='007 & it'"'"'s $5'"""
    assert f'<pre class="command">{command}</pre>' in html.unescape(page)
    listed = (project / "reports" / "index.html").read_text()
    assert f'{report[0].name}/index.html"' in listed
    assert "0.3000" in listed and "<td>the described system</td>" in listed


def test_a_finished_run_is_used_again_with_its_values(project, report):
    """RUN may be the name of the run, or of a report that continued it."""
    status, lines, err = run(project, f"RUN={report[0].name}")
    assert status == 0, err
    again = (project / lines[-1]).parent
    names = {again.name: report[0].name, report[0].name: report[0].name, "new": "new", "": ""}
    assert {name: run_of_report(name, project / "reports") for name in names} == names
    record, before = (json.loads((folder / "run.json").read_text()) for folder in (again, report[0]))
    assert record["run"] == report[0].name and record["parameters"]["SEED"] == {"value": 3, "given": True}
    assert record["reused"] == dict.fromkeys(["01_prepare", "02_train"], report[0].name)
    assert record["seconds"] == before["seconds"]
    for name in ("01_prepare", "02_train"):
        assert f"{name} is reused from {report[0].name}: nothing that it depends on has changed" in lines
        assert f"<th>{name[3:].capitalize()}</th><td>reused from" in (again / "index.html").read_text()
        assert (again / f"{name}.ipynb").read_bytes() == (report[0] / f"{name}.ipynb").read_bytes()
        assert (again / f"{name}.html").exists()


def test_an_interrupted_run_continues(project):
    status, lines, _ = run(project, "RUN=tpyo", "ENDING=error")
    assert "tpyo: there is no run of this name yet, so a new one starts" in lines
    first, name = json.loads((project / lines[-1]).read_text()), "tpyo"
    assert status == 1 and f"Once the cause is mended, `make reports RUN={name}` reuses" in lines[-2]
    status, lines, err = run(project, f"RUN={name}", "ENDING=")
    assert status == 0, err
    record = json.loads((project / lines[-1]).with_name("run.json").read_text())
    assert record["reused"] == {"01_prepare": first["name"]} and set(record["seconds"]) == {"01_prepare", "02_train"}
    assert "02_train runs again because it did not finish before" in lines
    status, lines, err = run(project, f"RUN={name}", "SEED=5")
    assert status == 0, err
    assert "01_prepare runs again because of changes in SEED" in lines
    assert "02_train runs again because of changes in the results of an earlier step" in lines
    metrics = json.loads((project / lines[-1]).with_name("metrics.json").read_text())
    assert metrics["models"]["author"]["ndcg@20"]["value"] == 0.5


@pytest.fixture
def steps(tmp_path) -> tuple[Run, dict[str, Path]]:
    """A run of three finished steps. Each left a file; the first also prepared data."""
    run = Run("then", tmp_path)
    (tmp_path / "data.csv").write_text("a")
    prepared = tmp_path / "data" / "prepared" / "x"
    prepared.mkdir(parents=True)
    (prepared / "manifest.json").write_text("{}")
    notebooks = {name: write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", RUN) for name in ("01", "02", "03")}
    for name, path in notebooks.items():
        made_from = inputs_of(run, path)
        run.note(**{"prepared": "data/prepared/x"} if name == "01" else {"recipes": ["author"]} if name == "02" else {})
        (run.folder / name).mkdir()
        (run.folder / name / "result").write_text(name)
        reuse.record_step(run, path, made_from, report="then", seconds=1.0)
    return run, notebooks


def inputs_of(run: Run, path: Path, version: str = "1", **values) -> dict:
    return reuse.inputs(run, path, {"RUN": run.name, "DATA_PATH": "data.csv", **values}, {"python": version})


def changes(run: Run, notebooks: dict[str, Path], **now) -> dict[str, str]:
    return {name: reuse.reason_to_run(run, name, inputs_of(run, path, **now)) for name, path in notebooks.items()}


def test_unchanged_steps_are_reused(steps):
    assert changes(*steps) == {"01": "", "02": "", "03": ""}


def test_a_change_in_what_all_steps_depend_on_is_noticed(steps):
    assert set(changes(*steps, version="2").values()) == {"of changes in the packages"}
    assert set(changes(*steps, EPOCHS=3).values()) == {"of changes in EPOCHS"}
    many = changes(*steps, version="2", A=1, B=2, C=3, D=4)["01"]
    assert many == "of changes in the packages, A, B, 2 more"


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A copy of the module's sources, from which `reuse` computes its hash."""
    copy = shutil.copytree(reuse.PACKAGE, tmp_path / "recsys", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(reuse, "PACKAGE", copy)
    return copy


def test_a_change_of_the_module_is_noticed_in_every_package(steps, package):
    run, notebooks = steps

    def hashed() -> str:
        return inputs_of(run, notebooks["01"])["the module"]

    assert changes(*steps) == {"01": "", "02": "", "03": ""}
    before = {hashed()}
    for name in ("new.py", "reports/__init__.py", "audit/runner.py", "models/baselines/new.py", "training/pages.py"):
        path = package / name
        path.write_text(path.read_text() + "#" if path.exists() else "")
        assert hashed() not in before, name
        before.add(hashed())
    (package / "new.py").rename(package / "newer.py")
    assert hashed() not in before
    assert set(changes(*steps).values()) == {"of changes in the module recsys"}


def test_what_no_notebook_runs_is_no_change_of_the_module(steps, package):
    for name in reuse.OUTSIDE_NOTEBOOKS:
        (package / name).write_text((package / name).read_text() + "#")
    (package / "reports" / "templates" / "page.css").write_text("")
    assert changes(*steps) == {"01": "", "02": "", "03": ""}


def test_the_notebooks_run_none_of_the_files_that_the_hash_leaves_out():
    """Except `parameters`, which `recsys.recommend` imports for its command."""
    sources = [cell.source for path in (REPOSITORY / "notebooks").glob("*.ipynb")
               for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]  # fmt: skip
    imports = {line.strip() for source in sources for line in source.splitlines() if re.match(r"\s*from recsys", line)}
    left_out = {f"recsys.{name[:-3].replace('/', '.')}" for name in reuse.OUTSIDE_NOTEBOOKS}
    code = "\n".join(["import sys", *sorted(imports), f"print(sorted({left_out!r} & set(sys.modules)))"])
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "['recsys.reports.parameters']\n"


def test_a_run_of_the_code_before_starts_again_and_says_why(project):
    """The record of a step as it was written before the module had packages; its files are there."""
    run_before = Run("before", project)
    inputs = {"SEED": 1, "DATASET": "sample", "the notebook": "f9bd", "the module": "a2a0", "the packages": "cc27"}
    inputs |= {"the data's files": "4f53cda18c2baa0c", "what an earlier step left": "44136fa355b3678a"}
    step = {"report": "2026-01-01_000000_sample", "seconds": 12.0, "inputs": inputs, "left": {"dataset": "sample"}}
    run_before.note(given={"SEED": 7, "GONE": "a parameter of before"}, dataset="sample")
    run_before.note(steps={"01_prepare": {**step, "executed": "0cd2"}}, recipes=["author"], other_seeds=[])
    status, lines, err = run(project, "RUN=before")
    assert status == 0, err
    (line,) = [line for line in lines if line.startswith("01_prepare runs again because of changes in SEED, ")]
    assert line.endswith(" more")
    record = json.loads((project / lines[-1]).with_name("run.json").read_text())
    assert record["run"] == "before" and record["parameters"]["SEED"] == {"value": 7, "given": True}
    assert run_before.record["steps"]["01_prepare"]["report"] == record["name"]


def test_changed_files_are_noticed(steps):
    run, notebooks = steps
    notebooks["02"].write_text(notebooks["02"].read_text() + " ")
    assert changes(*steps) == {"01": "", "02": "of changes in the notebook", "03": ""}
    (run.folder / "03" / "result").unlink()
    assert changes(*steps)["03"] == "of changes in data/runs/then/03/result"
    (run.folder / "02.ipynb").write_text("{}")
    assert changes(*steps)["02"] == "of changes in the notebook, 02.ipynb"
    (run.root / "data.csv").write_text("ab")
    assert set(changes(*steps).values()) > {"of changes in the data's files"}
    run.note(prepared="data/prepared/other")
    assert "prepared, data/prepared/x/manifest.json" in changes(*steps)["01"]


def test_the_results_of_a_step_are_inputs_of_the_steps_after_it(steps):
    run, notebooks = steps

    def again(name: str, file: str, finished: bool = True) -> None:
        (run.folder / file).write_text("other")
        made_from = inputs_of(run, notebooks[name]) if finished else {}
        reuse.record_step(run, notebooks[name], made_from, report="later", seconds=1.0)

    (run.folder / "recommendations").mkdir()
    (run.folder / "recommendations" / "best.csv").write_text("of no step")
    again("02", "02/result")
    assert changes(*steps) == {"01": "", "02": "", "03": "of changes in the results of an earlier step"}
    again("03", "03/half", finished=False)
    assert changes(*steps) == {"01": "", "02": "", "03": "it did not finish before"}
    again("02", "02/result")
    (run.folder / "03" / "half").unlink()
    (run.folder / "recommendations" / "best.csv").unlink()
    assert changes(*steps)["02"] == ""


AGAIN, WITH_OTHERS, MENDED = "To continue, type `{}`.", "{} NAME=value", "Once the cause is mended, `{}`"


@pytest.mark.parametrize(("ending", "error", "helps"), [
    ("error", "ValueError: no such <song>", MENDED),
    ("exit", "SystemExit: 0", MENDED),
    ("kill", "the kernel died", AGAIN),
    ("sleep", "the cell took longer than --timeout", AGAIN),
    ("data", "DataError: log.csv: expected a song, got a <bird>", WITH_OTHERS),
    ("value", "ValueError: EPOCHS: expected 1 or more,\ngot 0", WITH_OTHERS),
    ("disk", "OSError: [Errno 28] No space left on device", AGAIN),
])  # fmt: skip
def test_a_run_that_fails_is_kept_as_failed_and_says_what_helps(project, ending, error, helps):
    """An error of input has no traceback on the terminal."""
    limit = ["--timeout=1"] if ending == "sleep" else []
    status, lines, err = run(project, "--first=2", "RUN=endings", f"ENDING={ending}", *limit)
    record, error = json.loads((project / lines[-1]).read_text()), f"02_train, cell 2 of 3: {error}"
    assert status == 1 and lines[-1].endswith(".failed/run.json")
    assert err.endswith(f"{error}\n") and "\x1b" not in err
    assert (err == f"{error}\n") == (helps == WITH_OTHERS)
    assert ("Traceback" in err) == (ending in ("error", "disk"))
    assert ending != "error" or 'raise ValueError("no such <song>")' in err
    assert helps != WITH_OTHERS or "Traceback" in (project / lines[-1]).with_name("02_train.ipynb").read_text()
    assert (record["status"], record["exit_code"], record["error"]) == ("failed", 1, error)
    assert helps.format("make reports RUN=endings") in lines[-2]
    assert ("To continue" in lines[-2]) == (helps == AGAIN)
    assert not (project / lines[-1]).with_name("index.html").exists()
    assert is_gone((project / "kernel.pid").read_text())
    listed = (project / "reports" / "index.html").read_text()
    assert f"{record['name']}.failed/run.json" in listed


def test_the_terminal_shows_a_path_as_it_was_typed_and_the_report_does_not(project):
    status, lines, err = run(project, "--first=2", "ENDING=path")
    assert status == 1 and f"expected a file at {Path.home()}/x.csv, got nothing\n" in err
    kept = [(project / lines[-1]).with_name(name).read_text() for name in ("run.json", "02_train.ipynb")]
    assert all("expected a file at ~/x.csv, got nothing" in text for text in kept)
    assert not any(f"{Path.home()}/x.csv" in text for text in kept)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_kept_as_interrupted_and_leaves_no_kernel(project, number):
    noted = project / "kernel.pid"
    noted.unlink(missing_ok=True)
    process = start(project, "--first=2", "ENDING=sleep")
    deadline = time.monotonic() + 60
    while not (noted.exists() and noted.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    record = json.loads((project / out.splitlines()[-1]).read_text())
    expected = f"02_train, cell 2 of 3: interrupted by {number.name}"
    assert process.returncode == 130 and expected in err and "Traceback" not in err
    assert (record["status"], record["error"]) == ("interrupted", expected)
    assert out.splitlines()[-1].endswith(".interrupted/run.json")
    assert is_gone(noted.read_text())


def test_two_runs_at_once_share_nothing_and_agree(project):
    both = [start(project, "SEED=4") for _ in range(2)]
    printed = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    pages = [project / out.splitlines()[-1] for out, _ in printed]
    assert pages[0] != pages[1]
    first, second = (page.with_name("metrics.json").read_bytes() for page in pages)
    assert first == second
    listed = (project / "reports" / "index.html").read_text()
    assert all(page.parent.name in listed for page in pages)


def test_two_reports_never_get_the_same_name(tmp_path):
    held = contextlib.ExitStack()
    partial, name = claim_folder(tmp_path, "then", held)
    assert (partial.name, name) == (".then.partial", "then")
    assert claim_folder(tmp_path, "then", held)[1] == "then-2"
    partial.rename(tmp_path / "then.failed")
    assert claim_folder(tmp_path, "then", held)[1] == "then-3" and not partial.exists()


def test_an_index_of_nothing(tmp_path):
    (tmp_path / ".then.partial").mkdir()
    write_index(tmp_path)
    assert not (tmp_path / "index.html").exists() or "No reports yet" in (tmp_path / "index.html").read_text()


def test_wrong_arguments_are_errors_before_anything_starts(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    before = sorted((project / "reports").glob("*"))
    for argument, message in {
        "SED=3": "nearest: SEED",
        "seed=3": "nearest: SEED",
        "SEED=three": "SEED: expected int, got 'three'",
        "SEED=1.0": "expected int",
        "3": "expected NAME=value",
        "RUN=../x": "expected the name of a run",
        "DATASET=cvs": "did you mean 'csv'?",
        "--first=7": "expected notebooks numbered 07 to 04, got 01_prepare, 02_train, 05_later",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            main([argument])
        assert message in capsys.readouterr().err, argument
    assert sorted((project / "reports").glob("*")) == before


WRONG_VALUES = {
    "SPLIT": ("by-usr-last", "by-user-last"), "VALIDATION": ("randm", "random"), "EMPTY_IDS": ("dorp", "drop"),
    "TIMES_OUTSIDE": ("eror", "error"), "ON_LEAK": ("stopp", "stop"), "REPEATED_EVENTS": ("kep", "keep"),
    "POSITIVES": ("listend", "listened"), "REPEATS": ("frist", "first"), "ENGINE": ("sparc", "spark"),
    "DATASET": ("spotfy", "spotify"), "RECIPES": ("author bets", "best"), "BASELINES": ("ease itemnn", "itemknn"),
    "PEERS": ("als bprr", "bpr"), "MAP": ("umpa", "umap"), "LOSS": ("sofmax", "softmax"),
    "NEGATIVES": ("unform", "uniform"), "NEGATIVE_POOL": ("trian", "train"), "OPTIMIZER": ("adm", "adam"),
    "PRECISION": ("float23", "float32"),
}  # fmt: skip


def test_a_value_that_is_none_of_a_fixed_set_is_an_error_before_anything_starts():
    parameters = read_parameters(sorted((REPOSITORY / "notebooks").glob("*.ipynb")))
    fixed = {name for name, each in parameters.items() if each.choices}
    assert fixed == {*WRONG_VALUES} == {*ONE_OF, *SOME_OF}
    for name, (wrong, nearest) in WRONG_VALUES.items():
        expected = f"{name}: expected one of .*, got '{wrong.split()[-1]}'; did you mean '{nearest}'"
        with pytest.raises(ValueError, match=expected):
            read_values([f"{name}={wrong}"], parameters, REPOSITORY)
        default = parameters[name].default
        assert read_values([f"{name}={default}", f"{name}={nearest}"], parameters, REPOSITORY) == {name: nearest}
    with pytest.raises(ValueError, match="RECIPES: expected one of author, fast, best, tuned, got ''"):
        read_values(["RECIPES= "], parameters, REPOSITORY)


@pytest.mark.parametrize(("argument", "message"), [
    ("DATASET=sampel", "got 'sampel'; did you mean 'sample'?"),
    ("DATA_PATH=data/no.csv", "DATA_PATH: expected a file or a folder at data/no.csv, got nothing there"),
    ("TEST_FRACTION=1.5", "expected numbers above 0 with a sum below 1, got 0.1 and 1.5"),
    ("USER_FRACTION=0.0", "USER_FRACTION: expected a number above 0 and at most 1, got 0.0"),
])  # fmt: skip
def test_a_wrong_value_leaves_no_folder(project, monkeypatch, capsys, argument, message):
    monkeypatch.chdir(project)
    before = sorted(project.rglob("*"))
    with pytest.raises(SystemExit, match="2"):
        main([f"--notebooks={REPOSITORY / 'notebooks'}", argument])
    assert message in capsys.readouterr().err and sorted(project.rglob("*")) == before


def test_a_pattern_an_address_and_an_earlier_path_are_not_looked_up(tmp_path):
    used = {"DATA_PATH": "no.csv", "ENGINE": "duckdb"}
    for path in ("data/*.csv", "s3a://bucket/x"):
        check_typed({"DATA_PATH"}, used | {"DATA_PATH": path}, tmp_path)
    check_typed({"DATA_PATH"}, {"DATA_PATH": "logs.listens", "ENGINE": "spark"}, tmp_path)
    check_typed({"SEED"}, used, tmp_path)
    with pytest.raises(DataError, match="at no.csv, got nothing there"):
        check_typed({"DATA_PATH"}, used, tmp_path)
    (tmp_path / "no.csv").touch()
    check_typed({"DATA_PATH"}, used, tmp_path)


def test_help_lists_every_parameter_by_notebook_and_group(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    status, text = main(["--help"]), capsys.readouterr().out
    assert status == 0 and "SEED: int = 1\n      of chance [01]" in text and "[01 02]" in text
    order = ["01_prepare, data:", "  RUN: ", "01_prepare, rare:", "  SEED: ", "02_train:", "  ENDING: "]
    assert [text.index(each) for each in order] == sorted(text.index(each) for each in order)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("str", "001", "001"),
        ("str", "True", "True"),
        ("str", "a=b # c", "a=b # c"),
        ("int", "-7", -7),
        ("int", "1e3", None),
        ("int", "1_000", None),
        ("int", " 1", None),
        ("float", "1e-3", 0.001),
        ("float", "2", 2.0),
        ("float", ".5", 0.5),
        ("float", "nan", None),
        ("bool", "True", True),
        ("bool", "false", False),
        ("bool", "1", None),
        ("bool", "yes", None),
    ],
)
def test_values_are_read_strictly(tmp_path, kind, text, value):
    default = {"str": '""', "int": "0", "float": "0.0", "bool": "False"}[kind]
    parameters = read_parameters([write_notebook(tmp_path / "01_a.ipynb", f"X: {kind} = {default}  # it")])
    if value is None:
        with pytest.raises(ValueError, match=f"X: expected {kind}, got"):
            read_values([f"X={text}"], parameters, tmp_path)
    else:
        found = read_values([f"X={text}"], parameters, tmp_path)["X"]
        assert found == value and type(found) is type(value)


def test_an_absolute_path_becomes_relative(tmp_path):
    parameters = read_parameters([write_notebook(tmp_path / "01_a.ipynb", 'DATA_PATH: str = ""  # it')])
    above = "../" * len(tmp_path.parts[1:])
    for text, expected in {"/somewhere": f"{above}somewhere", "raw/x": "raw/x", "": ""}.items():
        assert read_values([f"DATA_PATH={text}"], parameters, tmp_path) == {"DATA_PATH": expected}


@pytest.mark.parametrize(
    "line",
    ["X = 1  # it", "X: int = 1", "X: int = 1.0  # it", "X: int = 1 + 1  # it", "X: list = []  # it", "print(1)"],
)
def test_a_parameter_is_a_plain_commented_literal(tmp_path, line):
    with pytest.raises(ValueError, match="01_a.ipynb: expected `NAME: "):
        read_parameters([write_notebook(tmp_path / "01_a.ipynb", line)])


def test_notebooks_agree_on_defaults(tmp_path):
    paths = [write_notebook(tmp_path / f"0{n}_a.ipynb", f"X: int = {n}  # it") for n in (1, 2)]
    with pytest.raises(ValueError, match="X: expected 1 as in 01_a, got 2 in 02_a"):
        read_parameters(paths)


def test_the_projects_own_notebooks_can_be_read():
    parameters = read_parameters(sorted((REPOSITORY / "notebooks").glob("*.ipynb")))
    assert parameters["RUN"].default == "sample"


def test_only_whole_paths_are_hidden():
    root = Path("/some/where")
    assert hide_paths(r"\u001b[32m/some/where/x.py", root) == r"\u001b[32m./x.py"  # in colour
    text = r'at /some/where/x.py, "\n/some/where/y" but not /some/wherever, other/some/where or AAA/some/whereBBB'
    assert hide_paths(text, root) == r'at ./x.py, "\n./y" but not /some/wherever, other/some/where or AAA/some/whereBBB'
