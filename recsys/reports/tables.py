"""The tables of the pages: frames of text, ready to be shown; what they say is computed, never typed."""

import math
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from recsys.audit.checks import Check
from recsys.audit.measures import Measure
from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import MAIN, Evaluation
from recsys.models.baselines import Fitted
from recsys.models.neighbours import LIFT
from recsys.reports.exploration import song_table
from recsys.reports.narrative import percent, spread

BOUNDS = ("value", "low", "high")
LEVEL = "not distinguishable"


def steps_table(manifest: dict[str, Any]) -> HTML:
    """Return the account of every row: rows in, rows dropped with the reason, rows out, by step of `prepare`."""
    steps = pd.DataFrame(manifest["steps"]).rename(columns=lambda name: name.replace("_", " "))
    reasons = [[f"{n:,} {reason}" for reason, n in dropped.items() if n] for dropped in steps["dropped"]]
    return in_full(steps.assign(dropped=[", ".join(each) or "–" for each in reasons]).map(_written))


def parts_table(split: Split) -> pd.DataFrame:
    """Return, by part, its listens, users, songs, period, and how many listens are cold, repeats, or scored."""
    rows = {}
    for part in PARTS:
        data, account = getattr(split, part), split.account(part) if part != "train" else {}
        row: dict[str, Any] = {"listens": len(data)}
        row |= {"users": len(np.unique(data.user)), "songs": len(np.unique(data.item))}
        row |= {key.replace("_", " "): account.get(key, "") for key in ("cold_user", "cold_item", "repeat", "scored")}
        dated = data.timestamp is not None and len(data)
        row["from"], row["to"] = (str(f(data.timestamp))[:10] if dated else "" for f in (np.min, np.max))
        rows[part] = row
    return _headed(pd.DataFrame(rows).T.map(_written), "part")


def first_rows(split: Split, n: int = 5, show_user_ids: bool = False) -> pd.DataFrame:
    """Return the first listens of train, the listener by code, or by raw id when asked."""
    rows = split.train[np.arange(min(n, len(split.train)))]
    listener = split.users["user_id"].to_numpy()[rows.user] if show_user_ids else rows.user
    table = song_table(split, rows.item).reset_index(drop=True)
    table.insert(0, "user" if show_user_ids else "user code", listener)
    if rows.timestamp is not None:
        table.insert(1, "time (UTC)", pd.Series(rows.timestamp).astype(str))
    return table


def provenance(manifest: dict[str, Any]) -> pd.DataFrame:
    """Return what the prepared folder was made from: files with their hashes, and the parameters."""
    files = {each["name"]: f"{each['bytes']:,} bytes, SHA-256 {each['sha256'][:16]}…" for each in manifest["source"]}
    rows = {f"file {name}": text for name, text in files.items()}
    rows |= {name.upper(): str(value) for name, value in manifest["parameters"].items() if value not in ("", None)}
    return pd.DataFrame({"value": rows | {"prepared as": f"{manifest['dataset']}-{manifest['key']}"}})


