"""EASE of RecBole, its regularisation chosen on validation: python recbole_ease.py <folder>"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.interaction import Interaction
from recbole.model.general_recommender import EASE

folder = Path(sys.argv[1])
listens = pd.read_parquet(folder / "listens.parquet")
users = pd.read_parquet(folder / "users.parquet")["user"].to_numpy()
train, validation = (listens[listens["part"] == part] for part in ("train", "validation"))


def lists(regularisation, name, rows, users):
    """Fit a model and return 20 new songs for each user, best first."""
    (folder / name).mkdir(exist_ok=True)
    table = rows[["user", "item"]].drop_duplicates().set_axis(["user_id:token", "item_id:token"], axis=1)
    table.to_csv(folder / name / f"{name}.inter", sep="\t", index=False)
    settings = {"data_path": str(folder), "reg_weight": regularisation, "load_col": {"inter": ["user_id", "item_id"]}}
    config = Config(model="EASE", dataset=name, config_dict=settings)
    data = create_dataset(config)
    model, seen = EASE(config, data), data.inter_matrix("csr")
    codes, found = data.token2id("user_id", users.astype(str)), []
    for batch in np.array_split(codes, len(codes) // 500 + 1):
        scores = model.full_sort_predict(Interaction({"user_id": torch.as_tensor(batch)}))
        scores = scores.reshape(len(batch), -1)
        scores[seen[batch].nonzero()] = -torch.inf
        scores[:, 0] = -torch.inf  # the code 0 is no song
        found.append(scores.topk(20).indices.numpy().ravel())
    items = data.id2token("item_id", np.concatenate(found)).astype(int)
    return pd.DataFrame({"user": users.repeat(20), "item": items})


def hits(regularisation):
    """Count the songs of validation that are in the lists made of train."""
    wanted = validation[["user", "item"]].drop_duplicates()
    return len(lists(regularisation, "train", train, wanted["user"].unique()).merge(wanted))


chosen = max((10.0, 30.0), key=hits)
print("chosen: EASE, reg_weight", chosen)
lists(chosen, "all", listens, users).to_parquet(folder / "recbole_ease.parquet")
