"""The tables of the pages. What they show is computed, never typed."""

import html
import math
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from recsys.audit.checks import Check
from recsys.audit.findings import FINDINGS
from recsys.audit.measures import Measured
from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation
from recsys.models.baselines import Fitted
from recsys.models.neighbour_quality import LIFT
from recsys.reports.exploration import song_table
from recsys.reports.narrative import answer, checks_sentence, model_name, named, percent, signed, spread

BOUNDS = ("value", "low", "high")
METRIC_NAMES = {
    "ndcg": "NDCG", "recall": "Recall", "precision": "Precision", "map": "MAP", "mrr": "MRR", "hit": "Hit rate",
}  # fmt: skip


def steps_table(manifest: dict[str, Any]) -> HTML:
    """Return the account of every row: rows in, rows dropped and why, rows out, for each step of `prepare`."""
    steps = pd.DataFrame(manifest["steps"]).rename(columns=lambda name: name.replace("_", " "))
    reasons = [[f"{n:,} {reason}" for reason, n in dropped.items() if n] for dropped in steps["dropped"]]
    return in_full(steps.assign(dropped=[", ".join(each) or "–" for each in reasons]).map(written))


def parts_table(split: Split) -> pd.DataFrame:
    """Return a row for each part: listens, users, songs, how many listens are cold, repeats or scored, and the days."""
    rows = {}
    for part in PARTS:
        data, account = getattr(split, part), split.account(part) if part != "train" else {}
        row: dict[str, Any] = {"listens": len(data)}
        row |= {"users": len(np.unique(data.user)), "songs": len(np.unique(data.item))}
        names = {"cold_user": "cold users", "cold_item": "cold songs", "repeat": "repeats", "scored": "scored"}
        row |= {name: account.get(key, "") for key, name in names.items()}
        dated = data.timestamp is not None and len(data)
        row["from"], row["to"] = (str(f(data.timestamp))[:10] if dated else "" for f in (np.min, np.max))
        rows[part] = row
    return headed(pd.DataFrame(rows).T.map(written), "part")


def first_rows(split: Split, n: int = 5, show_user_ids: bool = False) -> pd.DataFrame:
    """Return the first listens of train, with the user's code, or with their raw id if that may be shown."""
    rows = split.train[np.arange(min(n, len(split.train)))]
    user = split.users["user_id"].to_numpy()[rows.user] if show_user_ids else rows.user
    table = song_table(split, rows.item).reset_index(drop=True)
    table.insert(0, "user" if show_user_ids else "user code", user)
    if rows.timestamp is not None:
        table.insert(1, "time (UTC)", pd.Series(rows.timestamp).astype(str))
    return table


def provenance(manifest: dict[str, Any]) -> pd.DataFrame:
    """Return what the prepared folder was made from: files with their hashes, and parameters."""
    files = {each["name"]: f"{each['bytes']:,} bytes, SHA-256 {each['sha256'][:16]}…" for each in manifest["source"]}
    rows = {f"file {name}": text for name, text in files.items()}
    rows |= {name.upper(): str(value) for name, value in manifest["parameters"].items() if value not in ("", None)}
    return pd.DataFrame({"value": rows | {"prepared as": f"{manifest['dataset']}-{manifest['key']}"}})


