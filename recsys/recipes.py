"""Recipes: named settings of a training, each of which a user may override."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Recipe:
    """The author's way: sampled negatives, plain gradient descent, early stopping on the validation loss.

    `negatives` a row from a `pool` ("all" songs or those of "train"), `learning_rate` of the batch's mean. Training
    stops after `epochs`, or once the validation loss has not improved for `patience` of them.
    """

    name: str
    dim: int
    negatives: int
    pool: str
    batch_size: int
    learning_rate: float
    epochs: int
    patience: int

    def __post_init__(self):
        if self.pool not in ("all", "train"):
            raise ValueError(f"pool of negatives: expected 'all' or 'train', got {self.pool!r}")
        _check(self)

    def override(self, **settings: Any) -> "Recipe":
        """Return the recipe with other settings; 0 and "" keep its own, and another batch keeps the step per row."""
        settings = {name: value for name, value in settings.items() if value}
        rate = self.learning_rate / self.batch_size * settings.get("batch_size", self.batch_size)
        return dataclasses.replace(self, **{"learning_rate": rate, **settings})


@dataclass(frozen=True)
class FullRecipe:
    """Cosine similarity and a softmax over all songs of train, fitted by Adam on batches of up to `batch_size` users.

    The `grid` holds pairs of temperature and γ, the weight of the negatives' log-sum-exp; the pair with the best
    NDCG@20 on validation after `trial_epochs` is trained for `epochs`, then once more on train and validation.
    `learning_rate` is the highest of the schedule.
    """

    name: str
    dim: int
    batch_size: int
    learning_rate: float
    epochs: int
    trial_epochs: int
    grid: tuple[tuple[float, float], ...]
    negatives: ClassVar[int] = 20  # of the reported 1-of-21 accuracy alone: the loss takes all songs

    def __post_init__(self):
        if not self.grid or not all(value > 0 for pair in self.grid for value in pair):
            raise ValueError(f"grid: expected pairs of temperature and gamma above 0, got {self.grid!r}")
        _check(self)

    def override(self, **settings: Any) -> "FullRecipe":
        """Return the recipe with other settings; 0 and "" keep its own. Raises ValueError for a `pool`."""
        settings = {name: value for name, value in settings.items() if value}
        if pool := settings.pop("pool", ""):
            raise ValueError(f'{self.name}: expected no pool (""), as all songs of train are negatives; got {pool!r}')
        return dataclasses.replace(self, **settings)


def _check(recipe: Recipe | FullRecipe) -> None:
    for name, value in vars(recipe).items():
        if isinstance(value, int | float) and not value > 0:
            raise ValueError(f"{name}: expected more than 0, got {value!r}")


GRID = ((0.07, 1.25), (0.1, 1.25), (0.15, 1.0), (0.15, 1.25), (0.2, 1.0))
RECIPES: dict[str, Recipe | FullRecipe] = {
    "author": Recipe("author", 15, 20, "all", batch_size=1024, learning_rate=100.0, epochs=50, patience=3),
    "best": FullRecipe("best", 128, batch_size=512, learning_rate=0.015, epochs=24, trial_epochs=6, grid=GRID),
}
