"""A training that is killed at any change of its files continues to the same weights and the same history, in bits."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import timeless
from test_resume import TINY, placed
from test_training import groups

from recsys.files import read_json
from recsys.training import history, loop, trainer

RULE = "Equal weights and histories in bits; no file is left over."


def train(root: Path) -> int:
    """Train the recipes one after the other, with a checkpoint after every call into TensorFlow."""
    history.CHECKPOINT_SECONDS, history.CHECKPOINT_SHARE, loop.ROWS_PER_CALL = 0.0, 1.0, 640
    tiny.watch_changes("train")
    split = placed(groups(1500))
    for name, recipe in TINY.items():
        trainer.train(split, recipe, folder=root / name, xla=False)
    return 0


def outcome(root: Path) -> Any:
    """Return what the trainings leave: weights, histories without times, and the names of the files."""
    folders = [root / name for name in TINY]
    files = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    histories = [timeless(read_json(folder / "history.json")) for folder in folders]
    return [tiny.weights(folder / "model.keras") for folder in folders], histories, files


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> tuple[Any, int]:
    """What undisturbed trainings leave, and how often they change the file system."""
    root = tmp_path_factory.mktemp("calm")
    assert tiny.finish(tiny.start(root, train), 120) == 0, (root / "log").read_text()
    found = outcome(root)
    assert found[2] == [["history.json", "model.keras"]] * 3 and bool(found[1][2]["next_song"])
    return found, int((root / "changes-train").read_text())


def disturb(root: Path, points: list[int], expected: Any) -> tuple[str, int]:
    """Kill the trainings before one of their changes of the file system, again at each point, and let them end.

    Returns what is wrong, or an empty string, and how often a training continued from its checkpoint.
    """
    root.mkdir()
    kills = [tiny.finish(tiny.start(root, train, kill=("train", point)), 120) for point in points]
    status, log = tiny.finish(tiny.start(root, train), 120), (root / "log").read_text()
    good = kills == [-9] * len(points) and status == 0 and outcome(root) == expected
    shutil.rmtree(root)
    return "" if good else f"{points}: {kills}, {status}\n{log[-2000:]}", log.count("continues from its checkpoint")


def test_killed_trainings_end_with_the_same_bits(calm, count, full, tmp_path):
    expected, n = calm
    chains = [[number * n // 51] for number in range(1, 51)] if full else []
    chains.append([n // 12] * 10 if full else [n // 3] * 2)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda each: disturb(tmp_path / str(each[0]), each[1], expected), enumerate(chains)))
    wrong, continued = [each for each, _ in found if each], sum(times for _, times in found)
    print(*wrong, sep="\n\n")
    note = f"Of {n} changes of the file system by author, fast and best; one training was killed {len(chains[-1])} "
    note += f"times. {continued} times one continued from its checkpoint."
    count("kill −9 of trainings before they change a file", sum(map(len, chains)), len(wrong), RULE, note)
    assert continued > len(chains) // 2
