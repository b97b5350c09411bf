"""Baselines and one-off studies that the documentation quotes: run them from the repository's root, they are no part of
the package."""
