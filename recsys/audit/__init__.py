"""From a `Split`, models and their evaluation to checks that pass or fail, and measures."""
