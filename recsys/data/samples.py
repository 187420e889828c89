"""Samples of a split's users, for steps whose time grows with the number of users."""

import dataclasses

import numpy as np

from recsys.data.interactions import distinct
from recsys.data.split import Split


def sample_test_users(split: Split, n: int, seed: int = 0) -> Split:
    """Return the split with the test rows of n users alone, drawn at random; the split itself if test has no more.

    Its `test_sample` has the numbers of users and rows that test had before.
    """
    users = distinct(split.test.user)
    if len(users) <= n:
        return split
    chosen = np.zeros(split.n_users_all, bool)
    chosen[np.random.default_rng(seed).choice(users, n, replace=False)] = True
    before = {"users": len(users), "rows": len(split.test)}
    test = split.test[chosen[split.test.user]]
    return dataclasses.replace(split, test=test, manifest=split.manifest | {"test_sample": before})


def sample_users(split: Split, most_rows: int, seed: int = 0) -> Split:
    """Return a split of random users with all their rows of train and validation, and without test.

    It has as many users as have at most `most_rows` rows of train together. Its codes are its own.
    """
    n_rows = np.bincount(split.train.user, minlength=split.n_users)
    order = np.random.default_rng(seed).permutation(split.n_users)
    users = np.sort(order[: max(1, np.searchsorted(n_rows[order].cumsum(), most_rows, side="right"))])
    own = np.full(split.n_users_all, -1, np.int32)
    own[users] = np.arange(len(users))
    train, validation = (rows[own[rows.user] >= 0] for rows in (split.train, split.validation))
    songs = np.concatenate([warm := distinct(train.item), np.setdiff1d(distinct(validation.item), warm)])
    code = np.empty(split.n_items_all, np.int32)
    code[songs] = np.arange(len(songs))
    train, validation = (
        dataclasses.replace(rows, user=own[rows.user], item=code[rows.item]) for rows in (train, validation)
    )
    tables = split.users.iloc[users].reset_index(drop=True), split.items.iloc[songs].reset_index(drop=True)
    return Split(split.name, train, validation, split.test[:0], *tables, split.manifest)
