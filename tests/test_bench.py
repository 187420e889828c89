"""What `make bench` and `make ablation` write: shapes and markers, not times."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from test_evaluate import random_split

import bench
from bench import __main__ as command
from bench import ablation, held_out
from bench.pages import find_between, write_between
from recsys.data.split import Split
from recsys.evaluation.evaluate import evaluate
from recsys.reports.narrative import model_name
from recsys.training.recipes import RECIPES

HEAD = "change, in addition to those above"


def test_the_steps_lead_from_author_to_best():
    steps = ablation.changes(270_000, 14_000, 10_000)
    first, *_, before, last = steps.values()
    assert first == RECIPES["author"]
    best = dataclasses.replace(RECIPES["best"].for_size(270_000, 14_000, 10_000), name=last.name)
    assert last == dataclasses.replace(best, name="best")
    changed = [name for name, value in dataclasses.asdict(last).items() if getattr(before, name) != value]
    assert changed == ["name", "spectral_dim", "spectral_shares", "trends"]


def test_a_table_has_a_row_per_step_with_paired_differences():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(40), 6)
    rows = np.stack([users, np.concatenate([rng.permutation(30)[:6] for _ in range(40)])], 1)
    train = np.concatenate([rows[np.tile([1, 1, 1, 1, 0, 0], 40).astype(bool)], [[0, song] for song in range(30)]])
    split = Split.from_arrays(train, rows[4::6], rows[5::6])
    same = {name: type("Same", (), {"scores": lambda self, users, n=n: np.tile(np.arange(30.0) * n, (len(users), 1))})()
            for name, n in (("first", 1), ("second", -1), ("third", -2), ("als", 0))}  # fmt: skip
    evaluation = evaluate(same, split, (20,))
    text = ablation.table(evaluation, dict.fromkeys(same, 1.0), ["first", "second", "third"], "first")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line]
    names = [row[0] for row in rows]
    assert names == [HEAD, "---", "first", "second", "third", "for comparison", "---", "ALS"]
    assert [row[2] for row in (rows[2], rows[4])] == ["–", "none"]  # the third has the same lists as the second
    assert [len(row) for row in rows] == [4, 4, 4, 4, 4, 5, 5, 5]
    assert rows[3][2] == in_words(evaluation.difference("second", "first", "ndcg@20"))
    assert rows[7][3] == in_words(evaluation.difference("third", "als", "ndcg@20"))


def test_the_text_is_put_between_the_markers(tmp_path):
    page = tmp_path / "page.md"
    others = "before\n<!-- begin: make bench -->\nkept\n<!-- end -->\n"
    page.write_text(f"{others}<!-- begin: make ablation -->\nold\n<!-- end -->\nafter\n")
    write_between(page, "make ablation", r"new \1")
    assert page.read_text() == f"{others}<!-- begin: make ablation -->\nnew \\1\n<!-- end -->\nafter\n"
    with pytest.raises(ValueError, match="begin: make tune --> and after it <!-- end -->, got none"):
        write_between(page, "make tune", "new")


def test_the_page_has_the_tables_of_these_steps():
    generated = find_between(ablation.PAGE.read_text(encoding="utf-8"), ablation.COMMAND)
    rows = [line.strip("|").split("|") for line in generated[2].splitlines() if line.startswith("|")]
    if not rows:
        pytest.skip("docs/training.md: not measured yet; run `make ablation`")
    names = [row[0].strip() for row in rows if row[0].strip("- ")]
    steps = [*ablation.changes(270_000, 14_000, 10_000), "for comparison", ablation.LONGER_STEP]
    steps += map(model_name, ablation.BASELINES)
    of_a_split = [HEAD, *steps]
    assert names and names == of_a_split * (len(names) // len(of_a_split))


def test_a_change_is_chosen_without_the_data_set_that_it_is_judged_on():
    rng, split = np.random.default_rng(1), random_split(2, n_users=40)
    names = (*held_out.CHANGES, "itemknn")
    evaluation = evaluate({name: Drawn(rng.random((40, split.n_items))) for name in names}, split, (20,))
    first, second, *_ = [what for what in held_out.CHANGES if what != held_out.AS_IT_IS]
    plain = pd.Series(1.0, [*held_out.CHANGES])
    values = {name: plain.where(plain.index != second, 1.1) for name in "abc"}  # a gain of 10 % on each
    values["a"] = plain.where(plain.index != first, 1.5)  # of 50 %, by another change
    values["c"] = values["c"].drop("no trend")  # it has no order
    found = {name: held_out.Found(each, evaluation, "itemknn") for name, each in values.items()}
    gained = held_out.gains(found)
    assert {name: held_out.choose_without(name, gained) for name in found} == {"a": second, "b": first, "c": first}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in held_out.tables(found).splitlines()]
    mean = evaluation.means.loc[(second, "ndcg@20"), "value"]
    assert rows[2][:4] == ["a", f"{len(split.train):,}", f"{split.n_items:,}", f"{evaluation.n_users:,}"]
    assert rows[2][4:6] == [second, f"{mean:.4f}"]
    assert rows[2][-1] == in_words(evaluation.difference(held_out.AS_IT_IS, "itemknn", "ndcg@20"))
    assert [first, "+50.0", "+0.0", "+0.0", "+16.7"] in rows
    assert ["no trend", "+0.0", "+0.0", "–", "+0.0"] in rows
    assert "| no trend | – | – | – |" in held_out.tables({"c": found["c"], "d": found["c"]})  # none has an order


def in_words(gap: pd.Series) -> str:
    return f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})".replace("-", "−")


class Drawn:
    """A model whose scores are drawn at random."""

    def __init__(self, values: np.ndarray):
        self.values = values

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.values[users]


def test_ratios_are_a_median_with_its_spread():
    assert bench.spread([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0, "runs": 3}


def test_zipf_rows_hold_every_user_and_song():
    users, items = bench.zipf_rows(100, 200, 5000)
    assert len(np.unique(users)) == 100 and len(np.unique(items)) == 200
    counts = np.sort(np.bincount(items))[::-1]
    assert 0.6 < counts[1] / counts[0] * 2 < 1.5 and users.dtype == items.dtype == np.int32


def test_each_measure_is_written_when_it_ends_and_the_others_stay(tmp_path, monkeypatch, capsys):
    def one(arguments, cwd, check):
        found = {"ratios": {"time_to_als": bench.spread([1, 2, 4])}, "facts": {}}
        arguments[-1].write_text(json.dumps(found))

    monkeypatch.setattr(command, "RESULT", tmp_path / "latest.json")
    monkeypatch.setattr(subprocess, "run", one)
    (tmp_path / "latest.json").write_text(
        json.dumps({"ratios": {"best_vs_limit": bench.spread([0.5])}, "measures": {}})
    )
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "als"])
    command.main()
    result = json.loads((tmp_path / "latest.json").read_text())
    assert set(result["ratios"]) == {"best_vs_limit", "time_to_als"} and result["ratios"]["time_to_als"]["median"] == 2
    assert result["cores"] >= 1 and result["versions"]["tensorflow"]
    assert "target: at most 5" in capsys.readouterr().out
