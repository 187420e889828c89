"""Commands at the same time: every report is whole, none is lost, and a second writer of a run is told so."""

import contextlib
import signal
from pathlib import Path

import tiny

from recsys import files, tune, workflow
from recsys.reports import runner
from recsys.reports.folder import claim_folder
from recsys.runs import Run
from recsys.training import tuning
from recsys.training.recipes import RECIPES

RULE = "every folder is whole, none is lost, the index lists all"


def frozen_report(root: Path) -> int:
    """Make a report of trivial notebooks, at the same second as all others."""

    class Frozen(runner.datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=zone)

    runner.datetime = Frozen
    runner.execute = lambda source, target, values, root, timeout: target.write_bytes(source.read_bytes())
    return runner.main([f"--notebooks={root / 'notebooks'}"])


def test_reports_of_the_same_second(count, full, tmp_path):
    rounds, wrong = (20 if full else 1), 0
    for number in range(rounds):
        root = tiny.make_project(tmp_path / str(number))
        processes = [tiny.start(root, frozen_report) for _ in range(20 if full else 8)]
        states = [tiny.finish(each) for each in processes]
        reports = {path.parent.name for path in (root / "reports").glob("[!.]*/index.html")}
        listed = (root / "reports" / "index.html").read_text()
        good = states == [0] * len(processes) and len(reports) == len(processes)
        good = good and all(f"{name}/index.html" in listed for name in reports)
        good = good and not tiny.half_reports(root / "reports") and not tiny.leftovers(root)
        wrong += not good
        print(number, states, sorted(reports), tiny.leftovers(root), (root / "log").read_text()[-2000:] * (not good))
    count(f"{len(processes)} `make reports` at the same frozen second", rounds, wrong, RULE)


def test_a_folder_that_is_removed_before_it_is_marked_is_made_again(monkeypatch, tmp_path):
    partial, lock = tmp_path / ".then.partial", files._lock

    def remove_and_lock(handle: int) -> bool | None:
        monkeypatch.undo()
        partial.rmdir()
        return lock(handle)

    monkeypatch.setattr(files, "_lock", remove_and_lock)
    with contextlib.ExitStack() as held:
        assert claim_folder(tmp_path, "then", held) == (partial, "then") and partial.is_dir()


def hold_run(root: Path) -> int:
    """Hold the run `tiny` until killed."""
    with Run("tiny", root).lock():
        (root / "held").touch()
        signal.pause()
    return 0


def test_two_on_one_run(count, tmp_path):
    root = tiny.make_project(tmp_path / "project")
    first = tiny.start(root, hold_run)
    assert tiny.wait_until((root / "held").exists, 60)
    told = tiny.finish(tiny.start(root, tiny.report, "--last=1")) == 2
    told = told and "RUN: expected a run that no other command writes, got 'tiny'" in (root / "log").read_text()
    tiny.kill_group(first.pid)
    first.join()
    after_death = tiny.finish(tiny.start(root, tiny.report, "--last=1")) == 0
    print((root / "log").read_text())
    count("a second `make reports` of one run, and one after the first was killed", 2, (not told) + (not after_death),
          "the second is told so and changes nothing; the lock of a dead process does not block")  # fmt: skip


def search(root: Path) -> int:
    """Search for settings with one trial, on the data of the run `tiny`."""
    RECIPES["best"] = tiny.TINY
    tune.prepare = lambda *_, **__: workflow.open_split(Run("tiny", root))
    return tune.main(["TRIALS=1"])


def test_other_commands_during_a_run(count, tmp_path):
    root = tiny.make_project(tmp_path / "project")
    for arguments in ((), ()):
        assert tiny.finish(tiny.start(root, tiny.report, *arguments)) == 0, (root / "log").read_text()
    expected = tiny.figures(root / "data" / "runs" / "tiny")
    for path in root.glob("data/runs/tiny/0[23]_*.ipynb"):
        path.unlink()  # these steps run again
    commands = (tiny.report, tiny.compare, tiny.write_lists, tiny.write_lists, search)
    states = [tiny.finish(each) for each in [tiny.start(root, each) for each in commands]]
    good = states == [0] * 5 and not tiny.half_reports(root / "reports") and not tiny.leftovers(root)
    good = good and tiny.figures(root / "data" / "runs" / "tiny") == expected
    print(states, tiny.leftovers(root), (root / "log").read_text()[-3000:])
    what = "`make compare`, `make tune` and two `make recommend` during a run"
    count(what, 4, int(not good), f"all succeed; {RULE}")


def hold_search(root: Path) -> int:
    """Hold the folder of the searches on the data of the run `tiny` until killed."""
    where = tuning.folder(workflow.open_split(Run("tiny", root)), root)
    where.mkdir(parents=True)
    with files.hold(where):
        (root / "held").touch()
        signal.pause()
    return 0


def test_two_searches_on_the_same_data(count, full, tmp_path):
    root = tiny.make_project(tmp_path / "project")
    assert tiny.finish(tiny.start(root, tiny.report, "--last=1")) == 0
    first = tiny.start(root, hold_search)
    assert tiny.wait_until((root / "held").exists, 60)
    told = tiny.finish(tiny.start(root, search)) == 2
    told = told and "another search on these data is at work" in (root / "log").read_text()
    tiny.kill_group(first.pid)
    first.join()
    after_death = not full or tiny.finish(tiny.start(root, search)) == 0
    print((root / "log").read_text())
    what = "a second `make tune` on the same data, and one after the first was killed"
    count(what, 2, (not told) + (not after_death),
          "the second is told so and changes nothing; the lock of a dead process does not block")  # fmt: skip
