"""Many edits: a list or a folder of clips, carried out side by side, resumable, each result whole or not there."""
