"""Which values the parameters of the notebooks may have, where these are a fixed set: that of the code that uses it."""

from recsys.data import prepare
from recsys.data.readers import READERS
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
