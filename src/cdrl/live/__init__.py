"""Editing while it is filmed: a camera in, edited frames out, each as new as it can be."""
