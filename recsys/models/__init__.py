"""From a `Split` to models with a `scores(users)` method: baselines, embeddings, and the neighbours of songs."""
