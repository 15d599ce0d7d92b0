"""Decide which PyTorch wheels run natively on a machine, lock them, build them, prove them."""

__version__ = "0.1.0"
