"""Item kNN of LensKit, the number of neighbours chosen on validation: python lenskit_knn.py <folder>"""

import sys

import pandas as pd
from lenskit.batch import recommend
from lenskit.data import from_interactions_df
from lenskit.knn import ItemKNNScorer
from lenskit.pipeline import topn_pipeline

folder = sys.argv[1]
listens = pd.read_parquet(f"{folder}/listens.parquet")
users = pd.read_parquet(f"{folder}/users.parquet")["user"]
train, validation = (listens[listens["part"] == part] for part in ("train", "validation"))


def lists(max_nbrs, rows, users):
    """Fit a model and return 20 new songs for each user, best first."""
    data = from_interactions_df(rows[["user", "item"]].drop_duplicates(), user_col="user", item_col="item")
    pipeline = topn_pipeline(ItemKNNScorer(max_nbrs=max_nbrs, feedback="implicit"), n=20)
    pipeline.train(data)
    found = recommend(pipeline, list(users), n=20).to_df()
    return found.rename(columns={"user_id": "user", "item_id": "item"})[["user", "item"]]


def hits(max_nbrs):
    """Count the songs of 2,000 users' validation that are in the lists made of train."""
    wanted = validation[["user", "item"]].drop_duplicates()
    wanted = wanted[wanted["user"].isin(wanted["user"].drop_duplicates().sample(2000, random_state=0))]
    return len(lists(max_nbrs, train, wanted["user"].unique()).merge(wanted))


if __name__ == "__main__":  # the processes that LensKit starts import this file
    chosen = max((10, 20, 100), key=hits)
    print("chosen: ItemKNNScorer, max_nbrs", chosen)
    lists(chosen, listens, users).to_parquet(f"{folder}/lenskit_knn.parquet")
