"""The sentences of the pages: each is computed from results, and stays true if two models' results are swapped."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from recsys.audit.checks import Check
from recsys.audit.measures import GUESS, QUESTIONS, K, Measure, Measured
from recsys.audit.warnings import AlikeHistories
from recsys.data.interactions import distinct
from recsys.data.split import PARTS, Split
from recsys.data.words import listing
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation
from recsys.evaluation.sampled import NEGATIVES

# unit of a measure: factor, format, text after the number
UNITS = {
    "share": (100, ".1f", " %"), "points": (100, "+z.1f", " points"), "count": (1, ",.0f", ""),
    "correlation": (1, "+z.2f", ""),
}  # fmt: skip
FEW = 200  # with fewer listeners or songs in test, a page warns that its results are uncertain
MODEL_NAMES = {
    "author": "the described system", "random": "random order", "popularity": "popularity",
    "recent": "recent popularity", "itemknn": "item kNN", "ease": "EASE", "als": "ALS", "bpr": "BPR",
    "lenskit": "LensKit", "itemknn-recent": "recent item kNN", "markov": "Markov chain",
    "markov-knn": "Markov chain + item kNN", "ceiling": "the best possible ranking",
}  # fmt: skip
RECIPE_NAMES = ("best", "fast", "tuned")  # ordinary words: in sentences they are quoted


def model_name(key: str) -> str:
    """Return the name of a model in words, such as "item kNN" for "itemknn"."""
    return MODEL_NAMES.get(key, key)


def named(key: str) -> str:
    """Return the name of a model for use in a sentence, where a recipe that is named by an ordinary word is quoted."""
    return f"“{key}”" if key in RECIPE_NAMES else model_name(key)


def percent(value: float, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def spread(share: Iterable[float], digits: int = 1) -> str:
    """Return a share and its interval as percentages."""
    value, low, high = (f"{100 * each:.{digits}f}" for each in share)
    return f"{value} % ({low} to {high})"


def answer(measure: Measure) -> str:
    """Return the value of a measure in its unit, with its interval where it has one."""
    scale, digits, unit = UNITS[QUESTIONS[measure.key][0]]
    numbers = (measure.value, measure.low, measure.high)
    value, low, high = (f"{scale * each:{digits}}".replace("-", "−") for each in numbers)
    total = f" of {measure.of:,}" if measure.of else ""
    return value + unit + total + (f" ({low} to {high})" if math.isfinite(measure.low) else "")


def signed(value: float, digits: int = 4) -> str:
    """Return a number with its sign, "−" being a true minus."""
    return f"{value:+z.{digits}f}".replace("-", "−")


def signed_spread(difference: Any) -> str:
    """Return a difference with its interval: its `value`, `low` and `high` by name."""
    return "{} ({} to {})".format(*(signed(difference[name]) for name in ("value", "low", "high")))


def bullets(sentences: Sequence[str], headline: str = "") -> str:
    """Return sentences as a Markdown list, under a bold headline if there is one. They are shown as they are."""
    return f"**{plain(headline)}**\n\n" * bool(headline) + "\n".join(f"- {plain(sentence)}" for sentence in sentences)


def plain(text: str) -> str:
    """Return a text as one line of Markdown in which nothing is markup, a link, HTML or a formula."""
    return re.sub(r"[\\`*_<>&\[\]$~|#]|:(?=//)", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def headline(evaluation: Evaluation, checks: Sequence[Check] = ()) -> str:
    """Say which model leads, the best on validation, and whether it is best on test too; first if a check failed."""
    failed = "" if all(check.passed for check in checks) else "A check failed, so do not trust this: "
    first, n_models = evaluation.leader, len(evaluation.rankings)
    value = evaluation.means.loc[(first, MAIN_METRIC), "value"]
    if first == evaluation.ordered()[0]:
        return _sentence(f"{failed}{named(first)} has the highest NDCG@20 of {n_models} models: {value:.3f}")
    best = f"{failed}{named(first)} is the best of {n_models} models on validation"
    return _sentence(f"{best}. Its NDCG@20 on test is {value:.3f}")


def lead_sentences(evaluation: Evaluation, checks: Sequence[Check] = ()) -> list[str]:
    """Say which checks failed, if listeners are few, if the headline is certain, and what it means for a listener."""
    return [
        *([] if all(check.passed for check in checks) else [checks_sentence(checks)]),
        *few_sentences(evaluation.split),
        *sample_sentences(evaluation),
        *([certainty_sentence(evaluation)] if len(evaluation.rankings) > 1 else []),
        meaning_sentence(evaluation),
    ]


def few_sentences(split: Split) -> list[str]:
    """Say how few listeners can be evaluated, and how few songs can be found, if they are few."""
    listeners, songs = split.relevant("test").nonzero()
    counts = {"listeners can be evaluated": len(distinct(listeners)), "songs can be found": len(distinct(songs))}
    few = [f"{n:,} {what}" for what, n in counts.items() if n < FEW]
    return [f"Only {listing(few)} in test. That is too few for a firm conclusion."] if few else []


def sample_sentences(evaluation: Evaluation) -> list[str]:
    """Say how many listeners of test were drawn, if not all are evaluated."""
    before = evaluation.split.test_sample
    if not before:
        return []
    drawn = len(distinct(evaluation.split.test.user))
    return [
        f"All figures on test are of {drawn:,} listeners, drawn at random from the {before['users']:,} of test. The "
        "intervals include the chance of that draw. Coverage and Gini are of the lists of these listeners."
    ]


def certainty_sentence(evaluation: Evaluation) -> str:
    """Say whether the leader is better than the others, or only seems so, or is worse than one of them."""
    others = evaluation.compared()
    gaps = {name: evaluation.difference(evaluation.leader, name, MAIN_METRIC) for name in others}
    ahead, level, behind = ([name for name in others if gaps[name].verdict == verdict]
                            for verdict in ("worse", "not distinguishable", "better"))  # fmt: skip
    nearest = (ahead or level or behind)[0]
    gap = gaps[nearest]
    in_front = gap.value < 0
    ends = (-gap.high, -gap.low) if in_front else (gap.low, gap.high)
    interval = "{:z.4f} to {:z.4f}".format(*ends).replace("-", "−")
    place = f"{named(nearest)} is {abs(gap.value):.4f} {'ahead' if in_front else 'behind'} (95 % interval {interval})"
    if ahead:
        too = f" {_sentence(f'better too: {listing([named(name) for name in ahead[1:]])}')}" if ahead[1:] else ""
        return f"On test, another model is better: {place}.{too}"
    if not level:
        others_too = " The other models are further behind." if len(others) > 1 else ""
        return f"This is not a matter of chance: {place}.{others_too}"
    more = listing([named(name) for name in level[1:]])
    rest = " The other model is" if len(behind) == 1 else f" The other {len(behind)} models are"
    if in_front:
        also = f" {_sentence(f'{more} cannot be told apart from {named(evaluation.leader)} either')}" if more else ""
        told = f"On test, {place}, which may be chance.{also}"
    else:
        told = f"This is not certain: {place}, so it may be as good." + f" So may {more}." * bool(more)
    return told + f"{rest} clearly behind." * bool(behind)


def leader_sentence(evaluation: Evaluation) -> str:
    """Say that validation named the leader, and that the intervals of its differences hold at once."""
    return (
        f"The others are compared with {named(evaluation.leader)} because it is the best on validation: luck on test "
        "plays no part in that choice. The intervals of the differences hold for all models at once."
    )


def meaning_sentence(evaluation: Evaluation) -> str:
    """Say what the lists of the leader mean for a listener."""
    first = evaluation.leader
    precision, hit = (evaluation.means.loc[(first, f"{name}@20"), "value"] for name in ("precision", "hit"))
    return (
        f"In a list of 20 by {named(first)}, a listener finds {20 * precision:.2g} new songs that they go on to play. "
        f"{percent(hit)} of the {evaluation.n_users:,} listeners find at least one."
    )


def accuracy_sentences(accuracy: dict[str, dict[str, Any]], measures: Measured) -> list[str]:
    """Say what the described system's 1-of-21 accuracy is, and which rank among all songs it is equivalent to."""
    rank, score = measures["equivalent_rank"], {key: found["tie_fair"]["value"] for key, found in accuracy.items()}
    alone = f", popularity alone {percent(score['popularity'])}" if "popularity" in score else ""
    beyond = " Such a ranker never has a played song in its list of 20." if rank.value > 20 else ""
    return [
        f"The 1-of-21 accuracy asks only whether the played song is scored above {NEGATIVES} random songs. "
        + _sentence(f"{named(rank.model)} reaches {percent(score[rank.model])}{alone}, a guess {GUESS}"),
        f"A ranker that puts every played song at rank {rank.value:,.0f} of {rank.of:,} reaches the same accuracy as "
        f"{named(rank.model)}.{beyond}",
    ]


