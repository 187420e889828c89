"""The sixteen findings about the author's notebook: what is measured of each here, and where it is prevented."""

import pandas as pd

from recsys.audit.checks import Check
from recsys.audit.measures import Measure

# finding, the measures or checks that tell of it, and the place in our code that prevents it
FINDINGS = (
    ("the metric flatters", ("place that the accuracy asks for", "popularity alone"),
     "evaluation.evaluate ranks all songs"),
    ("ties count as hits", ("ties counted as hits",), "evaluation.sampled_accuracy, metrics.hits"),
    ("an unknown id gets the last one's vector", ("no unknown user gets another's scores",),
     "model.SimpleRecommender.known, .user_codes, .item_codes"),
    ("untrained songs are easy negatives", ("given away by untrained songs",), "recipes.Recipe, pool train"),
    ("a negative may be the positive, or liked", ("accidental hits",), "evaluation.evaluate draws no negatives"),
    ("validation negatives change", ("no candidates change between epochs",), "training: one key for all epochs"),
    ("the best model is not the one evaluated", ("no model learnt from other rows",),
     "training.train, model.load, model.SimpleRecommender.get_config"),
    ("dot product favours long vectors", ("vector length against popularity",),
     "model.SimpleRecommender.neighbours, by cosine"),
    ("the step changes with the batch", (), "recipes.Recipe.override keeps the step per row"),
    ("prose was typed by hand", (), "answers and measures compute every sentence"),
    ("song ids are forced into int32", ("song ids",), "prepare codes ids of any kind"),
    ("what split, and repeats in both parts", ("repeats", "no event stands in two parts"),
     "split.Split.relevant, audit.check_split"),
    ("the 30 seconds never enter", ("skips",), "prepare.prepare, POSITIVES"),
    ("validation above train, by a running mean", ("train, measured at the end, above its running mean",),
     "training measures both alike, at the epoch's end"),
    ("compared with other metrics on other data", ("pairs of models out of order",), "evaluation.compare"),
    ("the query is not among its neighbours", ("no song is its own neighbour",),
     "model.SimpleRecommender.neighbours leaves it out"),
)  # fmt: skip


def findings(measures: list[Measure], checks: list[Check]) -> pd.DataFrame:
    """Return the findings by number, as text: finding, measured here, prevented in (module and function).

    Measured is what a measure says or a check counts; what neither knows is impossible here.
    """
    known = [(each.name, each.sentence) for each in measures]
    known += [(each.name, f"Checked: {each.name}; {each.count:,} found.") for each in checks]
    rows = []
    for finding, names, prevented in FINDINGS:
        said = [text for name in names for key, text in known if key == name or key.endswith(f": {name}")]
        rows.append((finding, " ".join(said) or "impossible here", prevented))
    columns = ["finding", "measured here", "prevented in"]
    return pd.DataFrame(rows, columns=columns, index=pd.RangeIndex(1, len(rows) + 1))
