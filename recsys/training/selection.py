"""The phases of a training: trials of settings, the training itself, recency weighting, and the refit."""

import numpy as np

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.models.embeddings import Embeddings
from recsys.training.history import TrainingHistory
from recsys.training.loop import Loop
from recsys.training.recency import recency_weights, with_recency
from recsys.training.recipes import Recipe

NDCG = "ndcg@20"  # on validation: the metric of all choices
GAIN = 1.01  # another gamma must gain 1 % in its trial, as a few epochs flatter a large gamma


def fit(loop: Loop, history: TrainingHistory, split: Split) -> None:
    """Make every choice on validation; with a refit, train once more on train and validation with these choices."""
    recipe, facts = loop.recipe, history.facts
    rows = split.pairs("train") if recipe.refit else split.train
    if len(recipe.grid) + len(recipe.gammas) > 1:
        _try_settings(loop, history, split, rows)
    history.note(settings=_best_settings(recipe, facts.get("trials", [])))
    if history.phase != "refit":
        _train(loop, history, split, rows)
        _choose_recency(loop, history, split)
    if recipe.refit:
        _refit(loop, history, split)
    else:
        loop.model.set_weights(history.best_weights)


def _try_settings(loop: Loop, history: TrainingHistory, split: Split, rows: Interactions | Stored) -> None:
    """Try each pair of temperature and gamma for a few epochs, then the best temperature with the other gammas."""
    recipe, trials = loop.recipe, history.facts.setdefault("trials", [])
    n_pairs, epochs = len(recipe.grid), min(recipe.trial_epochs, recipe.epochs)
    n = n_pairs + len(recipe.gammas)
    while len(trials) < n:
        if len(trials) < n_pairs:
            temperature, gamma = recipe.grid[len(trials)]
        else:
            temperature = max(trials[:n_pairs], key=lambda trial: trial[NDCG])["temperature"]
            gamma = recipe.gammas[len(trials) - n_pairs]
        settings = {"temperature": temperature, "gamma": gamma}
        history.begin(f"trial {len(trials) + 1} of {n}", rows, settings, epochs)
        while loop.epoch < epochs:
            history.train_epoch()
        ndcg = validation_ndcg(loop.model, split)
        trials.append(settings | {"epochs": epochs, NDCG: ndcg, "seconds": history.since("phase")})
        history.note()
        history.log(f"{history.phase}: temperature {temperature}, gamma {gamma}, NDCG@20 on validation {ndcg:.4f}")


def _best_settings(recipe: Recipe, trials: list[dict[str, float]]) -> dict[str, float]:
    if not trials:
        return dict(zip(("temperature", "gamma"), recipe.grid[0], strict=True))
    best = max(trials, key=lambda trial: trial[NDCG] / (1 if trial in trials[: len(recipe.grid)] else GAIN))
    return {name: best[name] for name in ("temperature", "gamma")}


def _train(loop: Loop, history: TrainingHistory, split: Split, rows: Interactions | Stored) -> None:
    """Train until validation stops improving, and keep the best epoch's model; or all epochs, and keep the last."""
    recipe, facts = loop.recipe, history.facts
    history.begin("", rows, facts["settings"], recipe.epochs)
    while loop.epoch < recipe.epochs and loop.epoch - (facts["best_epoch"] or loop.epoch) < recipe.patience:
        epoch = {"epoch": loop.epoch + 1, **history.train_epoch(), **loop.evaluate()}
        score, text = -np.inf, f"accuracy {epoch['val_accuracy']:.2%}"
        if not recipe.refit:
            score, text = -epoch["val_loss"], f"loss {epoch['val_loss']:.4f}, {text}"
        elif loop.epoch % recipe.evaluate_every == 0 or loop.epoch == recipe.epochs:
            epoch[f"val_{NDCG}"] = score = validation_ndcg(loop.model, split)
            text += f", NDCG@20 {score:.4f}"
        if score > (facts.get("best_score", -np.inf) if recipe.patience < recipe.epochs else -np.inf):
            history.write_model()
            facts |= {"best_epoch": loop.epoch, "best_score": score}
            history.best_weights = [] if recipe.refit else loop.model.get_weights()
        history.end_epoch(epoch, text)


def _choose_recency(loop: Loop, history: TrainingHistory, split: Split) -> None:
    """Choose the recency weighting, or none, that is best on validation. Nothing is tried if the order is not known."""
    if not loop.recipe.recency or not split.has_order:
        return
    rows = split.warm("train")
    weights, without = loop.model.get_weights(), validation_ndcg(loop.model, split)
    trials: list[dict[str, float]] = [{NDCG: without}]
    for strength, half_life in loop.recipe.recency:
        loop.model.set_weights(weights)
        _apply_recency(loop.model, rows, strength, half_life)
        trials.append({"strength": strength, "half_life": half_life, NDCG: validation_ndcg(loop.model, split)})
        history.check_interrupt()
    best = max(trials, key=lambda trial: trial[NDCG])
    history.note(recency={name: value for name, value in best.items() if name != NDCG}, recency_trials=trials)
    chosen = "strength {strength}, half-life {half_life} listens".format(**best) if len(best) > 1 else "none"
    history.log(f"recency weighting: {chosen}, NDCG@20 on validation {best[NDCG]:.4f} (without it {without:.4f})")


def _apply_recency(model: Embeddings, rows: Interactions, strength: float, half_life: float) -> None:
    users, songs = model.get_weights()
    weights = recency_weights(rows, model.n_users, model.n_items, half_life)
    model.set_weights([with_recency(users, songs, weights, strength), songs])


def _refit(loop: Loop, history: TrainingHistory, split: Split) -> None:
    """Train from the start on train and validation, for as many epochs as were best."""
    facts = history.facts
    history.begin("refit", split.pairs("train", "validation"), facts["settings"], loop.recipe.epochs)
    refit_losses = facts.setdefault("refit_losses", [])
    while loop.epoch < facts["best_epoch"]:
        refit_losses.append(history.train_epoch()["loss"])
    if facts["recency"]:
        _apply_recency(loop.model, split.warm("train", "validation"), **facts["recency"])
    history.write_model()
    history.note(refit=True, refit_seconds=history.since("phase"))
    history.log(f"refit on train and validation: loss {refit_losses[-1]:.4f}, {facts['refit_seconds']:.1f} s")
