"""The recipe `best` of this project, all its choices on validation: python recsys_best.py <folder>"""

import sys

import pandas as pd

import recsys

folder = sys.argv[1]
split = recsys.Split.load(f"{folder}/prepared")
result = recsys.evaluate({"best": recsys.train(split, "best")}, split)
ranking = result.rankings["best"]
lists = pd.DataFrame({"user": ranking.users.repeat(20), "item": ranking.items[:, :20].ravel()})
lists.to_parquet(f"{folder}/recsys_best.parquet")
