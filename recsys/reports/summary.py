"""The answer of a report as plain values: what `03_evaluate` finds, and the first page shows."""

from typing import Any

import numpy as np

from recsys.audit.checks import Check
from recsys.audit.measures import Measured
from recsys.audit.warnings import AlikeHistories
from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation
from recsys.evaluation.sampled import NEGATIVES
from recsys.reports import narrative
from recsys.reports.exploration import label, most_played

LIST, HISTORY = 6, 3  # songs of the listener that are shown: recommended, and played before
WIDTH = 48  # characters of a song


def summarise(
    evaluation: Evaluation, accuracy: dict[str, dict[str, Any]], measures: Measured, checks: list[Check],
    alike: AlikeHistories | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the headline, the sentences by topic and all together, and what the first page draws, ready for JSON.

    `alike` are the users with alike histories, if they were looked for.
    """
    topics = {
        "lead": narrative.lead_sentences(evaluation, checks),
        "compared": [narrative.leader_sentence(evaluation)] if evaluation.validation else [],
        "worth": narrative.accuracy_sentences(accuracy, measures),
        "account": [narrative.account_sentence(evaluation.split)],
        "odd": narrative.warning_sentences(evaluation.split.manifest, alike),
        "checked": [narrative.checks_sentence(checks)],
    }
    return {
        "headline": narrative.headline(evaluation, checks),
        "sentences": list(dict.fromkeys(sentence for topic in topics.values() for sentence in topic)),
        **topics,
        "flow": flow(evaluation.split),
        "accuracy": accuracy_curves(evaluation, accuracy, measures),
        "checks": [{"name": check.name, "passed": check.passed} for check in checks],
        "listener": one_listener(evaluation),
    }


def flow(split: Split) -> dict[str, int]:
    """Return the numbers of rows read, of listens kept and in each part, and of users and songs in train."""
    steps = split.manifest.get("steps", [])
    kept = {part: len(getattr(split, part)) for part in PARTS}
    kept["test"] = split.test_sample.get("rows", kept["test"])
    rows = {"rows": steps[0]["rows_in"] if steps else sum(kept.values()), "listens": sum(kept.values())}
    return {**rows, **kept, "users": split.n_users, "songs": split.n_items}


def accuracy_curves(
    evaluation: Evaluation, accuracy: dict[str, dict[str, Any]], measures: Measured
) -> dict[str, Any]:
    """Return the 1-of-21 accuracy of the described system, and its curve, that of the leader and of popularity.

    A curve is the expected accuracy by the number of random songs. Without the described system, the model of the
    equivalent rank takes its place.
    """
    curves = measures.sweep.pivot(index="negatives", columns="model", values="value")
    model = measures["equivalent_rank"].model
    names = dict.fromkeys([model, evaluation.leader, "popularity"])
    return {
        "model": model,
        "value": float(accuracy[model]["tie_fair"]["value"]),
        "negatives": [int(n) for n in curves.index],
        "curves": {name: curves[name].round(4).tolist() for name in names if name in curves},
        "mark": NEGATIVES,
    }


def one_listener(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the leader offers a typical listener: the one whose NDCG@20 is nearest to the mean."""
    split, best = evaluation.split, evaluation.leader
    values = evaluation.per_user[best][MAIN_METRIC]
    row = int(np.abs(values - values.mean()).to_numpy().argmin())
    ranking = evaluation.rankings[best]
    items, user = ranking.items[row, :20], int(ranking.users[row])
    found = np.isin(items, split.relevant()[[user]].indices)
    played = zip(*most_played(split, user, HISTORY), strict=True)
    return {
        "model": best,
        "ndcg": float(values.iloc[row]),
        "found": int(found.sum()),
        "played": [{"song": label(split, item, WIDTH), "times": int(n)} for item, n in played],
        "list": [
            {"song": label(split, item, WIDTH), "found": bool(hit)}
            for item, hit in zip(items[:LIST], found[:LIST], strict=True) if item >= 0
        ],
    }  # fmt: skip
