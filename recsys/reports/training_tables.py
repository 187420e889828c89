"""The tables of `02_train`: the size of a model, recipes in words, and what was chosen on validation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from recsys.reports.narrative import model_name, signed
from recsys.reports.tables import headed, in_full, written
from recsys.training.recipes import Recipe

DRAWN = {
    "uniform": "for each listen", "shared": "for each batch", "popularity": "for each batch, half of them by listens",
}  # fmt: skip
LOSSES = {
    "softmax": "softmax cross-entropy", "bsl": "bilateral softmax (BSL)", "bpr": "BPR",
    "sigmoid": "binary cross-entropy",
}  # fmt: skip
OPTIMIZERS = {"sgd": "plain gradient descent", "adagrad": "Adagrad", "adam": "Adam"}


def shapes_table(model: Any) -> pd.DataFrame:
    """Return the size of the two tables of vectors of a model of `Embeddings`, and the values they start from."""
    rows = {}
    for name, table in (("users", model.user_embeddings), ("songs", model.item_embeddings)):
        values = np.asarray(table)
        size = {"rows": len(values), "numbers in a row": values.shape[1], "parameters": values.size}
        rows[name] = size | {"smallest": signed(values.min(), 3), "largest": signed(values.max(), 3)}
    return headed(pd.DataFrame(rows).T.map(written), "table")


def recipes_table(recipes: Mapping[str, Recipe]) -> HTML:
    """Return the settings of recipes side by side, in words; of several recipes only those in which they differ."""
    columns = {model_name(name): _settings(recipe) for name, recipe in recipes.items()}
    table = pd.DataFrame(columns)
    if len(recipes) > 1:
        table = table[table.nunique(axis=1) > 1]
    return in_full(table.reset_index(names="setting"))


def _settings(recipe: Recipe) -> dict[str, str]:
    temperatures, gammas = zip(*recipe.grid, strict=True)
    negatives = "all songs of train"
    if recipe.negatives != "full":
        pool = {"all": "all songs", "train": "the songs of train"}[recipe.pool]
        negatives = f"{recipe.n_negatives:,} drawn from {pool}, {DRAWN[recipe.negatives]}"
    whole = recipe.patience >= recipe.epochs
    stop = "all are run" if whole else f"at most; stops after {recipe.patience} without improvement"
    falling = ", falling to 0" if recipe.schedule == "cosine" else ", constant"
    return {
        "numbers in a vector": f"{recipe.dim:,}",
        "score": {"dot": "dot product", "cosine": "cosine (vectors of length one)"}[recipe.similarity],
        "negatives": negatives,
        "loss": LOSSES[recipe.loss],
        "temperature": _choice(temperatures),
        "γ, weight of the negatives": _choice((*gammas, *recipe.gammas)),
        "optimiser": OPTIMIZERS[recipe.optimizer],
        "learning rate": f"{recipe.learning_rate:g}{falling}",
        "batch": f"{recipe.batch_size:,} {'users' if recipe.negatives == 'full' else 'listens'}",
        "epochs": f"{recipe.epochs:,}, {stop}",
        "recency weighting": "tried on validation" if recipe.recency else "none",
        "final model": "trained again on train and validation" if recipe.refit else "trained on train",
        "precision": recipe.precision,
    }


def _choice(values: tuple[float, ...]) -> str:
    distinct = [f"{value:g}" for value in dict.fromkeys(values)]
    return f"{', '.join(distinct)}: the best on validation" if len(distinct) > 1 else distinct[0]


def choices_table(histories: dict[str, dict[str, Any]]) -> HTML:
    """Return what was chosen on validation for each recipe, and the size, time and device of its training."""
    columns = {}
    for name, history in histories.items():
        recency = " and ".join(f"{key.replace('_', '-')} {value:g}" for key, value in history["recency"].items())
        columns[model_name(name)] = {
            "temperature": f"{history['settings']['temperature']:g}",
            "γ": f"{history['settings']['gamma']:g}",
            "recency weighting": recency or "none",
            "best epoch": f"{history['best_epoch']} of {len(history['epochs'])}",
            "parameters": f"{history['n_parameters']:,}",
            "seconds": f"{history['seconds']:.1f}",
            "device": history["device"],
            "seed": str(history["seed"]),
        }
    return in_full(pd.DataFrame(columns).reset_index(names="chosen"))
