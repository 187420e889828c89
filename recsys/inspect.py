"""What your files are and how to read them: python -m recsys.inspect DATA_PATH=<file or folder>"""

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.inspection import as_text, inspect_path
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import AUTO
from recsys.data.reading import WAYS
from recsys.files import temporary_folder
from recsys.reports.parameters import Parameter, read_values
from recsys.runs import project_root

PARAMETERS = (
    Parameter("DATA_PATH", str, "", "file or folder to look at; a relative path starts at the project's folder"),
    Parameter("DATASET", str, AUTO, "the data set that it is, if you know"),
    *(Parameter(each.name.upper(), type(each.default), each.default, "as in 01_prepare") for each in fields(Options)),
    *(Parameter(name.upper(), str, values[0], "as in 01_prepare", choices=values) for name, values in WAYS.items()),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is at DATA_PATH and the command that reads it. Return the exit status, 0 or 2."""
    known = {each.name: each for each in PARAMETERS}
    try:
        given = read_values(sys.argv[1:] if arguments is None else arguments, known, None)
        shown, dataset = given.pop("DATA_PATH", ""), given.pop("DATASET", AUTO)
        if not shown:
            raise ValueError("DATA_PATH: expected a file or folder, got nothing: make inspect DATA_PATH=<path>")
        print(_inspect(shown, dataset, {name.lower(): value for name, value in given.items()}))
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _inspect(shown: str, dataset: str, values: dict[str, Any]) -> str:
    """Return what is at the path `shown`. Raises DataError, which names the path as it was typed."""
    ways = {name: values.pop(name) for name in WAYS if name in values}
    path = project_root() / Path(shown).expanduser()
    with temporary_folder() as folder, start_engine(folder) as engine:
        try:
            return as_text(inspect_path(engine, path, dataset, Options(**values), shown, ways))
        except DataError as error:
            raise DataError(str(error).replace(str(path), shown)) from error


if __name__ == "__main__":
    sys.exit(main())
