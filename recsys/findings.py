"""The sixteen findings about the author's notebook: what is measured of each here, and where it is prevented."""

from typing import Any

import pandas as pd

from recsys.answers import percent
from recsys.audit import Check
from recsys.evaluation import Evaluation
from recsys.measures import Measure
from recsys.split import Split


def findings(
    split: Split,
    evaluation: Evaluation,
    sampled: dict[str, dict[str, Any]],
    measures: list[Measure],
    checks: list[Check],
) -> pd.DataFrame:
    """Return the findings by number, as text: finding, measured here, prevented in (module and function).

    Measured is what a measure says or a check counts; what neither knows is impossible here.
    """
    known = {each.name: each.sentence for each in measures}
    known |= {each.name: f"Checked: {each.name}; {each.count:,} found." for each in checks}

    def said(*names: str) -> str:
        found = [text for name in names for key, text in known.items() if key == name or key.endswith(f": {name}")]
        return " ".join(found) or "impossible here"

    gain = {name: each["as_author"]["value"] - each["tie_fair"]["value"] for name, each in sampled.items()}
    flattered = max(gain, key=gain.get)
    author, fair = (percent(sampled[flattered][key]["value"], 2) for key in ("as_author", "tie_fair"))
    ids, ranked = split.items["item_id"], len(evaluation.rankings)
    largest = f"the largest song id is {ids.max():,}" if ids.dtype.kind in "iu" else "song ids are text"
    rows = [
        ("the metric flatters", said("place that the accuracy asks for", "popularity alone"),
         "evaluation.evaluate ranks all songs"),
        ("ties count as hits", f"{flattered} gets {author} as the author counts and {fair} with ties shared.",
         "evaluation.sampled_accuracy, metrics.hits"),
        ("an unknown id gets the last one's vector", said("no unknown user gets another's scores"),
         "model.SimpleRecommender.known, .user_codes, .item_codes"),
        ("untrained songs are easy negatives", said("given away by untrained songs"), "recipes.Recipe, pool train"),
        ("a negative may be the positive, or liked", said("accidental hits"), "evaluation.evaluate draws no negatives"),
        ("validation negatives change", said("no candidates change between epochs"),
         "training: one key for all epochs"),
        ("the best model is not the one evaluated", said("no model learnt from other rows"),
         "training.train, model.load, model.SimpleRecommender.get_config"),
        ("dot product favours long vectors", said("vector length against popularity"),
         "model.SimpleRecommender.neighbours, by cosine"),
        ("the step changes with the batch", said("step"), "recipes.Recipe.override keeps the step per row"),
        ("prose was typed by hand", said("prose"), "answers, measures, findings compute every sentence"),
        ("song ids are forced into int32", f"{largest}; codes go up to {split.n_items_all - 1:,}.",
         "prepare codes ids of any kind"),
        ("what split, and repeats in both parts", f"Split {split.manifest.get('split')}. "
         + said("repeats", "no event stands in two parts"), "split.Split.relevant, audit.check_split"),
        ("the 30 seconds never enter", said("skips"), "prepare.prepare, POSITIVES"),
        ("validation above train, by a running mean", said("train, measured at the end, above its running mean"),
         "training measures both alike, at the epoch's end"),
        ("compared with other metrics on other data",
         f"{ranked} models on the same {evaluation.n_users:,} listeners and {split.n_items:,} songs.",
         "evaluation.compare"),
        ("the query is not among its neighbours", said("no song is its own neighbour"),
         "model.SimpleRecommender.neighbours leaves it out"),
    ]  # fmt: skip
    columns = ["finding", "measured here", "prevented in"]
    return pd.DataFrame(rows, columns=columns, index=pd.RangeIndex(1, len(rows) + 1))