def epochs_table(histories: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return the figures of every epoch of every recipe; best epochs are marked."""
    rows = []
    for name, history in histories.items():
        for epoch in history["epochs"]:
            mark = " *" if epoch["epoch"] == history["best_epoch"] else ""
            row = {"recipe": name, "epoch": f"{epoch['epoch']}{mark}"}
            for label, kind in (("running", ""), ("train", "train_"), ("validation", "val_")):
                row[f"{label} loss"] = f"{epoch[kind + 'loss']:.4f}"
                row[f"{label} accuracy"] = percent(epoch[kind + "accuracy"], 2)
            rows.append(row | {"rows/s": f"{epoch['rows_per_second']:,}"})
    return pd.DataFrame(rows).set_index(["recipe", "epoch"])


def settings_table(histories: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return each recipe's settings, its size, device and seed, a column a recipe."""
    facts = ("learning_rate_per_row", "n_parameters", "device", "seed", "best_epoch", "seconds")
    columns = {}
    for name, each in histories.items():
        chosen = {f"chosen {key}": value for key, value in (each["settings"] | each["latest"]).items()}
        columns[name] = each["inputs"]["recipe"] | chosen | {key: each[key] for key in facts}
    return pd.DataFrame(columns, dtype=object).map(_written)


def main_table(evaluation: Evaluation, seconds: dict[str, float], ceiling: Evaluation | None = None) -> pd.DataFrame:
    """Return one row a model, worst first by NDCG@20, with "value (low to high)" in each cell.

    Where the best possible ranking is known, as `ceiling`, each model's share of its NDCG@20 stands beside.
    """
    order, means = evaluation.ordered()[::-1], evaluation.means
    shown = [f"{name}@20" for name in ("ndcg", "recall", "precision", "map", "mrr", "hit")]
    table = means.apply(_with_interval, axis=1).unstack().loc[order, shown]
    if ceiling:
        top = ceiling.means.loc[("ceiling", MAIN), "value"]
        shares = [percent(means.loc[(name, MAIN), "value"] / top) for name in order]
        table[f"of the best possible {MAIN}, {top:.4f}"] = shares
    table["fit, s"] = [f"{seconds[name]:.1f}" if name in seconds else "" for name in order]
    table["rank, s"] = [f"{evaluation.seconds[name]:.1f}" for name in order]
    return _headed(table, "model")


def difference_table(evaluation: Evaluation, metric: str = MAIN) -> pd.DataFrame:
    """Return the best model's paired difference from each other, with interval and verdict."""
    first, *others = evaluation.ordered(metric)
    rows = []
    for name in others:
        gap = evaluation.difference(first, name, metric)
        verdict = f"{first} is {gap.verdict}" if gap.verdict != LEVEL else LEVEL
        rows.append((f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})", verdict))
    return _headed(pd.DataFrame(rows, others, ["difference", "verdict"]), f"{metric}: {first} minus")


def sampled_table(sampled: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return the 1-of-21 accuracy as the author counts it and tie-fair, with intervals, lowest first."""
    order, rows = sorted(sampled, key=lambda name: sampled[name]["tie_fair"]["value"]), []
    for found in (sampled[name] for name in order):
        author, fair = (spread([found[key][each] for each in BOUNDS], 2) for key in ("as_author", "tie_fair"))
        rows.append((author, fair, f"{found['loss']:.4f}" if np.isfinite(found["loss"]) else "–"))
    return _headed(pd.DataFrame(rows, order, ["as the author counts", "tie-fair", "loss"]), "model")


def account_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return where the rows of test went, as counts and shares."""
    account = evaluation.split.account(evaluation.part)
    meaning = {
        "scored": "a new song of a known listener",
        "repeat": "a song that the listener already had: a fact, not a discovery",
        "cold_user": "a listener that training never saw",
        "cold_item": "a song that training never saw",
    }
    rows = [(f"{account[key]:,}", percent(account[key] / account["rows"]), text) for key, text in meaning.items()]
    return pd.DataFrame(rows, [key.replace("_", " ") for key in meaning], ["listens", "share", "meaning"])


def cutoffs_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return the means of several metrics at every cutoff: one row for each model and metric."""
    table = evaluation.means["value"].map("{:.4f}".format).unstack()
    table.columns = table.columns.str.split("@", expand=True).set_names(["metric", None])
    table = table.stack("metric", future_stack=True)
    rows = [(name, metric) for name in evaluation.ordered()[::-1] for metric in ("precision", "recall", "map", "ndcg")]
    return table.loc[rows, sorted(table, key=int)].add_prefix("@", axis=1)


def lists_table(evaluation: Evaluation, k: int = 20) -> pd.DataFrame:
    """Return what the lists of k look like as a whole: coverage, Gini, novelty in bits, share of the long tail."""
    rows = {}
    for name in evaluation.ordered()[::-1]:
        means = evaluation.means.loc[name]["value"]
        rows[name] = {
            f"coverage@{k}": percent(evaluation.whole[name][f"coverage@{k}"]),
            f"gini@{k}": f"{evaluation.whole[name][f'gini@{k}']:.3f}",
            f"novelty@{k}, bits": f"{means[f'novelty@{k}']:.2f}",
            f"tail_share@{k}": percent(means[f"tail_share@{k}"]),
        }
    return _headed(pd.DataFrame(rows).T, "model")


def checks_table(checks: list[Check]) -> HTML:
    """Return the checks: passed or not, how many rows break it, what it means, what to do."""
    rows = []
    for check in checks:
        found = f"{check.count:,} ({percent(check.share)})".replace(" ", "\u00a0")
        rows.append((check.name, "yes" if check.passed else "NO", found, check.meaning, check.remedy))
    return in_full(pd.DataFrame(rows, columns=["check", "passed", "found", "if it failed", "then"]))


def measures_table(measures: list[Measure], group: str) -> HTML:
    """Return the measures of a group, each in the sentence that says its value and interval."""
    rows = [(each.name, each.sentence) for each in measures if each.group == group]
    return in_full(pd.DataFrame(rows, columns=["measure", "what it says"]))


def quality_table(quality: pd.DataFrame) -> HTML:
    """Return the measures of neighbours: a row a measure, a column a kind of list, and what chance gives."""
    rows: dict[str, dict[str, str]] = {}
    for (measure, name), row in quality.iterrows():
        write = spread if measure != LIFT else "{0[0]:.1f} ({0[1]:.1f} to {0[2]:.1f})".format
        rows.setdefault(measure, {"": measure})[name] = write(tuple(row[each] for each in BOUNDS))
        rows[measure]["random lists"] = percent(row["chance"]) if measure != LIFT else f"{row['chance']:.1f}"
    table = pd.DataFrame(rows.values()).fillna("–")
    return in_full(table[[*table.columns.drop("random lists"), "random lists"]])


def songs_in_full(table: pd.DataFrame) -> HTML:
    """Return a table of songs, numbered."""
    return in_full(table.reset_index(names=""))


def in_full(table: pd.DataFrame) -> HTML:
    """Return a table of long texts, none cut short, all escaped, no formula typeset, without its index."""
    with pd.option_context("display.max_colwidth", None, "display.html.use_mathjax", False):
        return HTML(table.to_html(index=False))


def slices_table(rows: pd.DataFrame, counts: str) -> pd.DataFrame:
    """Return a frame of `slices` as a row a model and a column a slice; `counts` names the column that counts."""
    rows = rows.assign(
        column=[f"{row['slice']} ({row[counts]:,} {counts})" for _, row in rows.iterrows()],
        cell=rows.apply(_with_interval, axis=1),
    )
    table = rows.pivot(index="model", columns="column", values="cell")
    return _headed(table.loc[rows["model"].unique(), rows["column"].unique()].rename_axis(columns=None), "model")


def trials_table(fitted: dict[str, Fitted], left_out: dict[str, str]) -> HTML:
    """Return every setting that was tried with its NDCG@20 on validation, and what was left out, with the reason."""
    rows = []
    for name, each in fitted.items():
        for settings, value in each.trials or [({}, math.nan)]:
            words = ", ".join(f"{key} {setting:g}" for key, setting in settings.items()) or "nothing to choose"
            chosen = "chosen" if settings == each.settings else ""
            rows.append((name, words, "" if math.isnan(value) else f"{value:.4f}", chosen))
    rows += [(name, f"left out: {reason}", "", "") for name, reason in left_out.items()]
    return in_full(pd.DataFrame(rows, columns=["model", "settings", "NDCG@20 on validation", ""]))


def _headed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Put the name of the index into the head of its column, not into a row of its own."""
    return table.rename_axis(index=None, columns=name)


def _written(value: Any) -> str:
    """Write a whole number with commas, anything else as it is."""
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def _with_interval(row: Any) -> str:
    """Write value and interval so that a narrow cell breaks between the two and nowhere else."""
    return f"{row.value:.4f} ({row.low:.4f}\u2060–\u2060{row.high:.4f})"
