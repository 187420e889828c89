"""The tables of data and results on the pages. What they show is computed, never typed."""

import html
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from recsys.audit.checks import Check
from recsys.audit.findings import FINDINGS
from recsys.audit.measures import QUESTIONS, Measured
from recsys.data.interactions import distinct
from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation
from recsys.models.baselines import TRIALS, Fitted
from recsys.models.neighbours import LIFT
from recsys.reports.exploration import song_table
from recsys.reports.narrative import answer, checks_sentence, model_name, named, percent, signed_spread, spread

BOUNDS = ["value", "low", "high"]
METRIC_NAMES = {
    "ndcg": "NDCG", "recall": "Recall", "precision": "Precision", "map": "MAP", "mrr": "MRR", "hit": "Hit rate",
    "coverage": "Coverage", "gini": "Gini", "novelty": "Novelty", "tail_share": "Long tail",
}  # fmt: skip


def steps_table(manifest: dict[str, Any]) -> HTML:
    """Return the account of every row: rows in, rows dropped and why, rows out, for each step of `prepare`."""
    steps = pd.DataFrame(manifest["steps"]).rename(columns=lambda name: name.replace("_", " "))
    reasons = [[f"{n:,} {reason}" for reason, n in dropped.items() if n] for dropped in steps["dropped"]]
    return in_full(steps.assign(dropped=[", ".join(each) or "–" for each in reasons]).map(written))


def reading_table(manifest: dict[str, Any]) -> HTML:
    """Return how the files were read: what was found by itself, and what looks odd, with its count."""
    rows = [("decided", sentence, "") for sentence in manifest.get("decisions", ())]
    rows += [("odd", f"{each['sentence']}.", f"{each['count']:,}") for each in manifest.get("warnings", ())]
    rows = rows or [("–", "Nothing had to be decided, and nothing looks odd.", "")]
    return in_full(pd.DataFrame(rows, columns=["", "what", "count"]))


def parts_table(split: Split) -> pd.DataFrame:
    """Return a row for each part: its listens, how many of them are cold, repeats or scored, users, songs, times."""
    kinds = {"cold_user": "by cold users", "cold_item": "of cold songs", "repeat": "repeats", "scored": "scored"}
    rows: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        data, account = getattr(split, part), split.account(part) if part != "train" else {}
        rows[part] = {"listens": len(data)} | {name: account.get(kind, "") for kind, name in kinds.items()}
        rows[part] |= {"users": len(distinct(data.user)), "songs": len(distinct(data.item))}
        if data.timestamp is not None and len(data):
            ends = {"from": data.timestamp.min(), "to": data.timestamp.max()}
            rows[part] |= {name: str(time)[:16].replace("T", " ") for name, time in ends.items()}
    return headed(pd.DataFrame(rows).T.fillna("").map(written), "part")


def first_rows(split: Split, show_user_ids: bool = False) -> pd.DataFrame:
    """Return the first five listens of train, with the user's code, or with their raw id if that may be shown."""
    rows = split.train[:5]
    user = split.users["user_id"].to_numpy()[rows.user] if show_user_ids else rows.user
    table = song_table(split, rows.item).reset_index(drop=True)
    table["listens in train"] = table["listens in train"].map(written)
    table.insert(0, "user" if show_user_ids else "user code", user)
    if rows.timestamp is not None:
        table.insert(1, "time (UTC)", pd.Series(rows.timestamp).astype(str))
    return table


def provenance(manifest: dict[str, Any]) -> pd.DataFrame:
    """Return what the prepared folder was made from: files with their hashes, and parameters."""
    files = {
        each["name"]: f"{each['bytes']:,} bytes" + f", SHA-256 {each['sha256'][:16]}…" * bool(each["sha256"])
        for each in manifest["source"]
    }
    rows = {f"file {name}": text for name, text in files.items()}
    rows |= {name.upper(): str(value) for name, value in manifest["parameters"].items() if value not in ("", None)}
    return pd.DataFrame({"value": rows | {"prepared as": f"{manifest['dataset']}-{manifest['key']}"}})


def main_table(evaluation: Evaluation, seconds: dict[str, float], ceiling: Evaluation | None = None) -> pd.DataFrame:
    """Return a row for each model, the best last: metrics of lists of 20 with intervals, and `seconds`.

    `ceiling` is the evaluation of the best possible ranking, where it is known: it adds a row.
    """
    order, means = evaluation.ordered()[::-1], evaluation.means
    if ceiling:
        order, means = [*order, "ceiling"], pd.concat([means, ceiling.means])
    keys = [f"{name}@20" for name in ("ndcg", "recall", "precision", "hit")]
    cells = [f"{value:.4f} ({low:.4f} to {high:.4f})" for value, low, high in means[BOUNDS].to_numpy()]
    table = pd.Series(cells, means.index).unstack().loc[order, keys].rename(columns=metric_name)
    table["seconds, with choices"] = [f"{seconds[name]:,.1f}" if name in seconds else "" for name in order]
    return headed(table.rename(index=model_name), "model")


