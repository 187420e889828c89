"""README is true: a test runs each of its commands, its figures come from runs, and links have targets."""

import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import results
from conftest import REPOSITORY, run_reports
from test_ground import committed

from recsys import workflow
from recsys.data.readers import READERS
from recsys.files import read_json, write_json
from recsys.reports import runner
from recsys.runs import Run
from recsys.training.recipes import RECIPES

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [block for language, block in BLOCKS if language == "python"]
COMMAND = re.compile(r"^(?:make|conda|\.venv/bin/python)\b[^`\n]*$", re.MULTILINE)
BROWSER = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
TESTS = {  # each command of README, and the test that runs it; tests of this file run it as written, on small data
    "make": ("test_ground", "test_make_alone_lists_every_command"),
    "make reports": ("test_reports", "test_a_run_becomes_a_report"),
    "make inspect DATA_PATH": ("test_recognise", "test_the_command_prints_text_and_ends_with_the_next_command"),
    "make reports DATA_PATH": ("test_readme", "test_the_command_for_your_own_csv_makes_a_report"),
    "make reports RUN SONG": ("test_reports", "test_a_finished_run_is_used_again_with_its_values"),
    "make recommend": ("test_recommend", "test_the_command_writes_both_files_and_says_what_is_wrong"),
    "make export": ("test_export", "test_the_command_writes_the_folder_and_says_what_is_in_it"),
    "make explore": ("test_explorer", "test_the_command_writes_the_page_of_a_run"),
    "make share": ("test_share", "test_the_zip_holds_the_pages_and_says_what_it_leaves_out"),
    "make train": ("test_train_run", "test_the_command_trains_a_run_and_says_what_is_wrong"),
    "make tune": ("test_tuning", "test_a_search_continues_and_chooses_on_validation"),
    "make compare": ("test_comparison", "test_make_hands_over_the_names"),
    "make lab": ("test_lab", "test_a_notebook_runs_from_the_menu_without_an_error"),
    "make results": ("test_readme", "test_results_are_collected_and_written"),
    ".venv/bin/python -m recsys.reports --help": ("test_readme", "test_help_lists_the_parameters"),
    "conda env create --file environment.yml": ("test_ground", "test_the_conda_environment_installs_the_same_extras"),
}


def commands() -> set[str]:
    """Return each command of README as words, with the names of values but without the values."""
    inline = [line for _, block in BLOCKS for line in COMMAND.findall(block)]
    inline += [" ".join(each.split()) for each in re.findall(r"`((?:make|conda|\.venv/bin/python)\b[^`]*)`", README)]
    found = {" ".join(re.sub("=.*", "", word) for word in shlex.split(line)) for line in inline}
    return {command for command in found if command.split()[:2] != ["make", "test"]}


def test_every_command_is_run_by_a_test():
    for command in commands() - {"make", ".venv/bin/python"}:
        longest = max((each for each in TESTS if f"{command} ".startswith(f"{each} ")), key=len, default=None)
        assert longest not in ("make", None), f"{command}: no test runs it"
    for file, test in TESTS.values():
        assert f"def {test}(" in (REPOSITORY / "tests" / f"{file}.py").read_text(), test


def test_every_make_command_in_the_pages_exists():
    listed = subprocess.check_output(["make", "--no-print-directory", "-C", REPOSITORY, "help"], text=True)
    for path in committed():
        if path.suffix == ".md":
            for target in re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8")):
                assert f"make {target} " in listed, f"{path.name}: make {target}"


def write_log(folder: Path) -> None:
    """Write listens.csv: the lines that README shows, and 2,000 more with names that are awkward but legal."""
    shown = next(block for _, block in BLOCKS if block.startswith("who,"))
    rng, names = np.random.default_rng(0), ['"a, b"', "007", "=1+1", "Ænima", "شجرة", "🎵", "<b>x</b>", '"two\nlines"']
    names += [f"song {i}" for i in range(30)]
    times = pd.date_range("2026-03-02", periods=2000, freq="h")
    rows = [f"u{rng.integers(30)},{rng.choice(names)},{time},{rng.integers(300)}\n" for time in times]
    (folder / "listens.csv").write_text(shown + "".join(rows), encoding="utf-8")


