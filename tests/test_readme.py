"""README holds what it says: its commands run, its figures are those of runs, the pages' links lead somewhere."""

import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY, run_reports
from test_ground import committed

from recsys import workflow
from recsys.reports import runner
from recsys.runs import Run, read_json, write_json

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:make|conda|\.venv/bin/python)\b[^`\n]*$", re.MULTILINE)
BROWSER = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
RUN_BY = {  # each command of README, and the test that runs it; those here run it as it is written, with small settings
    "make": ("test_ground", "test_make_alone_tells_every_command"),
    "make reports": ("test_reports", "test_a_run_becomes_a_report"),
    "make reports DATASET": ("test_readme", "test_ones_own_csv_in_one_command"),
    "make reports RUN SONG": ("test_reports", "test_a_finished_run_is_used_again_with_its_values"),
    "make recommend": ("test_recommend", "test_the_command_writes_both_files_and_says_what_is_wrong"),
    "make tune": ("test_tuning", "test_a_search_goes_on_where_it_was_and_chooses_on_validation"),
    "make compare": ("test_compare", "test_make_hands_over_the_names"),
    "make lab": ("test_lab", "test_a_notebook_runs_from_the_menu_without_an_error"),
    "make results": ("test_readme", "test_results_are_collected_and_told"),
    ".venv/bin/python -m recsys.reports --help": ("test_readme", "test_help_lists_the_parameters"),
    "conda env create --file environment.yml": ("test_ground", "test_condas_environment_is_pyprojects"),
}


def tool(name: str):
    specification = importlib.util.spec_from_file_location(name, REPOSITORY / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


results = tool("results")


def commands() -> set[str]:
    """Each command by its words, a value's name without the value: that is what tells two apart."""
    inline = [line for _, block in BLOCKS for line in COMMAND.findall(block)]
    inline += [" ".join(each.split()) for each in re.findall(r"`((?:make|conda|\.venv/bin/python)\b[^`]*)`", README)]
    told = {" ".join(re.sub("=.*", "", word) for word in shlex.split(line)) for line in inline}
    return {command for command in told if command.split()[:2] != ["make", "test"]}


def runner(command: str) -> tuple[str, str]:
    """What runs it: the longest entry that it begins with."""
    return RUN_BY[max((each for each in RUN_BY if f"{command} ".startswith(f"{each} ")), key=len, default=None)]


def test_every_command_is_run_by_a_test():
    assert all(command == "make" or runner(command) != RUN_BY["make"] for command in commands() - {".venv/bin/python"})
    for file, test in RUN_BY.values():
        assert f"def {test}(" in (REPOSITORY / "tests" / f"{file}.py").read_text(), test


def test_every_command_of_make_is_one():
    told = subprocess.check_output(["make", "--no-print-directory", "-C", REPOSITORY, "help"], text=True)
    for path in committed():
        if path.suffix == ".md":
            for target in re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8")):
                assert f"make {target} " in told, f"{path.name}: make {target}"


def test_ones_own_csv_in_one_command(tmp_path):
    """The lines that README shows, and 2,000 more with names that are awkward but legal."""
    (tmp_path / "pyproject.toml").touch()
    shown = next(block for _, block in BLOCKS if block.startswith("who,"))
    rng, names = np.random.default_rng(0), ['"a, b"', "007", "=1+1", "Ænima", "شجرة", "🎵", "<b>x</b>", '"two\nlines"']
    names += [f"song {i}" for i in range(30)]
    times = pd.date_range("2026-03-02", periods=2000, freq="h")
    rows = [f"u{rng.integers(30)},{rng.choice(names)},{time},{rng.integers(300)}\n" for time in times]
    (tmp_path / "listens.csv").write_text(shown + "".join(rows), encoding="utf-8")
    (command,) = [line for _, block in BLOCKS for line in block.splitlines() if "DATASET=csv" in line]
    status, folder, said = run_reports(tmp_path, *shlex.split(command)[2:], "RECIPES=author", "EPOCHS=1", "--last=2")
    assert status == 0, said
    assert read_json(folder / "run.json")["dataset"] == "csv"
    manifest = next((tmp_path / "data" / "prepared").glob("csv-*/manifest.json"))
    assert read_json(manifest)["steps"][0]["rows_in"] == 2001


def test_the_lines_of_python_do_what_they_say(tmp_path, monkeypatch):
    """On the sample, whose ids they name; trained for an epoch."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    run = Run("sample", tmp_path)
    workflow.prepare_run(run)
    workflow.train_run(run, "author", epochs=1)
    (block,) = [block for language, block in BLOCKS if language == "python"]
    assert len([line for line in block.splitlines() if line]) == 5
    names: dict = {}
    exec(block, names)
    lists = [eval(line, names) for line in block.splitlines()[3:]]
    assert [len(each) for each in lists] == [20, 10, 10]
    assert all({"item_id", "name", "artist", "score"} < set(each) for each in lists)


def test_help_lists_the_parameters(capsys):
    assert runner.main(["--help"]) == 0
    told = capsys.readouterr().out
    for name in set(re.findall(r"\b([A-Z][A-Z_]{2,})=", README)) - {"LIGHTGCN", "MUSIC"}:
        assert f"  {name}: " in told


def write_report(folder: Path, **models: float) -> Path:
    """A report with NDCG@20 by model, which all differ."""
    entries = {name: {"value": value, "low": value - 0.01, "high": value + 0.01} for name, value in models.items()}
    gaps = [
        {"a": a, "b": b, "metric": "ndcg@20", "value": models[a] - models[b], "low": 0.0123, "high": 0.0456,
         "verdict": "better" if models[a] > models[b] else "worse"}
        for a in models for b in models if a != b
    ]  # fmt: skip
    models = {name: {"ndcg@20": entry, "recall@20": entry, "fit_seconds": 1} for name, entry in entries.items()}
    figures = {"dataset": "lightgcn", "split": "given", "users": 1234, "models": models, "differences": gaps}
    given = {"DATASET": "lightgcn", "DATA_PATH": "../far/away", "EPOCHS": 3}
    parameters = {name: {"value": value, "given": True} for name, value in given.items()}
    parameters["DIM"] = {"value": 0, "given": False}
    record = {"parameters": parameters, "seconds": {"01": 50.0, "02": 41.0}, "seed": 0, "device": "CPU (2 cores)"}
    record |= {"revision": {"commit": "0123456789", "dirty": False}, "started": "2026-01-02T03:04:05+00:00"}
    write_json(folder / "metrics.json", figures)
    write_json(folder / "run.json", record)
    return folder


def test_results_are_collected_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(results, "TRAINING", tmp_path / "training.md")
    (tmp_path / "training.md").write_text("{}{}".format(*results.MARKS), encoding="utf-8")
    (tmp_path / "README.md").write_text("before\n{}old\n{}after\n".format(*results.MARKS), encoding="utf-8")
    results.main([str(write_report(tmp_path / "results-lightgcn", popularity=0.1, ease=0.3, best=0.2))])
    results.main([str(write_report(tmp_path / "example", ease=0.3, best=0.4))])
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text.startswith("before\n<!--") and text.endswith("<!-- end -->after\n") and "old" not in text
    assert "| NDCG@20 | sample | MovieLens-1M |" in text and "| `popularity` | – | 0.1000 (0.090–0.110) |" in text
    assert "| `best` | **0.4000 (0.390–0.410)** | 0.2000 (0.190–0.210) |" in text
    assert "`make reports DATASET=lightgcn DATA_PATH=… EPOCHS=3` (1,234 listeners, split `given`, 1.5 minutes" in text
    assert "`best` is better than `ease`: +0.1000 (+0.0123 to +0.0456)." in text
    assert "`best` is worse than `ease`: −0.1000" in text
    assert "far" not in (tmp_path / "results.json").read_text(encoding="utf-8")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda command, cwd, check: print(*command[3:]))
    (tmp_path / "sessions.parquet").touch()
    for last in ("last", "time"):
        write_report(tmp_path / "reports" / f"results-30music-{last}", best=0.5)
    write_report(tmp_path / "reports" / "example", ease=0.3, best=0.4)
    results.main(["--run", f"MUSIC={tmp_path / 'sessions.parquet'}"])
    told = capsys.readouterr().out
    assert "MovieLens-1M: SKIPPED, expected LIGHTGCN=<its path>, got none" in told and "--name=example\n" in told
    assert f"--name=results-30music-time DATASET=30music DATA_PATH={tmp_path / 'sessions.parquet'}\n" in told
    with pytest.raises(SystemExit):
        results.main(["--run", "MUSIK=x"])


def test_the_pages_say_what_the_runs_and_the_recipes_say():
    for path, wanted in ((results.README, results.render(read_json(results.RESULTS))),
                         (results.TRAINING, results.recipes())):  # fmt: skip
        told = path.read_text(encoding="utf-8").partition(results.MARKS[0])[2].partition(results.MARKS[1])[0]
        assert told == wanted, f"{path.name}: `python tools/results.py` writes its table anew"


def test_the_samples_row_is_that_of_the_example():
    if not (REPOSITORY / "reports" / "example").is_dir():
        pytest.skip("no reports/example here: `make example` makes it")
    (row,) = [each for each in read_json(results.RESULTS) if each["title"] == "sample"]
    assert row["models"] == results.collect(REPOSITORY / "reports" / "example")["models"], "`make results` collects it"


def test_no_figure_stands_in_readme_but_those_of_runs():
    """What is measured has three decimals and stands between the marks."""
    before, _, rest = README.partition(results.MARKS[0])
    assert not re.findall(r"(?<![\w.])[01]?\.\d{3,}\b", before + rest.partition(results.MARKS[1])[2])


def test_the_picture_is_small_and_can_be_taken(tmp_path):
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


def test_every_relative_link_leads_somewhere():
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
