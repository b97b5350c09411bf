"""Shows whether the representations are right on people they never saw, and blind to each other's factor."""
