"""The tables of a run's recipes on the pages: their settings, and what was chosen on validation."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from IPython.display import HTML

from recsys.evaluation.evaluate import MAIN_METRIC
from recsys.reports.narrative import model_name
from recsys.reports.tables import in_full
from recsys.training.recipes import Recipe

# settings, in words
SCORES = {"dot": "dot product", "cosine": "cosine (vectors of length one)"}
TRIED = "tried on validation"
POOLS = {"all": "all songs", "train": "the songs of train"}
DRAWN = {"uniform": "for each listen", "shared": "for each batch", "popularity": "for each batch, half by listens"}
LOSSES = {"softmax": "softmax cross-entropy", "bsl": "bilateral softmax", "bpr": "BPR", "sigmoid": "logistic loss"}
OPTIMIZERS = {"sgd": "plain gradient descent", "adagrad": "Adagrad", "adam": "Adam"}


def recipes_table(recipes: Mapping[str, Recipe]) -> HTML:
    """Return the settings of recipes side by side, in words; of several recipes only those in which they differ."""
    table = pd.DataFrame({model_name(name): _settings(recipe) for name, recipe in recipes.items()})
    if len(recipes) > 1:
        table = table[table.nunique(axis=1) > 1]
    return in_full(table.reset_index(names="setting"))


def choices_table(histories: dict[str, dict[str, Any]]) -> HTML:
    """Return what was chosen on validation for each recipe, and the size of its model."""
    columns = {}
    for name, history in histories.items():
        untried = bool(history["inputs"]["recipe"]["recency"]) and not history["recency_trials"]
        columns[model_name(name)] = {
            "temperature": f"{history['settings']['temperature']:g}",
            "γ": f"{history['settings']['gamma']:g}",
            "lead over the next best setting": _lead(history.get("lead")),
            "recency weighting": _chosen(history, "recency") + untried * ": the order of the listens is not known",
            "next-song part": _chosen(history, "next_song"),
            "spectral part": _chosen(history, "spectral"),
            "trend": _chosen(history, "trend"),
            "best epoch": f"{history['best_epoch']} of {len(history['epochs'])}{_lengths(history)}",
            "parameters": f"{history['n_parameters']:,}",
        }
    return in_full(pd.DataFrame(columns).reset_index(names="chosen"))


def _lead(lead: dict[str, Any] | None) -> str:
    """Return by how much NDCG@20 on validation is higher with the chosen settings than with others, as text."""
    if not lead:
        return "no others were tried"
    error = f", standard error {lead['standard_error']:.4f}" if lead["standard_error"] is not None else ""
    other = f"temperature {lead['over']['temperature']:g}, γ {lead['over']['gamma']:g}"
    return f"NDCG@20 {lead[MAIN_METRIC]:+.4f}{error} (over {other})"


def _lengths(history: dict[str, Any]) -> str:
    """Return the numbers of epochs that were tried, as text, if there were several."""
    lengths = [str(each["epochs"]) for each in history.get("lengths", ())]
    return f" ({', '.join(lengths[:-1])} and {lengths[-1]} epochs were tried)" if len(lengths) > 1 else ""


def _chosen(history: dict[str, Any], name: str) -> str:
    """Return what was chosen for one of `recsys.training.additions`, as text."""
    return " and ".join(f"{key.replace('_', '-')} {value}" for key, value in history.get(name, {}).items()) or "none"


def _settings(recipe: Recipe) -> dict[str, str]:
    temperatures, gammas = zip(*recipe.grid, strict=True)
    drawn = recipe.negatives != "full"
    negatives = f"{recipe.n_negatives:,} drawn from {POOLS[recipe.pool]}, {DRAWN[recipe.negatives]}" if drawn else ""
    if len(recipe.lengths) > 1:
        epochs = f"{recipe.first_epochs:,}, then twice as many while that gains, at most {recipe.epochs:,}"
    elif recipe.patience >= recipe.epochs:
        epochs = f"{recipe.epochs:,}, all are run"
    else:
        epochs = f"{recipe.epochs:,} at most; stops after {recipe.patience} without improvement"
    return {
        "numbers in a vector": f"{recipe.dim:,}",
        "score": SCORES[recipe.similarity],
        "negatives": negatives or "all songs of train",
        "loss": LOSSES[recipe.loss],
        "temperature": _choice(temperatures),
        "γ, weight of the negatives": _choice((*gammas, *recipe.gammas)),
        "optimiser": OPTIMIZERS[recipe.optimizer],
        "learning rate": f"{recipe.learning_rate:g}, {'falling to 0' if recipe.schedule == 'cosine' else 'constant'}",
        "batch": f"{recipe.batch_size:,} listens" if drawn else f"at most {recipe.batch_size:,} users",
        "first vectors": "spectral" if recipe.warm_start else "random",
        "epochs": epochs,
        "recency weighting": TRIED if recipe.recency else "none",
        "next-song part": f"{recipe.next_dim} numbers, {TRIED}" if recipe.next_dim else "none",
        "spectral part": f"{recipe.spectral_dim} numbers, {TRIED}" if recipe.spectral_dim else "none",
        "trend": TRIED if recipe.trends else "none",
        "final model": "trained again on train and validation" if recipe.refit else "trained on train",
        "precision": recipe.precision,
    }


def _choice(values: tuple[float, ...]) -> str:
    distinct = [f"{value:g}" for value in dict.fromkeys(values)]
    return f"one of {', '.join(distinct)}, chosen on validation" if len(distinct) > 1 else distinct[0]
