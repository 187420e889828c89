"""ALS of Spark's MLlib for implicit feedback, chosen on validation: python spark_als.py <folder>"""

import sys

import numpy as np
import pandas as pd
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

folder = sys.argv[1]
session = SparkSession.builder.config("spark.driver.memory", "4g").getOrCreate()
listens = pd.read_parquet(f"{folder}/listens.parquet")
users = pd.read_parquet(f"{folder}/users.parquet")["user"].to_numpy()
train, validation = (listens[listens["part"] == part] for part in ("train", "validation"))


def lists(alpha, rows, users):
    """Fit a model and return 20 new songs for each user, best first."""
    pairs = rows[["user", "item"]].drop_duplicates().assign(rating=1.0)
    als = ALS(rank=128, maxIter=15, alpha=alpha, implicitPrefs=True, seed=0, userCol="user", itemCol="item")
    model = als.fit(session.createDataFrame(pairs))
    tables = [factors.toPandas().set_index("id")["features"] for factors in (model.userFactors, model.itemFactors)]
    songs, vectors = tables[1].index.to_numpy(), np.stack(tables[1])
    seen, found = pairs.groupby("user")["item"].agg(list), []
    for user in users:
        scores = vectors @ np.array(tables[0][user])
        scores[np.isin(songs, seen[user])] = -np.inf
        found.append(songs[np.argsort(-scores)[:20]])
    return pd.DataFrame({"user": users.repeat(20), "item": np.concatenate(found)})


def hits(alpha):
    """Count the songs of validation that are in the lists made of train."""
    wanted = validation[["user", "item"]].drop_duplicates()
    known = wanted[wanted["user"].isin(train["user"])]
    return len(lists(alpha, train, known["user"].unique()).merge(wanted))


chosen = max((1.0, 10.0, 40.0), key=hits)
print("chosen: ALS, 128 factors, alpha", chosen)
lists(chosen, listens, users).to_parquet(f"{folder}/spark_als.parquet")
