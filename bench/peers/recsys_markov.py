"""The Markov chain plus item kNN of this project, chosen on validation: python recsys_markov.py <folder>"""

import sys

import pandas as pd

import recsys

folder = sys.argv[1]
split = recsys.Split.load(f"{folder}/prepared")
result = recsys.evaluate(recsys.fit_baselines(split, "markov-knn"), split)
ranking = result.rankings["markov-knn"]
lists = pd.DataFrame({"user": ranking.users.repeat(20), "item": ranking.items[:, :20].ravel()})
lists.to_parquet(f"{folder}/recsys_markov.parquet")
