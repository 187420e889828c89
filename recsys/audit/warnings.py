"""What looks odd in the data and may be real: counted, with what it moves. A warning never stops a run."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from recsys.data.split import PARTS, Split
from recsys.evaluation.evaluate import MAIN_METRIC, Evaluation

MIN_JACCARD = 0.9  # two histories are alike from this Jaccard index upwards
MIN_HISTORY, MIN_HISTORY_WITHOUT_TIMES = 20, 50  # songs in a history for it to be compared with others


@dataclass(frozen=True)
class AlikeHistories:
    """Users whose history another user has too: their number, and what they move.

    `value` is the best model's NDCG@20, and `without` the same without the `n_evaluated` of them that are evaluated. It
    is NaN if no other user is evaluated.
    """

    n_users: int
    n_evaluated: int
    model: str
    value: float
    without: float


def measure_alike_histories(evaluation: Evaluation) -> AlikeHistories:
    """Count the users with alike histories, and take the leader's NDCG@20 without them."""
    users, best = find_alike_histories(evaluation.split), evaluation.leader
    values = evaluation.per_user[best][MAIN_METRIC]
    others = values[~values.index.isin(users)]
    return AlikeHistories(len(users), len(values) - len(others), best, float(values.mean()), float(others.mean()))


def find_alike_histories(split: Split) -> np.ndarray:
    """Return the codes of users whose history is another user's too: a Jaccard index of at least 0.9.

    A history is a set of at least 20 songs with their times, or of 50 songs without times, because many people listen
    to one album and nothing else. Users are sorted by three min-hashes (Broder 1997) and compared with the next in
    order, eight times. A pair with an index of 0.9 is missed three times in 100,000, equal histories never. Where test
    is a sample of its users, histories end before it.
    """
    rows = split.frame(*(PARTS[:2] if split.test_sample else PARTS))
    timed, codes = "timestamp" in rows, rows["item"].to_numpy(np.int64)
    if timed:
        time, times = pd.factorize(rows["timestamp"])
        codes = pd.factorize(codes * len(times) + time)[0]
    events = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows["user"], codes)))  # (users, events)
    events.data[:] = 1
    users = np.flatnonzero(np.diff(events.indptr) >= (MIN_HISTORY if timed else MIN_HISTORY_WITHOUT_TIMES))
    events = events[users]
    size, alike = np.diff(events.indptr), np.zeros(len(users), bool)
    for seed in range(8 * bool(len(users))):
        hashes = np.random.default_rng(seed).random((events.shape[1], 3))[events.indices]
        keys = np.minimum.reduceat(hashes, events.indptr[:-1])  # (users, 3)
        order = np.lexsort(keys.T)
        one, other = np.stack([order[:-1], order[1:]])[:, (keys[order[:-1]] == keys[order[1:]]).all(axis=1)]
        common = np.asarray(events[one].multiply(events[other]).sum(axis=1)).ravel()
        found = common >= MIN_JACCARD * (size[one] + size[other] - common)
        alike[one[found]] = alike[other[found]] = True
    return users[alike]
