"""What several verbs share, each step in a module named after what it makes. Nothing here prints."""
