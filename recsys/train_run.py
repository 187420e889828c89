"""Train a run's recipes by command, also over several workers: python -m recsys.train_run RUN=… [WORKERS=2]

It takes the parameters of 02_train, and of 01_prepare for a run without data. Without WORKERS, one process trains. With
it, so many are started on this machine. Where a cluster has set TF_CONFIG, this process is the worker that it names.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from recsys.audit.checks import check_split, require_clean
from recsys.data.split import Split
from recsys.reports.parameters import Parameter, read_parameters, read_values
from recsys.runs import Run, project_root
from recsys.training.launch import PORT_TAKEN, SUPERVISED, end_with_supervisor, run_workers
from recsys.workflow import choose_recipes, import_trainer, open_split, prepare_run, train_run

WORKERS = Parameter("WORKERS", int, 1, "number of processes on this machine that train together")
NOT_TAKEN = ("USE_DRIVE", "DRIVE_FOLDER", "SHOW_USER_IDS")
SETTINGS = {  # of a recipe, by the parameter that replaces it
    "EPOCHS": "epochs", "DIM": "dim", "BATCH_SIZE": "batch_size", "LEARNING_RATE": "learning_rate",
    "N_NEGATIVES": "n_negatives", "LOSS": "loss", "NEGATIVES": "negatives", "NEGATIVE_POOL": "pool",
    "OPTIMIZER": "optimizer", "TEMPERATURE": "temperature", "GAMMA": "gamma", "PRECISION": "precision",
}  # fmt: skip
GOES_ON = "the same command continues from the checkpoint"


class ReadOnlyRun(Run):
    """A run as the workers see it that are not the first: they read it, and the first one writes it."""

    def note(self, **facts: Any) -> None:
        """Write nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0; 2 for a wrong call; 1 for a training that was stopped."""
    arguments = sys.argv[1:] if arguments is None else arguments
    root = project_root()
    notebooks = (root / "notebooks" / f"{name}.ipynb" for name in ("01_prepare", "02_train"))
    of_data, of_training = (read_parameters([each]) for each in notebooks)
    known = {name: each for name, each in (of_data | of_training).items() if name not in NOT_TAKEN}
    try:
        given = read_values(arguments, known | {WORKERS.name: WORKERS}, root)
        workers = given.pop(WORKERS.name, WORKERS.default)
        if workers < 1:
            raise ValueError(f"WORKERS: expected 1 or more, got {workers}")
        values = {name: each.default for name, each in of_training.items()} | given
        run = Run(values["RUN"], root)
        data = {name: value for name, value in given.items() if name not in of_training}
        if os.environ.get("TF_CONFIG"):
            return _work(run, values)
        split = _open(run, data, values["SEED"])
        if workers == 1:
            _train(run, split, values)
            return 0
        require_clean(split, check_split(split))
        _recipes(run, split, values)  # a wrong setting is an error before any worker starts
        own = [each for each in arguments if each.partition("=")[0] in of_training]
        run_workers(workers, [sys.executable, "-m", "recsys.train_run", *own])
        return 0
    except (ValueError, FileNotFoundError) as error:
        print(f"make train: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"make train: {error}; {GOES_ON}", file=sys.stderr)
    except KeyboardInterrupt:
        if not os.environ.get(SUPERVISED):  # else the process that started this one says it
            print(f"make train: interrupted; {GOES_ON}", file=sys.stderr)
    return 1


def _open(run: Run, data: dict[str, Any], seed: int) -> Split:
    """Open the run's split; prepare it first if the data are named."""
    if not data:
        return open_split(run)
    if not {"DATASET", "DATA_PATH"} & {*data}:
        raise ValueError(f"{', '.join(data)}: expected a DATASET or DATA_PATH too, as this prepares the data anew")
    given = {name.lower(): value for name, value in data.items()}
    dataset, path = (given.pop(name, "") for name in ("dataset", "data_path"))
    return prepare_run(run, dataset, path, seed=seed, **given)


def _recipes(run: Run, split: Split, values: dict[str, Any]) -> dict[str, Any]:
    settings = {name: values[parameter] for parameter, name in SETTINGS.items()}
    return choose_recipes(run, split, values["RECIPES"], **settings)


def _train(run: Run, split: Split, values: dict[str, Any], **options: Any) -> None:
    with contextlib.nullcontext() if isinstance(run, ReadOnlyRun) else run.lock():
        recipes = _recipes(run, split, values)
        options |= {"deterministic": values["DETERMINISTIC"]}
        train_run(run, split, recipes, values["SEED"], values["SEEDS"], **options)


def _work(run: Run, values: dict[str, Any]) -> int:
    """Be the worker that TF_CONFIG names."""
    end_with_supervisor()
    import_trainer()
    from recsys.training import workers

    try:
        strategy = workers.meet()
    except OSError as error:
        print(f"make train: {error}", file=sys.stderr)
        return PORT_TAKEN
    with strategy.scope(), workers.loss_of_another():
        first = workers.number() == 0
        run = run if first else ReadOnlyRun(run.name, run.root)
        if first:
            print(f"{workers.n_workers()} workers train together", flush=True)
        _train(run, open_split(run), values, verbose=first)
        workers.of_first(lambda: None)  # nobody leaves before the first has written everything
    return 0


if __name__ == "__main__":
    sys.exit(main())