def test_the_command_for_your_own_csv_makes_a_report(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    write_log(tmp_path)
    (command,) = [line for _, block in BLOCKS for line in block.splitlines() if "DATA_PATH=listens" in line]
    status, folder, errors = run_reports(tmp_path, *shlex.split(command)[2:], "RECIPES=author", "EPOCHS=1", "--last=2")
    assert status == 0, errors
    assert read_json(folder / "run.json")["dataset"] == "csv"
    manifest = next((tmp_path / "data" / "prepared").glob("csv-*/manifest.json"))
    assert read_json(manifest)["steps"][0]["rows_in"] == 2001


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project as the working folder, where “best” trains for one epoch."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    short = dataclasses.replace(RECIPES["best"], epochs=1, patience=1, first_epochs=0, grid=((0.1, 1.0),), gammas=())
    monkeypatch.setitem(RECIPES, "best", short)
    return tmp_path


def test_the_python_lines_train_and_evaluate(project, capsys):
    write_log(project)
    names: dict = {}
    exec(PYTHON[0], names)
    table = names["result"].means["value"].unstack()
    assert set(table.index) == {"best", *workflow.BASELINES.split()} and (table["ndcg@20"] > 0).all()
    assert str(names["result"].means.xs("ndcg@20", level="metric")) in capsys.readouterr().out
    with_settings = re.search(r"`(recsys\.train\([^`]*\))`", README)[1]
    assert eval(with_settings, names).item_embeddings.shape[1] == RECIPES["author"].dim


def test_the_python_lines_recommend(project):
    """On the sample, whose ids they name."""
    run = Run("sample", project)
    split = workflow.prepare_run(run)
    workflow.train_run(run, split, workflow.choose_recipes(run, split, "author", epochs=1))
    first, *lines = PYTHON[1].splitlines()
    names: dict = {}
    exec(f"import recsys\n{first}", names)
    lists = [eval(line, names) for line in lines]
    assert [len(each) for each in lists] == [20, 15, 10, 10]
    assert all({"item_id", "name", "artist", "score"} < set(each) for each in lists)


def test_the_table_of_data_sets_is_made_from_the_readers():
    (written,) = datasets.PLACE.findall(README)
    assert written == datasets.table(), "type `python tools/datasets.py`"
    assert written.count("\n") == len(READERS) + 3


def test_help_lists_the_parameters(capsys):
    assert runner.main(["--help"]) == 0
    printed = capsys.readouterr().out
    of_others = {"LIGHTGCN", "MUSIC", "REPEATS", "REPORT", "USERS", "WORKERS"}
    for name in set(re.findall(r"\b([A-Z][A-Z_]{2,})=", README)) - of_others:
        assert f"  {name}: " in printed


def write_report(folder: Path, **models: float) -> Path:
    """Write a report with these values of NDCG@20, all different from each other."""
    entries = {name: {"value": value, "low": value - 0.01, "high": value + 0.01} for name, value in models.items()}
    differences = [
        {"a": a, "b": b, "metric": "ndcg@20", "value": models[a] - models[b], "low": 0.0123, "high": 0.0456,
         "verdict": "better" if models[a] > models[b] else "worse"}
        for a in models for b in models if a != b
    ]  # fmt: skip
    models = {name: {"ndcg@20": entry, "recall@20": entry, "seconds": 1} for name, entry in entries.items()}
    figures = {"dataset": "lightgcn", "split": "given", "users": 1234, "models": models, "differences": differences}
    given = {"DATASET": "lightgcn", "DATA_PATH": "../far/away", "EPOCHS": 3}
    parameters = {name: {"value": value, "given": True} for name, value in given.items()}
    parameters["DIM"] = {"value": 0, "given": False}
    record = {"parameters": parameters, "seconds": {"01": 50.0, "02": 41.0}, "seed": 0, "device": "CPU (2 cores)"}
    dirty = folder.name == "example"
    record |= {"revision": {"commit": "0123456789", "dirty": dirty}, "started": "2026-01-02T03:04:05+00:00"}
    write_json(folder / "metrics.json", figures)
    write_json(folder / "run.json", record)
    return folder


def test_results_are_collected_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(results, "TRAINING", tmp_path / "training.md")
    (tmp_path / "training.md").write_text("{}{}".format(*results.MARKS), encoding="utf-8")
    (tmp_path / "README.md").write_text("before\n{}old\n{}after\n".format(*results.MARKS), encoding="utf-8")
    results.main([str(write_report(tmp_path / "results-lightgcn", popularity=0.1, ease=0.3, best=0.2))])
    results.main([str(write_report(tmp_path / "example", ease=0.3, best=0.4))])
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text.startswith("before\n<!--") and text.endswith("<!-- end -->after\n") and "old" not in text
    assert "| NDCG@20 | sample | MovieLens-1M |" in text and "| popularity | – | 0.1000 (0.090–0.110) |" in text
    assert "| best | **0.4000 (0.390–0.410)** | 0.2000 (0.190–0.210) |" in text
    assert "`make reports DATASET=lightgcn DATA_PATH=… EPOCHS=3` (1,234 listeners, split `given`, 1.5 minutes" in text
    assert "- **sample.** “best” is better than EASE: +0.1000 (+0.0123 to +0.0456). Made by `make reports" in text
    assert "- **MovieLens-1M.** “best” is worse than EASE: −0.1000" in text
    assert text.count("commit 0123456)") == text.count("commit 0123456, with changes)") == 1
    assert "far" not in (tmp_path / "results.json").read_text(encoding="utf-8")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda command, cwd, check: print(*command[3:]))
    (tmp_path / "sessions.parquet").touch()
    for last in ("last", "time"):
        write_report(tmp_path / "reports" / f"results-30music-{last}", best=0.5)
    write_report(tmp_path / "reports" / "example", ease=0.3, best=0.4)
    results.main(["--run", f"MUSIC={tmp_path / 'sessions.parquet'}"])
    printed = capsys.readouterr().out
    assert "MovieLens-1M: SKIPPED, expected LIGHTGCN=<path of the data>, got nothing" in printed
    assert "--name=example\n" in printed
    assert f"--name=results-30music-time DATASET=30music DATA_PATH={tmp_path / 'sessions.parquet'}\n" in printed
    with pytest.raises(SystemExit):
        results.main(["--run", "MUSIK=x"])