def account_sentence(split: Split) -> str:
    """Say how many listens of test are scored, and why the others are not."""
    account = split.account("test")
    share = {key: percent(account[key] / account["rows"]) for key in ("scored", "repeat", "cold_user", "cold_item")}
    of_whom = " of the listeners drawn" if split.test_sample else ""
    return (
        f"Of {account['rows']:,} test listens{of_whom}, {share['scored']} are scored: new songs of known listeners. "
        f"{share['repeat']} repeat a song that the listener already had, {share['cold_user']} are by listeners who "
        f"are not in train, and {share['cold_item']} are of songs that are not in train."
    )


def warning_sentences(manifest: dict[str, Any], alike: AlikeHistories | None = None) -> list[str]:
    """Say what looks odd in the data; nothing that is odd stops a run."""
    warnings = manifest.get("warnings", ())
    shown = [f"{each['count']:,} {each['sentence'][:1].lower()}{each['sentence'][1:]}" for each in warnings]
    shown[:0] = [alike_sentence(alike)] if alike and alike.n_users else []
    return [f"Odd: {each}." for each in shown]


def alike_sentence(alike: AlikeHistories) -> str:
    """Say how many listeners have a history that another has too, and what the best model reaches without them."""
    told = f"{alike.n_users:,} listeners have almost the same history as another listener"
    if not alike.n_evaluated:
        return f"{told}. None of them is evaluated"
    without = f"{alike.without:.4f}" if math.isfinite(alike.without) else "not defined"
    return (
        f"{told}, which shows a model part of the test. Without the {alike.n_evaluated:,} of them that are evaluated, "
        f"the NDCG@20 of {named(alike.model)} is {without} instead of {alike.value:.4f}"
    )


