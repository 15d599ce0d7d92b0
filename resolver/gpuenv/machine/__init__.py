"""What this machine is: the cascade of detection, and the machine file."""
