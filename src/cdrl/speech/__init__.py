"""Turns speech into features of what is said, at the frames of a video, and aligns two takes in time."""
