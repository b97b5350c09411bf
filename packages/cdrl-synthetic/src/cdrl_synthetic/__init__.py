"""Synthetic talking heads: the same words in different emotions, with exact ground truth."""
