"""One module a command, and one for the recipes: its options, and what it does with them."""
