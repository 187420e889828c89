"""The same question asked of other libraries: python -m bench.peers DATA=<sessions.parquet> [ENVIRONMENTS=<folder>]

The sessions of 30Music are split by the users' last listens. Each script of this folder reads train and validation from
one Parquet file, and writes 20 songs for each listener. It runs alone, in an environment of its library, which is made
in ENVIRONMENTS if it is not there. Then all lists are judged in the same way, and docs/beside.md gets the table.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench import ROOT
from bench.pages import write_between
from recsys.data.split import Split
from recsys.evaluation import metrics
from recsys.evaluation.bootstrap import compare
from recsys.workflow import prepare

HERE, PAGE = Path(__file__).parent, ROOT / "docs" / "beside.md"
COMMAND = "python -m bench.peers"
DEPTH, METRICS = 20, ("ndcg@20", "recall@20")
LIMIT = 1200  # seconds for a script; one that needs longer is stopped, and the page says so
INSTALL = {  # what each environment holds; this project has its own already
    "implicit": "implicit==0.7.3 pandas==3.1.1 pyarrow==26.0.1",
    "lenskit": "lenskit==2025.8.1 pyarrow==26.0.1",
    "rectools": "rectools[torch]==0.19.0 pyarrow<20",
    "recbole": "recbole==1.2.1 numpy<2 pandas<2.3 scipy<1.14 pyarrow<20",
}
SCRIPTS = {  # what each script asks, in the order of the table
    "implicit_knn": "`implicit` 0.7.3: the best of item kNN (cosine, TF-IDF, BM25) and ALS",
    "lenskit_knn": "LensKit 2025.8.1: item kNN",
    "recbole_ease": "RecBole 1.2.1: EASE",
    "rectools_ease": "RecTools 0.19.0: EASE",
    "recsys_markov": "recsys: Markov chain + item kNN",
    "recsys_best": "recsys: recipe `best`",
    "rectools_sasrec": "RecTools 0.19.0: SASRec, a transformer",
}
ORDERED = ("rectools_sasrec", "recsys_markov", "recsys_best")  # use the order of the listens


@dataclass(frozen=True)
class Answer:
    """What a script needed and wrote."""

    seconds: float  # from the start of its process to its end
    memory: float  # peak of the process in GB
    chosen: str  # the line that it printed on its choice
    lists: pd.DataFrame | None  # user, item, best first; None if it failed
    error: str = ""  # why it failed


def export(split: Split, folder: Path) -> None:
    """Write what the scripts may know: the rows of train and validation, and the users that want a list."""
    parts = [(part, split.in_order(part)) for part in ("train", "validation")]
    rows = [
        pd.DataFrame({"user": each.user, "item": each.item, "timestamp": each.timestamp, "part": part})
        for part, each in parts
    ]
    pd.concat(rows).to_parquet(folder / "listens.parquet", index=False)
    users = np.flatnonzero(np.diff(split.relevant("test").indptr))
    pd.DataFrame({"user": users}).to_parquet(folder / "users.parquet", index=False)


def python_of(library: str, environments: Path) -> Path:
    """Return the Python of a library's environment, which is made if it is not there."""
    if library == "recsys":
        return Path(sys.executable)
    python = environments / library / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environments / library], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *INSTALL[library].split()], check=True)
    return python


