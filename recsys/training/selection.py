"""The phases of a training: trials of settings, the training itself, what is added to it, and the refit."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training import additions, next_song
from recsys.training.additions import ADDITIONS, NDCG, Tables
from recsys.training.history import TrainingHistory
from recsys.training.loop import Loop
from recsys.training.next_song import NextSongLoop
from recsys.training.recipes import Recipe
from recsys.training.spectral import spectral_vectors
from recsys.training.workers import validation_ndcg, validation_ndcg_by_user

SETTINGS = ("temperature", "gamma")
GAIN = 1.01  # another gamma must gain 1 % in its trial, as a few epochs flatter a large gamma
N_GROUPS = 20  # of users, whose means tell how certain a choice is
NEXT_SONG, REFIT, REFIT_NEXT_SONG = "next-song part", "refit", "refit of the next-song part"  # names of phases
Point = TypeVar("Point")


def fit(loop: Loop, history: TrainingHistory, split: Split) -> Embeddings:
    """Make every choice on validation; with a refit, train once more on train and validation with these choices.

    Returns the trained model. A phase that a stopped training has behind it is not run again.
    """
    recipe, facts, stopped_in = loop.recipe, history.facts, history.phase
    rows = split.pairs("train") if recipe.refit else split.train
    if len(recipe.grid) + len(recipe.gammas) > 1:
        _try_settings(loop, history, split, rows)
    history.note(**_best_settings(recipe, facts.get("trials", [])))
    if stopped_in not in (REFIT, REFIT_NEXT_SONG):
        if stopped_in != NEXT_SONG:
            _choose_length(loop, history, split, rows)
        if recipe.adds:
            _choose_additions(loop, history, split)
    if not recipe.refit:
        loop.model.set_weights(history.best_weights)
        return loop.model
    return _refit(loop, history, split, stopped_in)


def _try_settings(loop: Loop, history: TrainingHistory, split: Split, rows: Interactions | Stored) -> None:
    """Climb along the grid, then with the best temperature along the gammas; each trial takes a few epochs."""
    recipe, trials = loop.recipe, history.facts.setdefault("trials", [])
    epochs = min(recipe.trial_epochs, recipe.epochs)

    def ndcg_of(pair: tuple[float, float]) -> float:
        settings = dict(zip(SETTINGS, pair, strict=True))
        if before := [trial[NDCG] for trial in trials if settings.items() <= trial.items()]:
            return before[0]
        history.begin(f"trial {len(trials) + 1}", rows, settings, epochs)
        while loop.epoch < epochs:
            _train_epoch(history)
        by_user = validation_ndcg_by_user(loop.model, split)
        ndcg, n_groups = float(by_user.mean()), min(N_GROUPS, len(by_user))
        groups = [float(by_user[number::n_groups].mean()) for number in range(n_groups)]
        trials.append(settings | {"epochs": epochs, NDCG: ndcg, "groups": groups, "seconds": history.since("phase")})
        history.note()
        history.log(f"{history.phase}: temperature {pair[0]}, gamma {pair[1]}, NDCG@20 on validation {ndcg:.4f}")
        return ndcg

    temperature, gamma = climb(recipe.grid, (len(recipe.grid) - 1) // 2, ndcg_of)
    climb([(temperature, each) for each in (gamma, *recipe.gammas)], 0, ndcg_of)


def _train_epoch(history: TrainingHistory) -> dict[str, float]:
    """Train the next epoch of a phase that is evaluated at its end only, and log it."""
    epoch, loop = history.train_epoch(), history.loop
    history.log(f"{history.phase}: epoch {loop.epoch} of {loop.epochs}, loss {epoch['loss']:.4f}", moving=True)
    return epoch


def climb(points: Sequence[Point], first: int, value: Callable[[Point], float]) -> Point:
    """Return the point with the highest value, where values rise along the points up to one and fall after it.

    Starts at the point with number `first`, and goes to the side where values rise, until they fall.
    """
    place, highest = first, value(points[first])
    for step in (1, -1):
        while 0 <= place + step < len(points) and (other := value(points[place + step])) > highest:
            place, highest = place + step, other
        if place != first:
            break
    return points[place]


def _best_settings(recipe: Recipe, trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of the best trial, and its lead over the second with the standard error of that."""
    if not trials:
        return {"settings": dict(zip(SETTINGS, recipe.grid[0], strict=True))}
    usual = {gamma for _, gamma in recipe.grid}
    best = max(trials, key=lambda trial: trial[NDCG] / (1 if trial["gamma"] in usual else GAIN))
    second = max((trial for trial in trials if trial is not best), key=lambda trial: trial[NDCG])
    gains = np.subtract(best["groups"], second["groups"])
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
    lead = {"over": {name: second[name] for name in SETTINGS}, NDCG: best[NDCG] - second[NDCG], "standard_error": error}
    return {"settings": {name: best[name] for name in SETTINGS}, "lead": lead}


def _choose_length(loop: Loop, history: TrainingHistory, split: Split, rows: Interactions | Stored) -> None:
    """Train, then train with more epochs as long as that is better, and keep the last training that was."""
    facts, lengths = history.facts, loop.recipe.lengths
    tried = facts.setdefault("lengths", [])
    for length in lengths[len(tried) :]:
        _train(loop, history, split, rows, length)
        better = not tried or _beats_kept(loop, history, split)
        tried.append({"epochs": length, NDCG: history.epochs[-1].get(f"val_{NDCG}")})
        shorter = facts.pop("epochs_of_shorter", [])
        if not better:
            facts["epochs"] = shorter
            break
        facts["length"] = length
        if len(tried) > 1:
            facts["best_epoch"] = length
            history.write_model()
        if len(tried) < len(lengths):
            history.best_weights = loop.model.get_weights()
            facts |= {"epochs_of_shorter": facts["epochs"], "epochs": []}
    facts["warm_start_seconds"] = loop.warm_start_seconds
    if len(tried) > 1:
        history.best_weights = []
        figures = ", ".join(f"{each[NDCG]:.4f} with {each['epochs']}" for each in tried)
        history.log(f"{facts['length']} epochs: NDCG@20 on validation {figures}")


