"""A user's own requirements: the files that state them and the files that lock them, read as values."""
