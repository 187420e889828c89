"""Comparisons of two reports made by hand: with a known answer, swapped, level, and not comparable."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from recsys.reports.comparison import as_text, compare_reports, main
from recsys.reports.pages import comparison_page

USERS = np.arange(200)
BASE = np.random.default_rng(0).uniform(0, 0.4, len(USERS))


def write_report(folder: Path, started: str = "2026-01-01", users=USERS, data=None, given=None, **models) -> Path:
    """Write a report in which `models` have these values by user, for three metrics."""
    folder.mkdir(parents=True)
    parts = [
        pd.DataFrame({"model": name, "user": users, "metric": metric, "value": values[: len(users)] * factor})
        for name, values in models.items()
        for metric, factor in (("ndcg@20", 1.0), ("recall@20", 2.0), ("ndcg@5", 0.5))
    ]
    pd.concat(parts).sample(frac=1, random_state=1).to_parquet(folder / "per_user.parquet")
    means = {name: {"ndcg@20": {"value": v.mean()}, "recall@20": {"value": 2 * v.mean()}} for name, v in models.items()}
    data = {"key": "k1", "split": "by-time", "source": [{"name": "x.csv", "sha256": "0" * 64}], **(data or {})}
    hashes = {"notebooks": {"02_train": "1" * 64}, "module": "2" * 64, "lock": None, "data": data}
    parameters = {name: {"value": value, "given": True} for name, value in {"EPOCHS": 0, **(given or {})}.items()}
    record = {"started": started, "dataset": "sample", "parameters": parameters, "hashes": hashes}
    record |= {"revision": None, "device": "CPU", "versions": {"numpy": "2"}}
    record |= {"status": "succeeded", "seconds": {}, "error": None}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "metrics.json").write_text(json.dumps({"models": means}))
    return folder


@pytest.fixture
def reports(tmp_path) -> Path:
    noise = np.random.default_rng(1).normal(0, 0.05, len(USERS))
    noise -= noise.mean()
    write_report(tmp_path / "old", "2026-01-01", best=BASE, ease=BASE / 2)
    write_report(tmp_path / "new", "2026-01-02", given={"EPOCHS": 7}, best=BASE + 0.1 + noise, ease=BASE / 2)
    write_report(tmp_path / "level", "2026-01-03", best=BASE + noise, als=BASE)
    return tmp_path


def test_the_better_one_is_found_by_the_paired_difference(reports):
    result = compare_reports(reports / "old", reports / "new")
    values = [pd.read_parquet(reports / name / "per_user.parquet") for name in ("old", "new")]
    of_best = [each[(each.model == "best") & (each.metric == "ndcg@20")].set_index("user")["value"] for each in values]
    by_hand = of_best[1] - of_best[0]
    gap = result["figures"]["best", "ndcg@20"][2]
    assert gap["value"] == pytest.approx(by_hand.mean())
    width = 2 * 1.96 * by_hand.std() / np.sqrt(len(by_hand))
    assert gap["high"] - gap["low"] == pytest.approx(width, rel=0.15)
    assert result["verdict"].startswith("“best” in B is better than “best” in A: NDCG@20 +0.1000 (")
    assert result["verdict"].endswith("B − A over the same 200 listeners.")
    assert result["same"] == ["ease"] and ("best", "ndcg@5") not in result["figures"]
    assert result["differs"] == [("EPOCHS", "0", "7")]


def test_swapped_reports_give_the_opposite_answer(reports):
    forth, back = (compare_reports(reports / a, reports / b) for a, b in (("old", "new"), ("new", "old")))
    assert back["verdict"].startswith("“best” in B is worse than “best” in A: NDCG@20 −0.1000 (")
    for key, (_, _, gap) in forth["figures"].items():
        other = back["figures"][key][2]
        assert [gap["value"], gap["low"], gap["high"]] == pytest.approx([-other[k] for k in ("value", "high", "low")])
    assert back["differs"] == [("EPOCHS", "7", "0")]


def test_there_is_no_verdict_on_a_report_in_which_a_check_failed(reports):
    path = reports / "new" / "metrics.json"
    metrics = json.loads(path.read_text()) | {"failed_checks": ["no event is in two parts"]}
    path.write_text(json.dumps(metrics))
    assert compare_reports(reports / "old", reports / "new")["verdict"] == "No verdict: a check failed in B."


def test_equal_reports_are_not_distinguishable(reports):
    result = compare_reports(reports / "old", reports / "level")
    assert result["verdict"].startswith("The difference between “best” in B and “best” in A is not certain: NDCG@20 ")
    assert {model for model, _ in result["figures"]} == {"best"} and not result["same"]


def test_differences_of_nothing_but_rounding_are_said_to_be_none(tmp_path):
    a, b = write_report(tmp_path / "a", best=BASE), write_report(tmp_path / "b", best=BASE + 1e-9)
    verdict = compare_reports(a, b)["verdict"]
    assert verdict == "“best” in B has the same NDCG@20 as “best” in A, to four digits, over 200 listeners."


def test_without_the_recipe_best_the_best_models_are_judged(tmp_path):
    a = write_report(tmp_path / "a", ease=BASE, als=BASE / 2)
    b = write_report(tmp_path / "b", ease=BASE / 3, als=BASE / 2)
    assert compare_reports(a, b)["verdict"].startswith("ALS in B is worse than EASE in A: ")


def test_the_recipe_that_changed_is_judged_whichever_model_leads(tmp_path, capsys):
    recipes = [{"author": {"dim": 15}, "fast": {"epochs": n}} for n in (4, 8)]
    a, b = (
        write_report(tmp_path / name, f"2026-01-0{day}", itemknn=2 * BASE, fast=BASE + more, author=BASE / 4)
        for name, day, more in (("a", 1, 0.0), ("b", 2, 0.05))
    )
    for folder, own in zip((a, b), recipes, strict=True):
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(record | {"recipes": own}))
    result = compare_reports(a, b)
    assert result["verdict"].startswith("“fast” in B is better than “fast” in A: NDCG@20 +0.0500 (")
    text = as_text(result)
    assert "+0.0500 (+0.0500 to +0.0500)" in text and "recipe fast, epochs" in text
    record = json.loads((b / "run.json").read_text())
    record["recipes"]["fast"]["recency"] = [[0.25, 0.5]] * 30
    record["hashes"]["data"]["split"] = "random"
    (b / "run.json").write_text(json.dumps(record))
    refused = as_text(compare_reports(a, b))
    assert "B − A" not in refused and max(map(len, refused.splitlines())) < 140


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"data": {"key": "k2"}}, "the prepared data differ, sample-k1 and sample-k2"),
        ({"data": {"split": "random"}}, "the splits differ, by-time and random"),
        ({"users": USERS[:150]}, "the users differ, 200 and 150 with 150 in both"),
        ({"users": USERS + 1}, "the users differ, 200 and 200 with 199 in both"),
    ],
)
def test_reports_that_cannot_be_compared_get_no_verdict(tmp_path, other, why):
    a, b = write_report(tmp_path / "a", best=BASE), write_report(tmp_path / "b", **other, best=BASE + 0.1)
    result = compare_reports(a, b)
    assert result["verdict"] == f"No verdict: {why}."
    assert all(gap is None for _, _, gap in result["figures"].values()) and not result["same"]
    assert "B − A" not in as_text(result) and "better" not in as_text(result) and why in comparison_page(result)


def test_the_same_files_under_another_key_can_be_compared(tmp_path):
    files = {"train.parquet": "3" * 64}
    a = write_report(tmp_path / "a", data={"key": "k1", "files": files}, best=BASE)
    b = write_report(tmp_path / "b", data={"key": "k2", "files": files}, best=BASE + 0.1)
    assert "better" in compare_reports(a, b)["verdict"]


def test_the_command_takes_the_last_two(reports, capsys):
    assert main(["--reports", str(reports)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["A  new", "B  level"] and lines[3].startswith("“best” in B is worse than “best” in A")
    assert lines[-1].endswith("comparisons/new_and_level.html")
    page = (reports / "comparisons" / "new_and_level.html").read_text()
    assert "<h1>“best” in B is worse" in page and 'href="../new/index.html"' in page
    assert 'href="comparisons/new_and_level.html"' in (reports / "index.html").read_text()


def test_wrong_arguments_are_errors(reports, capsys):
    for arguments, message in {
        ("old", "nwe"): "nwe: expected the folder of a successful report, but it has no run.json",
        ("old", "new", "more"): "unrecognized arguments",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            main([*arguments, "--reports", str(reports)])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--reports", str(reports / "old")])
    assert "expected two successful reports in old/, got 0" in capsys.readouterr().err


def test_make_hands_over_the_names(tmp_path):
    """The names arrive as they were typed. An empty name means the last report."""
    command = ["make", "--no-print-directory", "--dry-run", f"VENV={tmp_path}", "compare", "A=reports/it's", "B=x"]
    lines = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert lines.splitlines()[-1].endswith("-m recsys.reports.comparison 'reports/it'\\''s' 'x'")


def test_a_folder_called_like_a_column_changes_nothing(tmp_path):
    folder = tmp_path / "user=5" / "metric=ndcg@20"
    result = compare_reports(*(write_report(folder / name, best=BASE + add) for name, add in (("a", 0), ("b", 0.1))))
    assert result["figures"]["best", "ndcg@20"][2]["value"] == pytest.approx(0.1)
