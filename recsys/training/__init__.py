"""From a `Split` and a recipe to trained embeddings."""