def main_table(
    evaluation: Evaluation, fitted: dict[str, Fitted], histories: dict[str, dict[str, Any]],
    ceiling: Evaluation | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return a row for each model, the best last: metrics of lists of 20 with intervals, and seconds.

    `ceiling` is the evaluation of the best possible ranking, where it is known: it adds each model's share of that.
    """
    order, means = evaluation.ordered()[::-1], evaluation.means
    keys = [f"{name}@20" for name in ("ndcg", "recall", "precision", "map", "hit")]
    table = means.apply(_with_interval, axis=1).unstack().loc[order, keys].rename(columns=metric_name)
    if ceiling:
        best_possible = ceiling.means.loc[("ceiling", MAIN_METRIC), "value"]
        shares = [percent(means.loc[(name, MAIN_METRIC), "value"] / best_possible) for name in order]
        table[f"of the best possible {metric_name(MAIN_METRIC)}, {best_possible:.4f}"] = shares
    seconds = {name: each.fit_seconds for name, each in fitted.items()}
    seconds |= {name: each.get("refit_seconds", each["seconds"]) for name, each in histories.items()}
    table["seconds to fit"] = [f"{seconds[name]:.1f}" if name in seconds else "" for name in order]
    table["seconds to rank"] = [f"{evaluation.rank_seconds[name]:.1f}" for name in order]
    return headed(table.rename(index=model_name), "model")


def difference_table(evaluation: Evaluation, metric: str = MAIN_METRIC) -> pd.DataFrame:
    """Return the paired difference of the best model from each other model, with its interval and a verdict."""
    first, *others = evaluation.ordered(metric)
    rows = []
    for name in others:
        gap = evaluation.difference(first, name, metric)
        verdict = f"{model_name(first)} is {gap.verdict}" if gap.verdict in ("better", "worse") else gap.verdict
        rows.append((f"{signed(gap.value)} ({signed(gap.low)} to {signed(gap.high)})", verdict))
    table = pd.DataFrame(rows, [model_name(name) for name in others], ["difference", "verdict"])
    return headed(table, f"{metric_name(metric)}: {model_name(first)} minus")


def sampled_table(accuracy: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return the 1-of-21 accuracy of each model, lowest first, as the described system counts and with ties shared."""
    order, rows = sorted(accuracy, key=lambda name: accuracy[name]["tie_fair"]["value"]), []
    for found in (accuracy[name] for name in order):
        as_author, tie_fair = (spread([found[key][each] for each in BOUNDS], 2) for key in ("as_author", "tie_fair"))
        rows.append((as_author, tie_fair, f"{found['loss']:.4f}" if np.isfinite(found["loss"]) else "–"))
    columns = ["as the described system counts", "ties shared", "loss"]
    return headed(pd.DataFrame(rows, [model_name(name) for name in order], columns), "model")


def account_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return how many listens of the evaluated part were scored, and why the others were not."""
    account = evaluation.split.account(evaluation.part)
    meaning = {
        "scored": "a new song of a known listener",
        "repeat": "a song that the listener already had",
        "cold_user": "a listener who is not in train",
        "cold_item": "a song that is not in train",
    }
    rows = [(text, f"{account[key]:,}", percent(account[key] / account["rows"])) for key, text in meaning.items()]
    names = ["scored", "repeat", "cold user", "cold song"]
    return headed(pd.DataFrame(rows, names, ["meaning", "listens", "share"]), "kind")


def cutoffs_table(evaluation: Evaluation) -> HTML:
    """Return the means of four metrics for lists of every length, folded: a row for each model and metric."""
    values, rows = evaluation.means["value"], []
    cutoffs = sorted({int(metric.split("@")[1]) for metric in values.index.get_level_values("metric")})
    for name in evaluation.ordered()[::-1]:
        for metric in ("precision", "recall", "map", "ndcg"):
            cells = {f"lists of {k}": f"{values[name, f'{metric}@{k}']:.4f}" for k in cutoffs}
            rows.append({"model": model_name(name), "metric": metric_name(metric), **cells})
    return folded(f"Lists of {', '.join(map(str, cutoffs))} songs", pd.DataFrame(rows))


def lists_table(evaluation: Evaluation, k: int = 20) -> HTML:
    """Return what the lists of k songs are like as a whole, folded."""
    rows = []
    for name in evaluation.ordered()[::-1]:
        means, whole = evaluation.means.loc[name]["value"], evaluation.aggregate[name]
        rows.append({
            "model": model_name(name),
            "coverage": percent(whole[f"coverage@{k}"]),
            "Gini": f"{whole[f'gini@{k}']:.3f}",
            "novelty, bits": f"{means[f'novelty@{k}']:.2f}",
            "share of the long tail": percent(means[f"tail_share@{k}"]),
        })  # fmt: skip
    return folded(f"What the lists of {k} are like as a whole", pd.DataFrame(rows))


def checks_table(checks: list[Check]) -> HTML:
    """Return how many checks passed, in one line with their table folded; failed checks are shown open."""
    rows = [(each.name, f"{each.count:,} ({percent(each.share)})", each.meaning, each.remedy) for each in checks]
    table = pd.DataFrame(rows, columns=["check", "violations", "what a failure means", "what to do"])
    failed = table[[not check.passed for check in checks]]
    return HTML((in_full(failed).data if len(failed) else "") + folded(checks_sentence(checks), table).data)


def measures_table(measures: Measured) -> HTML:
    """Return the measures: the question, its answer with an interval, and why it matters."""
    rows = []
    for each in measures.measures:
        figure = answer(each).replace(" to ", "\u00a0to\u00a0").replace(" %", "\u00a0%")  # lines break elsewhere
        rows.append((each.question.format(model=named(each.model)), figure, each.why))
    return in_full(pd.DataFrame(rows, columns=["question", "answer", "why it matters"]))


def findings_table(measures: Measured, checks: list[Check]) -> HTML:
    """Return the findings about the described system, what this run shows of each, and what is done about it."""
    answers = {each.key: answer(each) for each in measures.measures}
    answers |= {f"{each.key}_model": named(each.model) for each in measures.measures}
    violations = {check.name: check.count for check in checks}
    rows = []
    for number, each in enumerate(FINDINGS, 1):
        try:
            here = each.here.format(**answers)
        except KeyError:
            here = "Not measured in this run."
        if each.check in violations:
            here = f"{here} Checked: {violations[each.check] or 'none'} found.".lstrip()
        here = here[:1].upper() + here[1:] or "Not checked in this run."
        rows.append((number, each.title, each.described, here, each.remedy))
    columns = ["", "finding", "in the described system", "here", "what this project does"]
    return in_full(pd.DataFrame(rows, columns=columns))


def quality_table(quality: pd.DataFrame) -> HTML:
    """Return the measures of neighbours: a row for each measure, a column for each kind of list, and random lists."""
    rows: dict[str, dict[str, str]] = {}
    for (measure, kind), row in quality.iterrows():
        is_share = measure != LIFT
        written = spread(row[list(BOUNDS)]) if is_share else f"{row.value:.1f} ({row.low:.1f} to {row.high:.1f})"
        written = written.replace(" ", "\u00a0").replace("\u00a0(", " (")  # a line may end before the interval only
        rows.setdefault(measure, {"measure": measure})[kind] = written
        rows[measure]["random lists"] = percent(row.chance) if is_share else f"{row.chance:.1f}"
    table = pd.DataFrame(rows.values()).fillna("–")
    return in_full(table[[*table.columns.drop("random lists"), "random lists"]])


def songs_in_full(table: pd.DataFrame) -> HTML:
    """Return a table of songs with their numbers, no text cut short."""
    return in_full(table.reset_index(names=""))


def in_full(table: pd.DataFrame) -> HTML:
    """Return a table without its index, with no text cut short, everything escaped, and formulas left as text."""
    with pd.option_context("display.max_colwidth", None, "display.html.use_mathjax", False):
        return HTML(table.to_html(index=False))


def folded(summary: str, table: pd.DataFrame) -> HTML:
    """Return a table that is hidden behind one line until the reader opens it."""
    return HTML(f"<details><summary>{html.escape(summary)}</summary>{in_full(table).data}</details>")


def slices_table(rows: pd.DataFrame, counts: str) -> pd.DataFrame:
    """Return a frame of `slices`: a row for each model, a column for each slice, with its size from column `counts`."""
    what = {"events": "songs to find", "users": "listeners"}[counts]
    rows = rows.assign(
        column=[f"{row['slice']} ({row[counts]:,} {what})" for _, row in rows.iterrows()],
        cell=[spread(row) for row in rows[list(BOUNDS)].to_numpy()],
    )
    table = rows.pivot(index="model", columns="column", values="cell")
    table = table.loc[rows["model"].unique(), rows["column"].unique()].rename_axis(columns=None)
    return headed(table.rename(index=model_name), "model")


def trials_table(fitted: dict[str, Fitted], left_out: dict[str, str]) -> HTML:
    """Return the settings tried for each baseline with their NDCG@20 on validation, and what was left out; folded."""
    rows = []
    for name, each in fitted.items():
        for settings, value in each.trials or [({}, math.nan)]:
            words = ", ".join(f"{key} {setting:g}" for key, setting in settings.items()) or "nothing to choose"
            chosen = "chosen" if settings == each.settings else ""
            rows.append((model_name(name), words, "" if math.isnan(value) else f"{value:.4f}", chosen))
    rows += [(model_name(name), f"left out: {reason}", "", "") for name, reason in left_out.items()]
    table = pd.DataFrame(rows, columns=["baseline", "settings", "NDCG@20 on validation", ""])
    return folded("How the baselines were chosen on validation", table)


def metric_name(key: str) -> str:
    """Return a metric as it is written on pages, such as "NDCG@20" for "ndcg@20"."""
    name, *cutoff = key.split("@")
    return "@".join([METRIC_NAMES.get(name, name), *cutoff])


def headed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Put the name of the index into the head of its column, instead of a row of its own."""
    return table.rename_axis(index=None, columns=name)


def written(value: Any) -> str:
    """Return a whole number with commas, anything else as it is."""
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def _with_interval(row: Any) -> str:
    """Return a value and its interval as text that breaks between the two only."""
    return f"{row.value:.4f} ({row.low:.4f}\u2060–\u2060{row.high:.4f})"
