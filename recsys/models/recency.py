"""How much each song of a history counts if the latest count most."""

import numpy as np
from scipy import sparse

from recsys.data.interactions import Interactions


def recency_weights(rows: Interactions, n_users: int, n_items: int, half_life: float) -> sparse.csr_matrix:
    """Return the weight of each user's songs, float32 (n_users, n_items); those of repeated listens add up.

    A listen counts ½ to the power of the user's later listens divided by the half-life. `rows` have times or places.
    """
    assert rows.order is not None
    order = np.lexsort((rows.order, rows.user))  # at equal times the later row counts as the later listen
    user, item = rows.user[order], rows.item[order]
    n_later = np.bincount(user, minlength=n_users).cumsum()[user] - 1 - np.arange(len(user))
    weights = np.exp2(-n_later / half_life, dtype=np.float32)
    found = sparse.csr_matrix((weights, (user, item)), shape=(n_users, n_items))
    found.eliminate_zeros()  # weights too small for a float32
    return found
