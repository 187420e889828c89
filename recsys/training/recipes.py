"""Recipes: named settings of a training, each of which a user may override."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

MOST_SONGS = 200_000  # to compare every user with
LOGITS_IN_MEMORY = 2**24  # of one batch of users; a step holds a handful of arrays of this size
FEWEST_STEPS = 24  # of an epoch over users: few users make small batches
CHOICES = {
    "similarity": ("dot", "cosine"), "loss": ("softmax", "bsl", "bpr", "sigmoid"), "pool": ("all", "train"),
    "negatives": ("uniform", "shared", "popularity", "full"), "optimizer": ("sgd", "adagrad", "adam"),
    "schedule": ("constant", "cosine"), "precision": ("float32", "tf32", "mixed_bfloat16"),
}  # fmt: skip
OF_FULL = {"loss": "bsl", "negatives": "full", "pool": "all", "optimizer": "adam", "decay": 0.0}  # and nothing else
COLDEST = 0.025  # temperature of cosines: their logits then span 80, as much as exp of a float32 can
N_JUDGED = 20  # negatives of the accuracy that is noted


@dataclass(frozen=True)
class Recipe:
    """The settings of a training.

    `negatives` are drawn "uniform" for each row, "shared" by a batch, a share of `popularity` of these by number of
    listens ("popularity"), or are all songs of train ("full": a batch is then of users, else of rows). The `pool` of
    songs, "all" or those of "train", is what is drawn from, as far as the model knows them.

    The `grid` holds pairs of temperature and γ; of several the one with the best NDCG@20 on validation after
    `trial_epochs` is taken, and its temperature then tried with each γ of `gammas`, which has to gain 1 %. Training
    ends after `epochs`, or once validation has not improved for `patience` of them: its loss or, with `refit`, its
    NDCG@20 (looked at `every` so many epochs). With `latest`, pairs of pull and half-life, users' vectors are pulled
    towards their latest songs (see `recsys.latest`) by the pair with the best NDCG@20 on validation, or by none. With
    `refit` the model is then trained once more on train and validation, for as many epochs.

    `learning_rate` is of a batch's mean, and the highest of the `schedule`. With `average` above 1 the weights are
    means over about so many last epochs.
    """

    name: str
    dim: int
    negatives: str
    n_negatives: int
    batch_size: int
    learning_rate: float
    epochs: int
    patience: int
    loss: str = "bsl"
    similarity: str = "cosine"
    pool: str = "all"
    optimizer: str = "adam"
    schedule: str = "cosine"
    grid: tuple[tuple[float, float], ...] = ((0.1, 1.0),)
    gammas: tuple[float, ...] = ()
    trial_epochs: int = 0
    least_steps: int = 0
    latest: tuple[tuple[float, float], ...] = ()
    mask_hits: bool = True
    popularity: float = 0.5
    decay: float = 0.0
    average: int = 1
    refit: bool = True
    every: int = 1
    precision: str = "float32"

    def __post_init__(self):
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}; got {value!r}")
        for name in ("dim", "n_negatives", "batch_size", "learning_rate", "epochs", "patience", "average", "every"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"{name}: expected more than 0, got {value!r}")
        if not self.grid or not all(value > 0 for pair in self.grid for value in pair):
            raise ValueError(f"grid: expected pairs of temperature and gamma above 0, got {self.grid!r}")
        if self.similarity == "cosine" and (cold := min(temperature for temperature, _ in self.grid)) < COLDEST:
            raise ValueError(f"{self.name}, temperature: expected {COLDEST} or more for cosines, got {cold!r}")
        if not all(value > 0 for value in (*self.gammas, *(value for pair in self.latest for value in pair))):
            raise ValueError(f"gammas, latest: expected values above 0, got {self.gammas!r}, {self.latest!r}")
        odd = [gamma for gamma in (*self.gammas, *(gamma for _, gamma in self.grid)) if gamma != 1]
        if self.loss in ("softmax", "bpr") and odd:
            raise ValueError(f"{self.name}, gamma: expected 1, as the loss {self.loss} has none; got {odd[0]!r}")
        if len(self.grid) + len(self.gammas) > 1 and not self.trial_epochs > 0:
            raise ValueError(f"trial_epochs: expected more than 0 to choose from a grid, got {self.trial_epochs!r}")
        if not 0 <= self.popularity < 1:
            raise ValueError(f"popularity: expected a share of negatives from 0 to below 1, got {self.popularity!r}")
        for name, value in OF_FULL.items() if self.negatives == "full" else ():
            if (got := getattr(self, name)) != value:
                raise ValueError(
                    f"{self.name}, {name}: expected {value!r}, as every song of train is compared; got {got!r}; "
                    "the recipe fast takes others"
                )

    @property
    def n_popular(self) -> int:
        """How many of the negatives are drawn by number of listens."""
        return round(self.popularity * self.n_negatives) if self.negatives == "popularity" else 0

    def override(self, **settings: Any) -> "Recipe":
        """Return the recipe with other settings; 0 and "" keep its own.

        A `temperature` or `gamma` takes the place of the grid's. With plain gradient descent another batch size keeps
        the step per row. Raises ValueError for a setting that does not apply.
        """
        settings = {name: value for name, value in settings.items() if value}
        temperature, gamma = (settings.pop(name, 0) for name in ("temperature", "gamma"))
        given, grid = set(settings), settings.get("grid", self.grid)
        settings["grid"] = tuple(dict.fromkeys((temperature or own, gamma or other) for own, other in grid))
        if gamma or "grid" in given:
            settings.setdefault("gammas", ())
        full, kind = self.negatives == "full", settings.get("negatives", self.negatives)
        if (kind == "full") != full:
            of = "users with all songs" if full else "rows with drawn ones"
            raise ValueError(f"{self.name}, negatives: expected {self.negatives}, as a batch is of {of}; got {kind}")
        if full and (n := settings.get("n_negatives")):
            raise ValueError(f"{self.name}, n_negatives: expected 0, as every song is one; got {n}")
        if (rule := settings.get("optimizer", self.optimizer)) != self.optimizer and "learning_rate" not in settings:
            raise ValueError(f"{self.name}: expected a learning rate for the optimizer {rule}, got none")
        if self.optimizer == "sgd":
            rate = self.learning_rate / self.batch_size * settings.get("batch_size", self.batch_size)
            settings = {"learning_rate": rate} | settings
        return dataclasses.replace(self, **settings)

    def users_at_once(self, n_users: int, n_items: int) -> int:
        """Return how many users a batch holds, of so many with so many songs each."""
        return max(1, min(self.batch_size, LOGITS_IN_MEMORY // n_items, n_users // FEWEST_STEPS))

    def fitting(self, n_users: int, n_items: int) -> "Recipe":
        """Return the recipe in the form for so many users and songs.

        Too many songs to compare every user with are sampled; few users take more epochs, to make `least_steps`.
        """
        if self.negatives != "full":
            return self
        if n_items > MOST_SONGS:
            own = ("negatives", "n_negatives", "batch_size", "learning_rate", "every")
            return dataclasses.replace(self, **{name: getattr(RECIPES["fast"], name) for name in own})
        steps = math.ceil(n_users / self.users_at_once(n_users, n_items))
        epochs = max(self.epochs, math.ceil(self.least_steps / steps))
        trial_epochs = math.ceil(self.trial_epochs * epochs / self.epochs)
        return dataclasses.replace(self, epochs=epochs, patience=epochs, trial_epochs=trial_epochs)


LATEST = tuple((pull, half_life) for half_life in (0.5, 2.0, 8.0) for pull in (0.25, 1.0, 4.0))
RECIPES: dict[str, Recipe] = {
    "author": Recipe(
        "author", dim=15, negatives="uniform", n_negatives=20, batch_size=1024, learning_rate=100.0, epochs=50,
        patience=3, loss="softmax", similarity="dot", optimizer="sgd", schedule="constant", grid=((1.0, 1.0),),
        mask_hits=False, refit=False,
    ),
    "fast": Recipe(
        "fast", dim=64, negatives="shared", n_negatives=1024, batch_size=2048, learning_rate=0.01, epochs=16,
        patience=3, grid=((0.12, 1.0),),
    ),
    "best": Recipe(
        "best", dim=128, negatives="full", n_negatives=N_JUDGED, batch_size=512, learning_rate=0.03, epochs=48,
        patience=48, grid=((0.07, 1.0), (0.1, 1.0), (0.15, 1.0), (0.2, 1.0)), gammas=(1.15, 1.3), trial_epochs=8,
        least_steps=2400, latest=LATEST, every=4,
    ),
}  # fmt: skip
