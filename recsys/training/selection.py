"""The phases of a training: trials of settings, the training itself, what is added to it, and the refit."""

import numpy as np

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.models.embeddings import Embeddings
from recsys.training import next_song
from recsys.training.additions import ADDITIONS, MAX_DIM, NDCG, TREND_DIM, Tables, add, choose, extended, rows_for
from recsys.training.history import TrainingHistory
from recsys.training.loop import Loop
from recsys.training.next_song import NextSongLoop
from recsys.training.recipes import Recipe
from recsys.training.spectral import spectral_vectors

GAIN = 1.01  # another gamma must gain 1 % in its trial, as a few epochs flatter a large gamma
NEXT_SONG, REFIT, REFIT_NEXT_SONG = "next-song part", "refit", "refit of the next-song part"  # names of phases


def fit(loop: Loop, history: TrainingHistory, split: Split) -> Embeddings:
    """Make every choice on validation; with a refit, train once more on train and validation with these choices.

    Returns the trained model. A phase that a stopped training has behind it is not run again.
    """
    recipe, facts, stopped_in = loop.recipe, history.facts, history.phase
    rows = split.pairs("train") if recipe.refit else split.train
    if len(recipe.grid) + len(recipe.gammas) > 1:
        _try_settings(loop, history, split, rows)
    history.note(settings=_best_settings(recipe, facts.get("trials", [])))
    if stopped_in not in (REFIT, REFIT_NEXT_SONG):
        if stopped_in != NEXT_SONG:
            _train(loop, history, split, rows)
        if recipe.adds:
            _choose_additions(loop, history, split)
    if not recipe.refit:
        loop.model.set_weights(history.best_weights)
        return loop.model
    return _refit(loop, history, split, stopped_in)


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


def _choose_additions(loop: Loop, history: TrainingHistory, split: Split) -> None:
    """Choose what is added. Where train is too large for memory, there is no next-song part."""
    recipe, parts = loop.recipe, dict[str, Tables]()
    fits = recipe.dim + recipe.next_dim + TREND_DIM <= MAX_DIM
    if recipe.next_dim and fits and split.has_order and isinstance(split.train, Interactions):
        history.best_weights = history.best_weights or loop.model.get_weights()  # kept if the training is stopped
        parts["next_song"] = _train_next_song(loop, history, split, NEXT_SONG, "train")
    choose(history, recipe, split, history.best_weights or loop.model.get_weights(), parts)
    history.best_weights = []


def _train_next_song(loop: Loop, history: TrainingHistory, split: Split, phase: str, *parts: str) -> Tables:
    """Train the next-song part on the parts, and return its vectors of users and songs."""
    part, epochs = NextSongLoop(split, loop.recipe, loop.seed, loop.xla), loop.recipe.next_epochs
    history.attach(part)
    history.begin(phase, split.in_order(*parts), next_song.SETTINGS, epochs)
    while part.epoch < epochs:
        loss = history.train_epoch()["loss"]
        history.log(f"{phase}: epoch {part.epoch} of {epochs}, loss {loss:.4f}", moving=True)
    history.attach(loop)
    return part.vectors(split.n_users)


def _refit(loop: Loop, history: TrainingHistory, split: Split, stopped_in: str) -> Embeddings:
    """Train from the start on train and validation, for as many epochs as were best, and add what was chosen."""
    facts, both, parts = history.facts, ("train", "validation"), dict[str, Tables]()
    refit_losses = facts.setdefault("refit_losses", [])
    if stopped_in != REFIT_NEXT_SONG:
        history.begin(REFIT, split.pairs(*both), facts["settings"], loop.recipe.epochs)
        while loop.epoch < facts["best_epoch"]:
            refit_losses.append(history.train_epoch()["loss"])
        history.note(refit_seconds=history.since("phase"))
    chosen = {name: facts[name] for name in ADDITIONS}
    if chosen["next_song"]:
        history.best_weights = history.best_weights or loop.model.get_weights()
        parts["next_song"] = _train_next_song(loop, history, split, REFIT_NEXT_SONG, *both)
        facts["refit_seconds"] += history.since("phase")
    tables = history.best_weights or loop.model.get_weights()
    model = loop.model
    if any(chosen.values()):
        rows = rows_for(split, *both)
        if chosen["spectral"]:
            parts["spectral"] = spectral_vectors(rows, split.n_users, split.n_items, loop.recipe.spectral_dim)
        model = extended(model, add(tables, rows, parts, **chosen))
    history.write_model(model)
    history.note(refit=True, n_parameters=model.count_params())
    history.log(f"refit on train and validation: loss {refit_losses[-1]:.4f}, {facts['refit_seconds']:.1f} s")
    return model
