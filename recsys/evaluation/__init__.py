"""From a `Split` and models with a `scores(users)` method to metrics with intervals."""
