"""A person's own project: files that state requirements or lock them, read as values with places, and written back."""
