"""The operating system: child processes and files, each in one way for the whole package."""
