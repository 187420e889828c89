"""A Jupyter-first, reproducible music recommender on plain dot-product embeddings.

Data flow through six packages, each importing only from those before it: data → evaluation → models → training →
audit → reports. The names below are all that a user needs; each is loaded on first use.
"""

from importlib import import_module

_HOMES = {
    "prepare": "recsys.workflow",
    "train": "recsys.workflow",
    "fit_baselines": "recsys.workflow",
    "evaluate": "recsys.evaluation.evaluate",
    "Recommender": "recsys.recommend",
    "Recipe": "recsys.training.recipes",
    "RECIPES": "recsys.training.recipes",
    "Split": "recsys.data.split",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'recsys' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