def checks_sentence(checks: Sequence[Check]) -> str:
    """Say how many checks passed, and which failed, with what was found."""
    failed = [f"{check.found}: {check.meaning}." for check in checks if not check.passed]
    if failed:
        return f"{len(failed)} of {len(checks)} checks failed. {' '.join(failed)}"
    return f"All {len(checks)} checks passed."


def sweep_sentence(measures: Measured) -> str:
    """Say how the best 1-of-21 accuracy falls as the negatives become more."""
    curves = measures.sweep.pivot(index="negatives", columns="model", values="value")
    best, n_all = curves.loc[NEGATIVES].idxmax(), curves.index[-1]
    middle = curves.index[np.searchsorted(curves.index, min(1000, n_all))]
    steps = [f"{percent(curves.loc[n, best])} with {n:,}" for n in dict.fromkeys((NEGATIVES, middle, n_all))]
    users = measures.sweep["users"].iloc[0]
    told = f"{named(best)} scores {percent(curves.loc[1, best])} with 1 negative, {listing(steps)}"
    return (
        f"{_sentence(told)} The curves are exact expectations for {users:,} listeners of test. The table above draws "
        f"{NEGATIVES} songs once for each listen, so its values differ a little by chance."
    )


def exposure_sentence(evaluation: Evaluation, measures: Measured) -> str:
    """Say how much of the leader's lists and of the listening goes to the most popular songs."""
    name, tenth = evaluation.leader, measures.exposure.loc[10]
    return (
        f"The most popular tenth of songs takes {percent(tenth[name])} of the places in lists of {K} by {named(name)}, "
        f"and {percent(tenth['played'])} of the new songs played."
    )


