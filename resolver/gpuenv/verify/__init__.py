"""Proves an environment: imports, devices, native code, training, numbers, speed; and writes the evidence."""

from gpuenv.verify.values import CardLimits, Expected, ExpectedGpu, ExpectedPackage
from gpuenv.verify.verification import run_verification

__all__ = ["CardLimits", "Expected", "ExpectedGpu", "ExpectedPackage", "run_verification"]