def _beats_kept(loop: Loop, history: TrainingHistory, split: Split) -> bool:
    """Return whether the model in training is better than the kept one; if it is not, load that."""
    weights, by_user = loop.model.get_weights(), validation_ndcg_by_user(loop.model, split)
    loop.model.set_weights(history.best_weights)
    if better := additions.is_better(by_user, validation_ndcg_by_user(loop.model, split)):
        loop.model.set_weights(weights)
    return better


def _train(loop: Loop, history: TrainingHistory, split: Split, rows: Interactions | Stored, length: int) -> None:
    """Train until validation stops improving, and keep the best epoch's model; or all epochs, and keep the last.

    After a shorter training, that one's model is kept.
    """
    recipe, facts = loop.recipe, history.facts
    stops_early, is_first = recipe.patience < recipe.epochs, not facts["lengths"]
    history.begin("" if is_first else f"training of {length} epochs", rows, facts["settings"], length)
    while loop.epoch < length and loop.epoch - (facts["best_epoch"] or loop.epoch) < recipe.patience:
        epoch = {"epoch": loop.epoch + 1, **history.train_epoch(), **loop.evaluate()}
        score, text = -np.inf, f"accuracy {epoch['val_accuracy']:.2%}"
        if not recipe.refit:
            score, text = -epoch["val_loss"], f"loss {epoch['val_loss']:.4f}, {text}"
        elif loop.epoch % recipe.evaluate_every == 0 or loop.epoch == length:
            epoch[f"val_{NDCG}"] = score = validation_ndcg(loop.model, split)
            text += f", NDCG@20 {score:.4f}"
        if score > (facts.get("best_score", -np.inf) if stops_early else -np.inf) and is_first:
            history.write_model()
            facts |= {"best_epoch": loop.epoch, "best_score": score}
            history.best_weights = [] if recipe.refit else loop.model.get_weights()
        history.end_epoch(epoch, text)


def _choose_additions(loop: Loop, history: TrainingHistory, split: Split) -> None:
    """Choose what is added. Where train is too large for memory, there is no next-song part."""
    recipe, parts = loop.recipe, dict[str, Tables]()
    fits = recipe.dim + recipe.next_dim + additions.TREND_DIM <= additions.MAX_DIM
    if recipe.next_dim and fits and split.has_order and isinstance(split.train, Interactions):
        history.best_weights = history.best_weights or loop.model.get_weights()  # kept if the training is stopped
        parts["next_song"] = _train_next_song(loop, history, split, NEXT_SONG, "train")
    additions.choose(history, recipe, split, history.best_weights or loop.model.get_weights(), parts)
    history.best_weights = []


def _train_next_song(loop: Loop, history: TrainingHistory, split: Split, phase: str, *parts: str) -> Tables:
    """Train the next-song part on the parts, and return its vectors of users and songs."""
    part, epochs = NextSongLoop(split, loop.recipe, loop.seed, loop.xla), loop.recipe.next_epochs
    history.attach(part)
    history.begin(phase, split.in_order(*parts), next_song.SETTINGS, epochs)
    if part.n_drawn < split.n_items:
        history.log(f"{phase}: each step compares with {part.n_drawn:,} of {split.n_items:,} songs, drawn at random")
    speed = 0.0
    while part.epoch < epochs:
        speed = max(speed, _train_epoch(history)["rows_per_second"])
    if speed:  # of the fastest epoch, as the first one compiles
        history.facts.setdefault("part_seconds", {}).setdefault("next_song", round(epochs * part.n_rows / speed, 3))
    history.attach(loop)
    return part.vectors(split.n_users)


def _refit(loop: Loop, history: TrainingHistory, split: Split, stopped_in: str) -> Embeddings:
    """Train from the start on train and validation, for as many epochs as were best, and add what was chosen."""
    facts, both, parts = history.facts, ("train", "validation"), dict[str, Tables]()
    refit_losses = facts.setdefault("refit_losses", [])
    if stopped_in != REFIT_NEXT_SONG:
        history.begin(REFIT, split.pairs(*both), facts["settings"], facts["length"])
        while loop.epoch < facts["best_epoch"]:
            refit_losses.append(_train_epoch(history)["loss"])
        history.note(refit_seconds=history.since("phase"))
    chosen = {name: facts[name] for name in ADDITIONS}
    before = 0.0  # this phase
    if chosen["next_song"]:
        history.best_weights, before = history.best_weights or loop.model.get_weights(), facts["refit_seconds"]
        parts["next_song"] = _train_next_song(loop, history, split, REFIT_NEXT_SONG, *both)
    tables = history.best_weights or loop.model.get_weights()
    model = loop.model
    if any(chosen.values()):
        rows = additions.rows_for(split, *both)
        if chosen["spectral"]:
            parts["spectral"] = spectral_vectors(split.seen(*both), loop.recipe.spectral_dim)
        model = additions.extended(model, additions.add(tables, rows, parts, **chosen))
    history.write_model(model)
    seconds = round(before + history.since("phase"), 3)
    history.note(refit=True, n_parameters=model.count_params(), refit_seconds=seconds)
    history.log(f"refit on train and validation: loss {refit_losses[-1]:.4f}, {facts['refit_seconds']:.1f} s")
    return model
