"""How well edits can be told from real footage: by a detector trained on other people, and by what it would look at."""
