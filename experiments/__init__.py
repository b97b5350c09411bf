"""Baselines and one-off studies that the documentation quotes, beside the package: run them from the root."""