def difference_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return the difference in NDCG@20 of the leader from each other model, with its interval and a verdict."""
    first, others = evaluation.leader, evaluation.compared()
    gaps = [evaluation.difference(first, name, MAIN_METRIC) for name in others]
    columns = {
        "difference": [signed_spread(each) for each in gaps],
        "verdict": [
            "not certain" if each.verdict == "not distinguishable" else f"{model_name(first)} is {each.verdict}"
            for each in gaps
        ],
    }
    table = pd.DataFrame(columns, [model_name(name) for name in others])
    return headed(table, f"{metric_name(MAIN_METRIC)}: {model_name(first)} minus")


def sampled_table(accuracy: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return the 1-of-21 accuracy of each model, lowest first, as the described system counts and with ties shared."""
    order = sorted(accuracy, key=lambda name: accuracy[name]["tie_fair"]["value"])
    rows = [[spread(accuracy[name][key].values(), 2) for key in ("as_author", "tie_fair")] for name in order]
    columns = ["as the described system counts", "ties shared"]
    return headed(pd.DataFrame(rows, [model_name(name) for name in order], columns), "model")


def metrics_table(evaluation: Evaluation) -> HTML:
    """Return every metric for lists of every length, folded: a row for each metric and model."""
    table = evaluation.means["value"].unstack().join(pd.DataFrame(evaluation.aggregate).T)
    cutoffs, rows = sorted({int(column.split("@")[1]) for column in table}), []
    for metric in METRIC_NAMES:
        for name in evaluation.ordered()[::-1]:
            cells = {f"lists of {k}": f"{table.loc[name, f'{metric}@{k}']:.4f}" for k in cutoffs}
            rows.append({"metric": metric_name(metric), "model": model_name(name), **cells})
    return folded(f"All metrics, for lists of {', '.join(map(str, cutoffs))} songs", pd.DataFrame(rows))


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
        _, question, why = QUESTIONS[each.key]
        rows.append((question.format(model=named(each.model)), answer(each), why))
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
        cell = spread(row[BOUNDS]) if is_share else f"{row.value:.1f} ({row.low:.1f} to {row.high:.1f})"
        rows.setdefault(measure, {"measure": measure})[kind] = cell
        rows[measure]["random lists"] = percent(row.chance) if is_share else f"{row.chance:.1f}"
    table = pd.DataFrame(rows.values()).fillna("–")
    return in_full(table[[*table.columns.drop("random lists"), "random lists"]])


def songs_in_full(table: pd.DataFrame) -> HTML:
    """Return a table of songs with their numbers, no text cut short, whole numbers with commas."""
    whole = table.select_dtypes("integer").columns
    return in_full(table.assign(**{name: table[name].map(written) for name in whole}).reset_index(names=""))


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
    cells: dict[str, dict[str, str]] = {}
    for _, row in rows.iterrows():
        column = cells.setdefault(f"{row['slice']} ({row[counts]:,} {what})", {})
        column[model_name(row["model"])] = spread(row[BOUNDS])
    return headed(pd.DataFrame(cells), "model")


def trials_table(fitted: dict[str, Fitted], left_out: dict[str, str], n_users: int) -> HTML:
    """Return the settings tried for baselines with their NDCG@20 on validation, and what was left out; folded."""
    tried, rows = [each.trial_users for each in fitted.values() if len(each.trials) > 1], []
    whose = f" of {min(tried):,} listeners, drawn at random" if tried and min(tried) < n_users else ""
    told = f"Each baseline that has settings was fitted with {TRIALS} of them on train{whose}; the best on validation"
    for name, each in fitted.items():
        for settings, value in each.trials if len(each.trials) > 1 else ():
            words = ", ".join(_setting(key, value) for key, value in settings.items())
            rows.append((model_name(name), words, f"{value:.4f}", "chosen" if settings == each.settings else ""))
    rows += [(model_name(name), f"left out: {reason}", "", "") for name, reason in left_out.items()]
    table = pd.DataFrame(rows, columns=["baseline", "settings", "NDCG@20 on validation", ""])
    return folded(f"{told} was fitted again on train and validation.", table)


def metric_name(key: str) -> str:
    """Return a metric as it is written on pages, such as "NDCG@20" for "ndcg@20"."""
    name, at, cutoff = key.partition("@")
    return METRIC_NAMES[name] + at + cutoff


def headed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Put the name of the index into the head of its column, instead of a row of its own."""
    return table.rename_axis(index=None, columns=name)


def written(value: Any) -> str:
    """Return a whole number with commas, anything else as it is."""
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def _setting(name: str, value: Any) -> str:
    """Return a setting of a baseline in words."""
    words = name.replace("_", "-" if name == "half_life" else " ")
    if isinstance(value, bool):
        return words if value else f"not {words}"
    return f"{words} {value}" if isinstance(value, str) else f"{words} {value:g}"
