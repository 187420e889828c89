"""EASE of RecTools, its regularisation chosen on validation: python rectools_ease.py <folder>"""

import sys

import pandas as pd
from rectools.dataset import Dataset
from rectools.models import EASEModel

folder = sys.argv[1]
listens = pd.read_parquet(f"{folder}/listens.parquet")
users = pd.read_parquet(f"{folder}/users.parquet")["user"].to_numpy()
train, validation = (listens[listens["part"] == part] for part in ("train", "validation"))


def lists(regularisation, rows, users):
    """Fit a model and return 20 new songs for each user, best first."""
    rows = rows.drop_duplicates(["user", "item"])
    rows = rows.rename(columns={"user": "user_id", "item": "item_id", "timestamp": "datetime"}).assign(weight=1)
    data = Dataset.construct(rows[["user_id", "item_id", "datetime", "weight"]])
    model = EASEModel(regularisation).fit(data)
    found = model.recommend(users, data, k=20, filter_viewed=True, on_unsupported_targets="ignore")
    return found.rename(columns={"user_id": "user", "item_id": "item"})[["user", "item"]]


def hits(regularisation):
    """Count the songs of validation that are in the lists made of train."""
    wanted = validation[["user", "item"]].drop_duplicates()
    return len(lists(regularisation, train, wanted["user"].unique()).merge(wanted))


chosen = max((30.0, 100.0, 300.0), key=hits)
print("chosen: EASE, regularization", chosen)
lists(chosen, listens, users).to_parquet(f"{folder}/rectools_ease.parquet")
