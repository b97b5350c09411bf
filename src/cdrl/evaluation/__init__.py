"""Judges that decide what an edit is worth. None of them plays a part in an edit."""
