"""Which values the parameters of the notebooks may have, as far as this is known before a notebook runs.

Fixed sets are those of the code that uses them.
"""

from collections.abc import Set
from pathlib import Path
from typing import Any

from recsys.data import prepare
from recsys.data.readers import READERS
from recsys.data.readers.addresses import as_typed, is_missing, locate, nothing_there
from recsys.data.readers.recognition import AUTO
from recsys.models import neighbours
from recsys.models.baselines import BASELINES
from recsys.models.baselines.factorisation import PEERS
from recsys.training import recipes

OF_RECIPES = ("LOSS", "NEGATIVES", "OPTIMIZER", "PRECISION")  # "" keeps a recipe's own value
ONE_OF = {
    "DATASET": ("", AUTO, *READERS),
    "MAP": neighbours.MAPS,
    "NEGATIVE_POOL": ("", *recipes.CHOICES["pool"]),
    **{name.upper(): values for name, values in prepare.CHOICES.items()},
    **{name: ("", *recipes.CHOICES[name.lower()]) for name in OF_RECIPES},
}
SOME_OF = {"RECIPES": recipes.NAMES, "BASELINES": ("", *BASELINES), "PEERS": ("", *PEERS)}  # separated by spaces


def check_typed(typed: Set[str], used: dict[str, Any], root: Path) -> None:
    """Raise DataError if a path or a share that was typed cannot be used, so that nobody waits for a step to say so.

    `used` has the values of all parameters by name.
    """
    if "DATA_PATH" in typed and is_missing(locate(used["DATA_PATH"], used.get("ENGINE", "duckdb"), root)):
        raise nothing_there(as_typed(used["DATA_PATH"], root))
    if typed & {name.upper() for name in prepare.FRACTIONS}:
        prepare.check_fractions(*(used[name.upper()] for name in prepare.FRACTIONS))
