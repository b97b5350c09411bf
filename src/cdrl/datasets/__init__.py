"""Data sets of talking faces: tables, splits by person, aligned crops in shards, pairs, synthetic heads."""