def seeds_sentence(by_seed: dict[str, list[float]], evaluation: Evaluation) -> str:
    """Say how far results differ between seeds, and compare that with the interval over listeners."""
    lines = []
    for name, values in by_seed.items():
        row = evaluation.means.loc[(name, MAIN_METRIC)]
        if len(values) > 1:
            lines.append(_sentence(
                f"{named(name)}, trained with {len(values)} seeds, has an NDCG@20 from {min(values):.4f} to "
                f"{max(values):.4f}, a range of {max(values) - min(values):.4f}; its interval over listeners has a "
                f"width of {row.high - row.low:.4f}"
            ))  # fmt: skip
    return " ".join(lines) or "Each recipe was trained with one seed. `SEEDS=3` shows how much the seed matters."


def repeats_sentence(found: dict[str, float] | None) -> str:
    """Say how well a list of the listeners' own most played songs finds the songs that they repeat."""
    if not found:
        return "No listener repeats a song in test."
    return (
        f"{found['users']:,} listeners repeat songs in test. A list of their own 20 most played songs finds "
        f"{spread((found['value'], found['low'], found['high']))} of them."
    )


def data_sentences(split: Split) -> list[str]:
    """Say what the data are, and how much there is to learn and to find."""
    first, last = split.manifest["steps"][0], split.manifest["steps"][-1]
    sizes = [f"{len(getattr(split, part)):,} for {part}" for part in PARTS]
    density = split.seen("train").nnz / (split.n_users * split.n_items)
    n_nowhere = split.n_items_all - split.n_items - split.n_cold_items
    nowhere = f" {n_nowhere:,} more songs are in no part, only in the list of all songs." if n_nowhere else ""
    return [
        f"Of {first['rows_in']:,} rows, {last['rows_out']:,} listens remain: {listing(sizes)} "
        f"(split {split.manifest['split']}).",
        f"Train has {split.n_users:,} listeners and {split.n_items:,} songs. {percent(density, 2)} of all pairs occur."
        f"{nowhere}",
        f"In test there are {split.account('test')['relevant']:,} pairs of a known listener and a new song to find.",
        *few_sentences(split),
    ]


def time_sentence(split: Split) -> str:
    """Say what the picture of listens over time shows, or why there is none."""
    if split.train.timestamp is None:
        return "The times of the listens are not known."
    return "Listens per day (UTC), with a colour for each part."


def popularity_sentence(split: Split) -> str:
    """Say how much of all listening goes to the most played songs."""
    counts = np.sort(np.bincount(split.train.item))[::-1]
    top = max(len(counts) // 100, 1)
    return (
        f"The {top:,} most played of {len(counts):,} songs have {percent(counts[:top].sum() / counts.sum())} of the "
        f"listens in train. {percent((counts == 1).mean())} of the songs were played once."
    )


def training_sentences(histories: dict[str, dict[str, Any]]) -> list[str]:
    """Say how each training went, and compare train with validation at the best epoch."""
    lines = []
    for name, history in histories.items():
        epochs, best = history["epochs"], history["epochs"][history["best_epoch"] - 1]
        gap = 100 * (best["train_accuracy"] - best["val_accuracy"])
        speed = np.median([epoch["rows_per_second"] for epoch in epochs])
        lines.append(_sentence(
            f"{named(name)}: {len(epochs)} epoch{'s' * (len(epochs) > 1)}, {history['seconds']:.1f} s in all on "
            f"{history['device']}; the steps alone did {speed:,.0f} rows per second; "
            f"best epoch {history['best_epoch']}, with a validation accuracy of {percent(best['val_accuracy'])}. "
            f"Train, measured in the same way, is {abs(gap):.1f} points {'higher' if gap >= 0 else 'lower'}"
        ))  # fmt: skip
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
