"""What is added to trained vectors, each chosen on validation.

These are recency weighting, the next-song part, the spectral part and the trend. With all of them, the score is still
the cosine of a vector for each user and one for each song, of at most `MAX_DIM` numbers.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from recsys.data.interactions import Interactions
from recsys.data.split import Split
from recsys.models.baselines.scorers import Product
from recsys.models.embeddings import Embeddings
from recsys.models.recency import recency_weights
from recsys.training.history import TrainingHistory
from recsys.training.recency import directions, with_recency
from recsys.training.recipes import Recipe
from recsys.training.spectral import spectral_vectors
from recsys.training.trend import song_trend, with_trend
from recsys.training.workers import validation_ndcg_by_user

NDCG = "ndcg@20"  # on validation: the metric of all choices
Setting = dict[str, Any]
ADDITIONS = {  # in this order
    "recency": "recency weighting", "next_song": "next-song part", "spectral": "spectral part", "trend": "trend",
}  # fmt: skip
MAX_DIM, TREND_DIM = 256, 2  # numbers in a vector: at most, and those of the trend
Tables = list[np.ndarray]  # vectors of users (n_users, dim) and of songs (n_items, dim)


def with_part(tables: Tables, other: Tables, share: float) -> Tables:
    """Return vectors of two models side by side: their cosine is (1 − share) · that of `tables` + share · `other`."""
    weights = np.sqrt(np.array([1 - share, share], np.float32))
    pairs = zip(tables, other, strict=True)
    return [np.c_[weights[0] * directions(one), weights[1] * directions(two)] for one, two in pairs]


def add(tables: Tables, rows: Interactions, parts: dict[str, Tables], **chosen: Setting) -> Tables:
    """Return vectors with what was chosen, in the order of `ADDITIONS`; an empty choice adds nothing.

    `rows` are in the order of `Split.in_order`, if that is known; `parts` has the vectors of each part, by its name.
    """
    users, songs = tables
    if recency := chosen["recency"]:
        weights = recency_weights(rows, len(users), len(songs), recency["half_life"])
        users = with_recency(users, songs, weights, recency["strength"])
    for name, part in parts.items():
        if chosen[name]:
            users, songs = with_part([users, songs], part, **chosen[name])
    if trend := chosen["trend"]:
        users, songs = with_trend(users, songs, song_trend(rows, len(songs), trend["late"]), trend["beta"])
    return [users, songs]


def rows_for(split: Split, *parts: str) -> Interactions:
    """Return the warm rows of the parts, by user and time if the order is known."""
    return split.in_order(*parts) if split.has_order else split.warm(*parts)


def choose(history: TrainingHistory, recipe: Recipe, split: Split, tables: Tables, parts: dict[str, Tables]) -> None:
    """Choose each addition in turn, with those before it, by NDCG@20 on validation, and note all that was tried.

    What gains less than one standard error, over the users, is left out.
    """
    rows = rows_for(split, "train")
    if recipe.spectral_dim:
        began = time.perf_counter()
        parts = parts | {"spectral": spectral_vectors(split.seen("train"), recipe.spectral_dim)}
        seconds = history.facts.setdefault("part_seconds", {})
        seconds["spectral"] = round(time.perf_counter() - began, 3)
    chosen: dict[str, Setting] = {name: {} for name in ADDITIONS}
    for name, settings in _to_try(recipe, parts, split.has_order, rows.timestamp is not None):
        dim = add(tables, rows, parts, **chosen)[0].shape[1] + TREND_DIM
        if name in parts and dim + parts[name][0].shape[1] > MAX_DIM:
            continue
        tried, by_user = [{}, *settings], []
        for each in tried:
            users, songs = add(tables, rows, parts, **(chosen | {name: each}))
            scorer = Product.for_split(split, directions(users), directions(songs).T)
            by_user.append(validation_ndcg_by_user(scorer, split))
            history.check_interrupt()
        means = np.mean(by_user, axis=1)
        best = int(means.argmax())
        if not is_better(by_user[best], by_user[0]):
            best = 0
        chosen[name] = tried[best]
        trials = [each | {NDCG: float(mean)} for each, mean in zip(tried, means, strict=True)]
        history.note(**{name: chosen[name], f"{name}_trials": trials, "validation_ndcg": float(means[best])})
        figures = f"NDCG@20 on validation {means[best]:.4f} (without it {means[0]:.4f})"
        history.log(f"{ADDITIONS[name]}: {in_words(chosen[name])}, {figures}")


def is_better(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether `one` (users,) has a higher mean than `other`, by more than one standard error."""
    gains = one - other
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def in_words(setting: Setting) -> str:
    """Return what was chosen for an addition as text."""
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in setting.items()) or "none"


def _to_try(
    recipe: Recipe, parts: dict[str, Tables], has_order: bool, has_times: bool
) -> Iterator[tuple[str, list[Setting]]]:
    """Yield what is chosen, in order, and the settings to try for it."""
    if recipe.recency and has_order:
        yield "recency", [{"strength": strength, "half_life": half_life} for strength, half_life in recipe.recency]
    for name, shares in (("next_song", recipe.next_shares), ("spectral", recipe.spectral_shares)):
        if name in parts:
            yield name, [{"share": share} for share in shares]
    if recipe.trends and has_order:
        kinds = ("of user", "of all") if has_times else ("of user",)
        yield "trend", [{"beta": beta, "late": late} for late in kinds for beta in recipe.trends]


def extended(model: Embeddings, tables: Tables) -> Embeddings:
    """Return the model with these vectors, which may be longer than its own."""
    dim = tables[0].shape[1]
    if dim != model.length_of_embedding:
        more: dict[str, Any] = {"similarity": model.similarity, "seed": model.seed, "dtype": model.dtype_policy}
        model = Embeddings(model.user_ids, model.item_ids, dim, **more)
    model.set_weights(tables)
    return model
