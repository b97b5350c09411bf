"""Finds and follows a face, and tells its expression from its shape and its pose."""
