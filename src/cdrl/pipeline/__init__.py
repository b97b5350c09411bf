"""From a clip to the edited clip, in named stages: decode, track, manipulate, render, encode."""
