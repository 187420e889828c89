"""Searches for a recipe's settings on validation: python -m recsys.tune [TRIALS=30] [MINUTES=40] [NAME=value …]

NAME is a parameter of 01_prepare, such as DATASET. The search is kept in data/tune/<data set>/ and goes on when it is
started again; what it chose is the recipe `tuned`, for `make reports RECIPES="author best tuned"`.
"""

import sys
from collections.abc import Sequence

import pandas as pd

from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.reports import figures
from recsys.reports.parameters import Parameter, read_parameters, read_values
from recsys.runs import project_root, write_atomically
from recsys.training import tuning

TRIALS = Parameter("TRIALS", int, 30, "settings to have tried in all, earlier ones included")
MINUTES = Parameter("MINUTES", float, 40.0, "no trial begins after so many")
NOT_OF_DATA = ("RUN", "SHOW_USER_IDS", "USE_DRIVE", "DRIVE_FOLDER")


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status: 0, 2 for a wrong call."""
    root = project_root()
    parameters = read_parameters([root / "notebooks" / "01_prepare.ipynb"])
    known = {name: each for name, each in parameters.items() if name not in NOT_OF_DATA}
    try:
        values = read_values(arguments, known | {each.name: each for each in (TRIALS, MINUTES)}, root)
    except ValueError as error:
        print(f"make tune: {error}", file=sys.stderr)
        return 2
    given = {name.lower(): value for name, value in values.items()}
    trials, minutes = (given.pop(each.name.lower(), each.default) for each in (TRIALS, MINUTES))
    dataset, path, seed = given.pop("dataset", "sample"), given.pop("data_path", ""), given.get("seed", 0)
    prepared = prepare(dataset, root / path if path else None, root=root, **given)
    split = Split.load(prepared.folder)
    where = tuning.folder(split, root)
    facts = tuning.search(split, where, trials, minutes, seed)
    with write_atomically(where / "trials.png") as path:
        drawn = figures.trials(pd.read_csv(where / "trials.csv"), list(facts["settings"]))
        drawn[0].get_figure().savefig(path, dpi=150)
    chosen = ", ".join(f"{name} {tuning.short(value)}" for name, value in facts["settings"].items())
    print(f"best of {facts['trials']} trials: {chosen}; NDCG@20 on validation {facts['ndcg@20 on validation']:.4f}")
    print(f'{where.relative_to(root)}: recipe.json, trials.csv, trials.png; `make reports` with RECIPES="best tuned"')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
