"""What is wrong with a machine or an environment, and the one command that fixes it."""
