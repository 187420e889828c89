"""A Jupyter-first, reproducible music recommender on plain dot-product embeddings."""
