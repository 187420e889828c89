"""SASRec of RecTools, a transformer on the order of the listens: python rectools_sasrec.py <folder>"""

import sys

import pandas as pd
import torch
from rectools.dataset import Dataset
from rectools.models import SASRecModel

folder = sys.argv[1]
listens = pd.read_parquet(f"{folder}/listens.parquet")
users = pd.read_parquet(f"{folder}/users.parquet")["user"].to_numpy()

torch.manual_seed(0)
rows = listens.rename(columns={"user": "user_id", "item": "item_id", "timestamp": "datetime"}).assign(weight=1)
data = Dataset.construct(rows[["user_id", "item_id", "datetime", "weight"]])
model = SASRecModel(n_factors=128, session_max_len=30, loss="sampled_softmax", n_negatives=64, epochs=8)
model.fit(data)
found = model.recommend(users, data, k=20, filter_viewed=True, on_unsupported_targets="ignore")
found = found.rename(columns={"user_id": "user", "item_id": "item"})
found[["user", "item"]].to_parquet(f"{folder}/rectools_sasrec.parquet")
