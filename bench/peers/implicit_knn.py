"""Item kNN and ALS of implicit, chosen on validation: python implicit_knn.py <folder>"""

import sys
from functools import partial

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from scipy.sparse import csr_matrix

folder = sys.argv[1]
listens = pd.read_parquet(f"{folder}/listens.parquet")
users = pd.read_parquet(f"{folder}/users.parquet")["user"].to_numpy()
shape = listens["user"].max() + 1, listens["item"].max() + 1
train, validation = (listens[listens["part"] == part] for part in ("train", "validation"))

kinds = (CosineRecommender, TFIDFRecommender, BM25Recommender)
models = [partial(kind, K=k) for kind in kinds for k in (5, 10, 20, 50)]
models += [partial(AlternatingLeastSquares, factors=128, alpha=a, regularization=0.1, random_state=0) for a in (1, 10)]


def lists(model, rows, users):
    """Fit a model and return 20 new songs for each user, best first."""
    pairs = rows[["user", "item"]].drop_duplicates()
    seen = csr_matrix((np.ones(len(pairs), np.float32), (pairs["user"], pairs["item"])), shape)
    fitted = model()
    fitted.fit(seen, show_progress=False)
    items, scores = fitted.recommend(users, seen[users], N=20)
    found = pd.DataFrame({"user": users.repeat(20), "item": items.ravel()})
    return found[scores.ravel() > 0]  # a user with too few candidates gets seen songs and −1 at the end


def hits(model):
    """Count the songs of validation that are in the lists made of train."""
    wanted = validation[["user", "item"]].drop_duplicates()
    return len(lists(model, train, wanted["user"].unique()).merge(wanted))


chosen = max(models, key=hits)
print("chosen:", chosen.func.__name__, chosen.keywords)
lists(chosen, listens, users).to_parquet(f"{folder}/implicit_knn.parquet")
