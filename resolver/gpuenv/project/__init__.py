"""A person's own project: the files that state requirements or lock them, read as values with their places; and how they
are written back."""