def ask(script: str, python: Path, folder: Path) -> Answer:
    """Run a script alone, at most for `LIMIT` seconds, and return its answer."""
    started = time.perf_counter()
    environment = os.environ | ({"PYTHONPATH": str(ROOT)} if script.startswith("recsys") else {})
    limited = ["timeout", str(LIMIT), python, HERE / f"{script}.py", "."]
    with open(folder / f"{script}.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(limited, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        lines = log.read().splitlines() or [""]
    chosen = next((line.removeprefix("chosen: ") for line in lines if line.startswith("chosen: ")), "")
    if process.returncode:
        error = f"stopped after {LIMIT / 60:.0f} minutes" if process.returncode == 124 else lines[-1]
        return Answer(seconds, usage.ru_maxrss / 1e6, chosen, None, error)
    return Answer(seconds, usage.ru_maxrss / 1e6, chosen, pd.read_parquet(folder / f"{script}.parquet"))


def judge(lists: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Return NDCG@20 and Recall@20 of each user with a relevant song in test; a user without a list has 0.

    Raises ValueError for a list that is longer than 20 or names a song twice, and for a song that its user knows.
    """
    known, relevant = split.known, split.relevant("test")
    users, items = lists["user"].to_numpy(), lists["item"].to_numpy()
    place = lists.groupby("user").cumcount().to_numpy()
    if lists.duplicated().any() or place.max() >= DEPTH or known[users, items].any():
        raise ValueError(f"expected at most {DEPTH} different and new songs for each user, got others")
    places = pd.Series(place, pd.MultiIndex.from_arrays([users, items]))
    judged = np.flatnonzero(np.diff(relevant.indptr))
    owner, songs = relevant[judged].nonzero()
    found = places.reindex(pd.MultiIndex.from_arrays([judged[owner], songs]), fill_value=DEPTH).to_numpy()
    ranks = metrics.Ranks(owner, found, np.ones_like(found), len(judged))
    values = (metrics.ndcg(ranks, DEPTH), metrics.recall(ranks, DEPTH))
    return pd.DataFrame(dict(zip(METRICS, values, strict=True)), index=judged)


def count_lines(script: str) -> int:
    """Count the lines of a script without its docstrings, comments and empty lines."""
    lines = [line.strip() for line in (HERE / f"{script}.py").read_text(encoding="utf-8").splitlines()]
    return sum(bool(line) and not line.startswith(("#", '"""')) for line in lines)


def table(answers: dict[str, Answer], split: Split, load: float) -> str:
    """Return a row for each script in Markdown, with 95 % intervals over listeners."""
    judged = {script: judge(each.lists, split) for script, each in answers.items() if each.lists is not None}
    means = compare(judged, seed=0)[0] if judged else pd.DataFrame()
    heads = ("library and model", "order used", "NDCG@20", "Recall@20", "seconds", "peak GB", "lines", "listeners")
    rows = [heads, ["---"] * 2 + ["---:"] * 6]
    for script, each in answers.items():
        values, listeners = ["–"] * len(METRICS), "–"
        if each.lists is not None:
            values = ["{value:.4f} ({low:.3f}–{high:.3f})".format(**means.loc[(script, name)]) for name in METRICS]
            listeners = f"{each.lists['user'].nunique():,}"
        costs = f"{each.seconds:.0f}", f"{each.memory:.1f}", str(count_lines(script))
        link = f"[{SCRIPTS[script]}](../bench/peers/{script}.py)"
        rows.append([link, "yes" if script in ORDERED else "no", *values, *costs, listeners])
    said = {script: each.error or each.chosen for script, each in answers.items()}
    notes = [f"- {SCRIPTS[script]}: {text}" for script, text in said.items() if text]
    facts = f"{os.cpu_count()} cores, {platform.machine()}, {datetime.date.today():%d %B %Y}"
    note = f"One script after another. {facts}. Load by other work before the start: {load:.1f}."
    note += " What was chosen on validation, and what went wrong:"
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", note, "", *notes])


def main() -> None:
    """Ask each library in turn, and write the page after each answer."""
    parser = argparse.ArgumentParser("python -m bench.peers", description=__doc__)
    parser.add_argument("values", nargs="+", metavar="NAME=value", help="DATA, ENVIRONMENTS")
    values = dict(each.partition("=")[::2] for each in parser.parse_args().values)
    if "DATA" not in values or not values.keys() <= {"DATA", "ENVIRONMENTS"}:
        parser.error(f"expected DATA=<sessions.parquet> and perhaps ENVIRONMENTS=<folder>, got {' '.join(values)}")
    environments = Path(values.get("ENVIRONMENTS", ROOT / "data" / "bench" / "peers")).resolve()
    pythons = {script: python_of(script.partition("_")[0], environments) for script in SCRIPTS}
    split = prepare("30music", values["DATA"], root=ROOT, split="by-user-last")
    answers: dict[str, Answer] = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        export(split, Path(folder))
        (Path(folder) / "prepared").symlink_to(ROOT / "data" / "prepared" / f"30music-{split.manifest['key']}")
        for script, python in pythons.items():
            answers[script] = ask(script, python, Path(folder))
            print(f"{script}: {answers[script].seconds:.0f} s", flush=True)
            write_between(PAGE, COMMAND, table(answers, split, load))


if __name__ == "__main__":
    main()
