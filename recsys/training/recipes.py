"""Recipes: named settings of a training, each of which a user may override."""

import dataclasses
import itertools
import math
from typing import Any

MAX_SONGS_FOR_FULL = 200_000  # with more songs, comparing every user with every song takes too long
ROWS_OF_ALL_EPOCHS = 120_000_000  # about as many rows are seen, so that there are fewer epochs of very many rows
ROWS_OF_TRIAL = 30_000_000  # the same in a trial, with at least one epoch
MIN_EPOCHS = 2  # however many rows there are
LOGITS_OF_ALL_EPOCHS = 50_000_000_000  # of the full softmax, at most, in one training; on two cores some 6 minutes
TRIAL_STEPS = 400  # of the full softmax: enough for a trial, in however few epochs
MAX_LOGITS_PER_BATCH = 2**24  # a step of the full softmax holds a handful of arrays of this size
MIN_STEPS_PER_EPOCH = 24  # of the full softmax: with few users the batches are smaller
POPULAR_SHARE = 0.5  # of the negatives="popularity", the share that is drawn by number of listens
MIN_TEMPERATURE = 0.025  # for cosines: logits then span 80, about the range in which float32 has an exponential
ACCURACY_NEGATIVES = 20  # an accuracy compares each positive with this many negatives, as the described system does
CHOICES = {
    "similarity": ("dot", "cosine"), "loss": ("softmax", "bsl", "bpr", "sigmoid"), "pool": ("all", "train"),
    "negatives": ("uniform", "shared", "popularity", "full"), "optimizer": ("sgd", "adagrad", "adam"),
    "schedule": ("constant", "cosine"), "precision": ("float32", "tf32", "mixed_bfloat16"),
}  # fmt: skip
FIXED_FOR_FULL = {"loss": "bsl", "negatives": "full", "pool": "all", "optimizer": "adam"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training: see docs/training.md. Raises ValueError for a value that is not allowed."""

    name: str
    dim: int  # length of the vectors
    negatives: str  # drawn for each row ("uniform") or batch ("shared", "popularity"), or all songs of train ("full")
    n_negatives: int  # of a row, or of the batch that shares them
    batch_size: int  # rows, or users for "full"
    learning_rate: float  # of the mean over a batch; the highest value of the schedule
    epochs: int  # at most
    patience: int  # stop after so many epochs without improvement; if not below `epochs`, run them all, keep the last
    loss: str = "bsl"
    similarity: str = "cosine"
    pool: str = "all"  # draw negatives from "all" songs that have a vector, or from those of "train"
    optimizer: str = "adam"
    schedule: str = "cosine"
    grid: tuple[tuple[float, float], ...] = ((0.1, 1.0),)  # pairs of temperature and γ to try
    gammas: tuple[float, ...] = ()  # to try with the best temperature of the grid
    trial_epochs: int = 0  # of each of these trials
    first_epochs: int = 0  # of the first training; the next has twice as many, as long as that gains; 0: all at once
    warm_start: bool = False  # begin with spectral vectors, for "full": see recsys.training.spectral
    recency: tuple[tuple[float, float], ...] = ()  # pairs of strength and half-life to try: see recsys.training.recency
    next_dim: int = 0  # length of the vectors of the next-song part, 0 for none: see recsys.training.next_song
    next_epochs: int = 0  # of its training
    next_shares: tuple[float, ...] = ()  # shares of the score to try for it
    spectral_dim: int = 0  # length of the vectors of the spectral part, 0 for none: see recsys.training.spectral
    spectral_shares: tuple[float, ...] = ()  # shares of the score to try for it
    trends: tuple[float, ...] = ()  # values of β to try: see recsys.training.trend
    mask_accidental_hits: bool = True  # ignore a drawn negative that is the positive itself
    refit: bool = True  # choose epochs by NDCG@20, then train once more on train and validation; else choose by loss
    evaluate_every: int = 1  # epochs between two values of NDCG@20 on validation
    precision: str = "float32"  # of matrix products

    def __post_init__(self):
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}; got {value!r}")
        for name in ("dim", "n_negatives", "batch_size", "learning_rate", "epochs", "patience", "evaluate_every"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"{name}: expected more than 0, got {value!r}")
        if not self.grid or not all(value > 0 for pair in self.grid for value in pair):
            raise ValueError(f"grid: expected pairs of temperature and gamma above 0, got {self.grid!r}")
        temperatures, gammas = zip(*self.grid, strict=True)
        if self.similarity == "cosine" and (low := min(temperatures)) < MIN_TEMPERATURE:
            raise ValueError(f"{self.name}, temperature: expected {MIN_TEMPERATURE} or more for cosines, got {low!r}")
        others = {*gammas, *self.gammas} - {1}
        if self.loss in ("softmax", "bpr") and others:
            raise ValueError(f"{self.name}, gamma: expected 1, as the loss {self.loss} has no gamma; got {min(others)}")
        if len(self.grid) + len(self.gammas) > 1 and not self.trial_epochs > 0:
            raise ValueError(f"trial_epochs: expected more than 0 to choose from a grid, got {self.trial_epochs!r}")
        if self.warm_start and self.negatives != "full":
            raise ValueError(f"{self.name}, warm_start: expected False, as this recipe draws negatives; got True")
        for name, value in FIXED_FOR_FULL.items() if self.negatives == "full" else ():
            if (got := getattr(self, name)) != value:
                expected = f"expected {value!r}, as this recipe compares with all songs of train"
                raise ValueError(f"{self.name}, {name}: {expected}; got {got!r}; the recipe fast allows other values")

    @property
    def lengths(self) -> list[int]:
        """The numbers of epochs of the trainings that are tried."""
        lengths = [self.epochs]
        if self.first_epochs and self.patience >= self.epochs:
            doubled = (self.first_epochs * 2**power for power in range(self.epochs))
            lengths = [*itertools.takewhile(lambda n: n < self.epochs, doubled), self.epochs]
        return lengths

    @property
    def adds(self) -> bool:
        """Whether anything may be added to the trained vectors: see recsys.training.additions."""
        return self.refit and bool(self.recency or self.next_dim or self.spectral_dim or self.trends)

    @property
    def n_popular(self) -> int:
        """The number of negatives that are drawn by number of listens."""
        return round(POPULAR_SHARE * self.n_negatives) if self.negatives == "popularity" else 0

    def override(self, **settings: Any) -> "Recipe":
        """Return the recipe with other settings; 0 and "" keep its own. Raises ValueError for one that does not apply.

        `temperature` or `gamma` replaces that of every pair in the grid. With plain gradient descent the learning rate
        grows with the batch size, which keeps the step per row.
        """
        settings = {name: value for name, value in settings.items() if value}
        temperature, gamma = (settings.pop(name, 0) for name in ("temperature", "gamma"))
        pairs = settings.get("grid", self.grid)
        if gamma or "grid" in settings:
            settings.setdefault("gammas", ())
        settings["grid"] = tuple(dict.fromkeys((temperature or own, gamma or other) for own, other in pairs))
        full, negatives = self.negatives == "full", settings.get("negatives", self.negatives)
        if (negatives == "full") != full:
            why = f"as its batches are of {'users' if full else 'rows'}"
            raise ValueError(f"{self.name}, negatives: expected {self.negatives}, {why}; got {negatives}")
        if full and (n := settings.get("n_negatives")):
            raise ValueError(f"{self.name}, n_negatives: expected 0, as this recipe compares with all songs; got {n}")
        if (rule := settings.get("optimizer", self.optimizer)) != self.optimizer and "learning_rate" not in settings:
            raise ValueError(f"{self.name}: expected a LEARNING_RATE for the optimizer {rule}, got none")
        if self.optimizer == "sgd":
            rate = self.learning_rate / self.batch_size * settings.get("batch_size", self.batch_size)
            settings = {"learning_rate": rate} | settings
        return dataclasses.replace(self, **settings)

    def users_per_batch(self, n_users: int, n_items: int) -> int:
        """Return the number of users in a batch of the full softmax."""
        return max(1, min(self.batch_size, MAX_LOGITS_PER_BATCH // n_items, n_users // MIN_STEPS_PER_EPOCH))

    def for_size(self, n_rows: int, n_users: int, n_items: int) -> "Recipe":
        """Return the recipe for data with so many rows in train, users and songs.

        If there are too many songs to compare with all of them, it has negatives as in `fast`. Recipes with a refit
        have fewer epochs, and shorter trials, if there are very many rows, or for the full softmax very many users and
        songs.
        """
        recipe = self
        if self.negatives == "full" and n_items > MAX_SONGS_FOR_FULL:
            fast, names = RECIPES["fast"], ["negatives", "n_negatives", "batch_size", "learning_rate", "evaluate_every"]
            names += ["next_dim", "spectral_dim", "warm_start"]
            recipe = dataclasses.replace(self, **{name: getattr(fast, name) for name in names})
        if recipe.negatives == "full" and n_users and n_items:
            recipe = recipe._for_long_epochs(n_users, n_items)
        elif recipe.negatives != "full" and recipe.refit:
            epochs = min(recipe.epochs, max(MIN_EPOCHS, ROWS_OF_ALL_EPOCHS // n_rows))
            trial_epochs = min(recipe.trial_epochs, max(1, ROWS_OF_TRIAL // n_rows))
            recipe = dataclasses.replace(recipe, epochs=epochs, trial_epochs=trial_epochs)
        return recipe

    def _for_long_epochs(self, n_users: int, n_items: int) -> "Recipe":
        """Return the recipe of a full softmax with fewer epochs and shorter trials if an epoch has very many steps."""
        most = LOGITS_OF_ALL_EPOCHS // (n_users * n_items)
        epochs = max((length for length in self.lengths if length <= most), default=self.lengths[0])
        n_steps = math.ceil(n_users / self.users_per_batch(n_users, n_items))
        trial_epochs = min(self.trial_epochs, math.ceil(TRIAL_STEPS / n_steps))
        return dataclasses.replace(self, epochs=epochs, trial_epochs=trial_epochs)


RECENCY = tuple((strength, half_life) for half_life in (0.5, 2.0, 8.0) for strength in (0.25, 1.0, 4.0))
RECIPES: dict[str, Recipe] = {
    "author": Recipe(  # the described system
        "author", dim=15, negatives="uniform", n_negatives=20, batch_size=1024, learning_rate=100.0, epochs=50,
        patience=3, loss="softmax", similarity="dot", optimizer="sgd", schedule="constant", grid=((1.0, 1.0),),
        mask_accidental_hits=False, refit=False,
    ),
    "fast": Recipe(
        "fast", dim=64, negatives="shared", n_negatives=1024, batch_size=2048, learning_rate=0.01, epochs=16,
        patience=3, grid=((0.12, 1.0),),
    ),
    "best": Recipe(
        "best", dim=128, negatives="full", n_negatives=ACCURACY_NEGATIVES, batch_size=512, learning_rate=0.02,
        epochs=48, patience=48, grid=((0.07, 1.0), (0.1, 1.0), (0.15, 1.0), (0.2, 1.0)), gammas=(1.15, 1.3),
        trial_epochs=8, first_epochs=8, warm_start=True, recency=RECENCY, next_dim=120, next_epochs=2,
        next_shares=(0.2, 0.35, 0.5, 0.65), spectral_dim=64, spectral_shares=(0.4, 0.6, 0.75, 0.9),
        trends=(0.02, 0.05, 0.1, 0.15, 0.25), evaluate_every=4,
    ),
}  # fmt: skip
NAMES = (*RECIPES, "tuned")  # the last is what recsys.training.tuning finds
