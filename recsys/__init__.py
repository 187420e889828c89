"""A Jupyter-first, reproducible music recommender on plain dot-product embeddings.

Data flow one way: datasets → prepare → split → training → ranking → metrics → evaluation → audit → figures → reports.
Start with `recommend.Recommender` to use a model, `steps` for what the notebooks call, `training` and `recipes` to
change how a model learns, `evaluation` to judge anything that has `scores(users)`.
"""
