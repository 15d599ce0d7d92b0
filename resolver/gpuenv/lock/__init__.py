"""Locks: what was decided, exactly, in a file that uv and pip read too."""
