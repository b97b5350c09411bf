"""What to change in a face, when, and by how much."""
