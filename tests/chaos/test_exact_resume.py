"""A training that is killed again and again ends with the bits of one that was not."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tiny

from recsys.runs import read_json

RULE = "equal weights and equal history, in bits; nothing is left over"
CHECKPOINTS = 40  # changes of files, of which a checkpoint makes four, until a training is killed, at most


def train_recipe(root: Path, name: str) -> int:
    """Train a small recipe with a checkpoint after each call of TensorFlow, and keep its weights."""
    from test_resume import TINY, placed, weights
    from test_training import groups

    from recsys.training import history, loop, trainer

    history.CHECKPOINT_SECONDS, history.CHECKPOINT_SHARE, loop.ROWS_PER_CALL = 0.0, 1.0, 640
    model = trainer.train(placed(groups(1500)), TINY[name], folder=root / "model", xla=False).model
    np.save(root / "weights.npy", weights(model))
    return 0


def disturb(root: Path, name: str, kills: int) -> tuple[int, int, str]:
    """Train a recipe calmly, and again with kills; return the kills, the times it continued, and what is wrong."""
    rng, calm, killed = random.Random(name), root / "calm", root / "killed"
    for folder in (calm, killed):
        folder.mkdir(parents=True)
    ends = [tiny.finish(tiny.start(calm, train_recipe, name), 200)]
    for _ in range(kills):
        kill = ("command", rng.randrange(10, CHECKPOINTS))
        ends.append(tiny.finish(tiny.start(killed, train_recipe, name, kill=kill), 200))
    ends.append(tiny.finish(tiny.start(killed, train_recipe, name), 200))
    n_killed, log = ends.count(-9), (killed / "log").read_text()
    if ends[0] or ends[-1] or {*ends} - {0, -9}:
        return n_killed, 0, f"{name}: {ends}\n{log[-2000:]}"
    one, other = (np.load(folder / "weights.npy").tobytes() for folder in (calm, killed))
    histories = [tiny.timeless(read_json(folder / "model" / "history.json")) for folder in (calm, killed)]
    files = sorted(path.name for path in (killed / "model").iterdir())
    good = one == other and histories[0] == histories[1] and files == ["history.json", "model.keras"]
    return n_killed, log.count("continues from its checkpoint"), "" if good else f"{name}: {files}\n{log[-2000:]}"


def test_killed_again_and_again_it_ends_with_the_same_bits(count, full, tmp_path):
    names = ("author", "fast", "best")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda name: disturb(tmp_path / name, name, 17 if full else 2), names))
    kills, continued = (sum(each[number] for each in found) for number in (0, 1))
    print(*(each[2] for each in found), sep="\n")
    count("kill −9 of a training, three recipes, and the same training until it ends", kills,
          sum(bool(each[2]) for each in found), RULE, f"It continued from a checkpoint {continued} times.")  # fmt: skip