def test_the_generated_parts_of_the_pages_are_up_to_date():
    for path, wanted in ((results.README, results.render(read_json(results.RESULTS))),
                         (results.TRAINING, results.recipes())):  # fmt: skip
        written = path.read_text(encoding="utf-8").partition(results.MARKS[0])[2].partition(results.MARKS[1])[0]
        assert written == wanted, f"{path.name}: run `python tools/results.py` to update its table"


def test_the_column_of_the_sample_has_the_figures_of_the_example():
    if not (REPOSITORY / "reports" / "example").is_dir():
        pytest.skip("no reports/example here: `make example` makes it")
    (sample,) = [each for each in read_json(results.RESULTS) if each["title"] == "sample"]
    example = results.collect(REPOSITORY / "reports" / "example")
    assert sample["models"] == example["models"], "run `python tools/results.py reports/example`"


def test_readme_has_no_measured_figure_outside_the_generated_part():
    """Measured figures have three decimals or more."""
    before, _, rest = README.partition(results.MARKS[0])
    assert not re.findall(r"(?<![\w.])[01]?\.\d{3,}\b", before + rest.partition(results.MARKS[1])[2])


def test_the_picture_is_small_and_can_be_made_again(tmp_path):
    picture = REPOSITORY / "docs" / "report.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and picture.stat().st_size < 250_000
    if not BROWSER:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    (tmp_path / "index.html").write_text("<p>a page")
    command = ["sh", REPOSITORY / "tools" / "picture.sh", tmp_path / "index.html", tmp_path / "taken.png"]
    assert subprocess.run(command, timeout=60).returncode == 0
    assert (tmp_path / "taken.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_relative_link_has_a_target():
    for path in committed():
        if path.suffix != ".md":
            continue
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if "://" in link:
                continue
            name, _, anchor = link.partition("#")
            target = path.parent / name if name else path
            assert target.exists(), f"{path.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{path.name}: {link}"
