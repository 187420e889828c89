"""Whether validation looks like test: every choice is made on the one, and judged on the other."""

import ibis
from ibis.expr.types import Table

from recsys.data.engine import Engine
from recsys.data.partition import TEST, VALIDATION

FACTOR, GAP = 1.5, 0.2  # from here on the two differ: the ratio of two means, the difference of two shares


def compare_validation_with_test(engine: Engine, listens: Table) -> dict[str, dict[str, float]]:
    """Return three figures of validation and test, and note them as a sentence; warn if the two differ much.

    `rows_per_user` is the mean over the users of the part; `popularity` the geometric mean, over its rows, of the
    song's listens in all parts; `later` the share of its rows that come after the user's rows in the parts before it,
    among users who have such rows. `later` is left out where there are no times.
    """
    counts = listens.group_by("item_id").agg(n_listens=ibis._.count())
    figures = {}
    for name, part in (("validation", VALIDATION), ("test", TEST)):
        rows = listens.filter(listens.part == part)
        songs = rows.inner_join(counts, "item_id")
        found = songs.agg(
            rows_per_user=songs.count() / songs.user_id.nunique(), popularity=songs.n_listens.ln().mean().exp()
        )  # fmt: skip
        figures[name] = found.to_pyarrow().to_pylist()[0]
        if "timestamp" in listens.columns:
            before = listens.filter(listens.part < part).group_by("user_id").agg(last=ibis._.timestamp.max())
            known = rows.inner_join(before, "user_id")
            figures[name]["later"] = (known.timestamp >= known["last"]).mean().to_pyarrow().as_py() or 0.0
    one, other = figures["validation"], figures["test"]
    ratios = [one[name] / other[name] for name in ("rows_per_user", "popularity")]
    differ = any(not 1 / FACTOR < ratio < FACTOR for ratio in ratios)
    differ |= abs(one.get("later", 0.0) - other.get("later", 0.0)) > GAP
    said = _sentences(one, other)
    if differ:
        n = int((listens.part == VALIDATION).sum().to_pyarrow().as_py())
        engine.warn(f"Rows of validation, which does not look like test: choices made on it are less sure. {said}", n)
    else:
        engine.decide(f"Validation looks like test. {said}.")
    return {name: {key: round(value, 4) for key, value in each.items()} for name, each in figures.items()}


def _sentences(validation: dict[str, float], test: dict[str, float]) -> str:
    told = (
        f"In validation a user has {validation['rows_per_user']:.1f} listens, in test {test['rows_per_user']:.1f}. "
        f"Their songs have {validation['popularity']:,.0f} and {test['popularity']:,.0f} listens (geometric means)"
    )
    if "later" in validation:
        shares = [f"{100 * each['later']:.0f} %" for each in (validation, test)]
        told += f". {' and '.join(shares)} of the listens come after the user's earlier ones"
    return told
