"""Proves an environment: imports, devices, native code, training, numbers, speed; and writes the evidence."""
