"""Search for a recipe's settings on validation: python -m recsys.tune [TRIALS=30] [MINUTES=40] [NAME=value …]

NAME is a parameter of 01_prepare, such as DATASET. The search is kept in data/tune/<data set>/, and continues when it
is started again. Its result is the recipe `tuned`, for `make reports RECIPES="author best tuned"`.
"""

import sys
from collections.abc import Sequence

import pandas as pd

from recsys.files import hold, write_atomically
from recsys.reports import figures
from recsys.reports.parameters import Parameter, read_parameters, read_values
from recsys.runs import project_root
from recsys.training import tuning
from recsys.workflow import prepare

TRIALS = Parameter("TRIALS", int, 30, "number of trials in all, earlier ones included")
MINUTES = Parameter("MINUTES", float, 40.0, "after this time no new trial begins")
NOT_DATA = ("RUN", "SHOW_USER_IDS", "USE_DRIVE", "DRIVE_FOLDER")


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status: 0, or 2 for a wrong call."""
    root = project_root()
    parameters = read_parameters([root / "notebooks" / "01_prepare.ipynb"])
    known = {name: each for name, each in parameters.items() if name not in NOT_DATA}
    try:
        values = read_values(arguments, known | {each.name: each for each in (TRIALS, MINUTES)}, root)
    except ValueError as error:
        print(f"make tune: {error}", file=sys.stderr)
        return 2
    given = {name.lower(): value for name, value in values.items()}
    trials, minutes = (given.pop(each.name.lower(), each.default) for each in (TRIALS, MINUTES))
    path, seed = given.pop("data_path", ""), given.get("seed", 0)
    dataset = given.pop("dataset", "") or ("auto" if path else "sample")
    try:
        split = prepare(dataset, root / path if path else None, root=root, **given)
        where = tuning.folder(split, root)
        where.mkdir(parents=True, exist_ok=True)
        with hold(where) as free:
            if free is False:
                raise ValueError(f"data/tune/{where.name}: another search on these data is at work; wait for its end")
            facts = tuning.search(split, where, trials, minutes, seed)
    except ValueError as error:
        print(f"make tune: {error}", file=sys.stderr)
        return 2
    with write_atomically(where / "trials.png") as path:
        axes = figures.trials(pd.read_csv(where / "trials.csv"), list(facts["settings"]))
        axes[0].get_figure().savefig(path, dpi=150)
    chosen = ", ".join(f"{name} {tuning.short(value)}" for name, value in facts["settings"].items())
    print(f"Best of {facts['trials']} trials: {chosen}, NDCG@20 on validation {facts['ndcg@20 on validation']:.4f}.")
    print(f"{where.relative_to(root)} holds recipe.json, trials.csv and trials.png.")
    print('`make reports RECIPES="best tuned"` with the same data and split trains it.')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
