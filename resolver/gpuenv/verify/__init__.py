"""Proves an environment: imports, devices, native code, training, numbers, speed; and writes the evidence."""

from gpuenv.verify.expected import Expected, ExpectedPackage
from gpuenv.verify.verification import run_verification

__all__ = ["Expected", "ExpectedPackage", "run_verification"]
