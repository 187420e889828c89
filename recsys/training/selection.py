"""The phases of a training: settings tried on validation, the training itself, the pull, the refit on both parts."""

import numpy as np

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.evaluation.evaluate import validation_ndcg
from recsys.models.embeddings import Embeddings
from recsys.training.history import Record
from recsys.training.recency import recency_weights, with_recency
from recsys.training.sampled_softmax import SampledLoop

NDCG = "ndcg@20"  # what choices are made on
GAIN = 1.01  # another gamma has to bring so much in a trial, as its few epochs flatter a large one


def fit(loop: SampledLoop, record: Record, split: Split) -> None:
    """Choose on validation, train until it stops improving, and where the recipe says so once more on both parts."""
    recipe, history = loop.recipe, record.history
    rows = split.pairs("train") if recipe.refit else split.train
    if len(recipe.grid) + len(recipe.gammas) > 1:
        _try_out(loop, record, split, rows)
    settings = dict(zip(("temperature", "gamma"), recipe.grid[0], strict=True))
    if trials := history.get("trials"):
        best = max(trials, key=lambda trial: trial[NDCG] / (1 if trial in trials[: len(recipe.grid)] else GAIN))
        settings = {name: best[name] for name in settings}
    record.note(settings=settings)
    if record.phase != "refit":
        _run(loop, record, split, rows, settings)
        _choose_pull(loop, record, split)
    if not recipe.refit:
        loop.model.set_weights(record.best)
        return
    record.begin("refit", split.pairs("train", "validation"), settings, recipe.epochs)
    history.setdefault("refit_losses", [])
    while loop.epoch < history["best_epoch"]:
        history["refit_losses"].append(record.learn()["loss"])
    with loop.averaged():
        if history["latest"]:
            _pull(loop.model, split.warm("train", "validation"), **history["latest"])
        record.keep()
        final = loop.model.get_weights()
    loop.model.set_weights(final)
    record.note(refit=True, refit_seconds=record.since("phase"))
    last, seconds = history["refit_losses"][-1], history["refit_seconds"]
    record.say(f"refitted on train and validation, loss {last:.4f}, {seconds:.1f} s")


def _try_out(loop: SampledLoop, record: Record, split: Split, rows: Interactions | Stored) -> None:
    """Try each pair of temperature and gamma for a few epochs, then the best temperature with the other gammas."""
    recipe, trials = loop.recipe, record.history.setdefault("trials", [])
    n, epochs = len(recipe.grid) + len(recipe.gammas), min(recipe.trial_epochs, recipe.epochs)
    while len(trials) < n:
        if len(trials) < len(recipe.grid):
            temperature, gamma = recipe.grid[len(trials)]
        else:
            temperature = max(trials[: len(recipe.grid)], key=lambda trial: trial[NDCG])["temperature"]
            gamma = recipe.gammas[len(trials) - len(recipe.grid)]
        settings = {"temperature": temperature, "gamma": gamma}
        record.begin(f"trial {len(trials) + 1} of {n}", rows, settings, epochs)
        while loop.epoch < epochs:
            record.learn()
        with loop.averaged():
            ndcg = validation_ndcg(loop.model, split)
        trials.append(settings | {"epochs": epochs, NDCG: ndcg, "seconds": record.since("phase")})
        record.note()
        record.say(f"{record.phase}, temperature {temperature}, gamma {gamma}: {NDCG} on validation {ndcg:.4f}")


def _choose_pull(loop: SampledLoop, record: Record, split: Split) -> None:
    """Note the pull towards the latest songs, and its half-life, that are best on validation; none may be best."""
    record.note(latest={}, pulls=[])
    rows = split.warm("train")
    if not loop.recipe.latest or rows.timestamp is None:
        return
    with loop.averaged():
        plain = loop.model.get_weights()
        tried = [{NDCG: validation_ndcg(loop.model, split)}]
        for pull, half_life in loop.recipe.latest:
            loop.model.set_weights(plain)
            _pull(loop.model, rows, pull, half_life)
            tried.append({"pull": pull, "half_life": half_life, NDCG: validation_ndcg(loop.model, split)})
            record.hear()
    best = max(tried, key=lambda each: each[NDCG])
    record.note(latest={name: value for name, value in best.items() if name != NDCG}, pulls=tried)
    how = f"pulled by {best['pull']} with a half-life of {best['half_life']} listens" if len(best) > 1 else "not pulled"
    record.say(
        f"users {how}: {NDCG} on validation {best[NDCG]:.4f}, {tried[0][NDCG]:.4f} without a pull to their latest songs"
    )


def _pull(model: Embeddings, rows: Interactions, pull: float, half_life: float) -> None:
    users, songs = model.get_weights()
    weights = recency_weights(rows, model.n_users, model.n_items, half_life)
    model.set_weights([with_recency(users, songs, weights, pull), songs])


def _run(loop: SampledLoop, record: Record, split: Split, rows: Interactions | Stored, settings: dict[str, float]) -> None:
    """Run epochs until validation stops improving; the best epoch's model is kept, or the last of a whole schedule."""
    recipe, history = loop.recipe, record.history
    record.begin("", rows, settings, recipe.epochs)
    while loop.epoch < recipe.epochs and loop.epoch - (history["best_epoch"] or loop.epoch) < recipe.patience:
        now = {"epoch": loop.epoch + 1, **record.learn()}
        with loop.averaged():
            now |= loop.judge()
            line = f"{now['val_accuracy']:.2%}"
            if not recipe.refit:
                line, worth = f"{now['val_loss']:.4f}, {line}", -now["val_loss"]
            elif loop.epoch % recipe.every == 0 or loop.epoch == recipe.epochs:
                now[f"val_{NDCG}"] = worth = validation_ndcg(loop.model, split)
                line += f", {NDCG} {worth:.4f}"
            else:
                worth = -np.inf
            if worth > (history.get("best_worth", -np.inf) if recipe.patience < recipe.epochs else -np.inf):
                record.keep()
                history |= {"best_epoch": loop.epoch, "best_worth": worth}
                record.best = [] if recipe.refit else loop.model.get_weights()
        record.end_epoch(now, line)
