"""A training that is killed at any change of its files continues to the same weights and the same history, in bits."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tiny
from conftest import timeless
from test_resume import TINY, placed
from test_training import groups

from recsys.files import read_json
from recsys.training import history, loop, trainer

RULE = "Equal weights and histories in bits; no file is left over."


def train(root: Path, *names: str) -> int:
    """Train the recipes one after the other, with a checkpoint after every call into TensorFlow."""
    history.CHECKPOINT_SECONDS, history.CHECKPOINT_SHARE, loop.ROWS_PER_CALL = 0.0, float("inf"), 640
    tiny.watch_changes("train")
    split = placed(groups(1500))
    for name in names:
        trainer.train(split, TINY[name], folder=root / name, xla=False)
    return 0


def outcome(root: Path, *names: str) -> Any:
    """Return what the trainings leave: weights, histories without times, and the names of the files."""
    folders = [root / name for name in names]
    files = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    histories = [timeless(read_json(folder / "history.json")) for folder in folders]
    return [tiny.weights(folder / "model.keras") for folder in folders], histories, files


def undisturbed(root: Path, *names: str) -> tuple[Any, int]:
    """Return what trainings leave, and how often they change the file system."""
    root.mkdir()
    assert tiny.finish(tiny.start(root, train, *names), 300) == 0, (root / "log").read_text()
    found = outcome(root, *names)
    assert found[2] == [["history.json", "model.keras"]] * len(names)
    return found, int((root / "changes-train").read_text())


def disturb(root: Path, names: tuple[str, ...], points: list[int], expected: Any) -> tuple[str, int]:
    """Kill trainings before one of their changes of the file system, again at each point, and let them end.

    Returns what is wrong, or an empty string, and how often a training continued from its checkpoint.
    """
    root.mkdir()
    kills = [tiny.finish(tiny.start(root, train, *names, kill=("train", point)), 300) for point in points]
    status, log = tiny.finish(tiny.start(root, train, *names), 300), (root / "log").read_text()
    good = kills == [-9] * len(points) and status == 0 and outcome(root, *names) == expected
    shutil.rmtree(root)
    wrong = "" if good else f"{names}, {points}: {kills}, {status}\n{log[-2000:]}"
    return wrong, log.count("continues from its checkpoint")


def test_killed_trainings_end_with_the_same_bits(count, full, tmp_path):
    cases = []  # names of recipes, points of kills, what must come out
    for name in TINY if full else ():
        expected, n = undisturbed(tmp_path / name, name)
        last = 17 if name == "best" else 15
        cases += [((name,), [1 + place * (n - 1) // last], expected) for place in range(last + 1)]
    expected, n = undisturbed(tmp_path / "all", *TINY)
    cases.append((tuple(TINY), [n // 12] * 10 if full else [n // 3] * 2, expected))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda each: disturb(tmp_path / str(each[0]), *each[1]), enumerate(cases)))
    wrong, continued = [each for each, _ in found if each], sum(times for _, times in found)
    print(*wrong, sep="\n\n")
    assert expected[1][-1]["next_song"] and continued > len(cases) // 2
    note = f"Of {n} changes of the file system by {', '.join(TINY)}; {len(cases[-1][1])} kills in a row in one case. "
    note += f"{continued} times a training continued from its checkpoint."
    count("kill −9 of trainings before they change a file", sum(len(each[1]) for each in cases), len(wrong), RULE, note)
