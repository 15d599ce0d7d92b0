"""The command line: arguments, settings, console, exit codes. The only room that prints, or reads the environment."""
