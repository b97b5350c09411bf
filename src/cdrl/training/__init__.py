"""Recipes that fit what ships, one file each, run by `cdrl train`."""
