"""The decision: (machine, profile, catalog, facts, request, knowledge) -> which wheels, and why. Pure.

What explains an answer or a refusal is imported where it is asked for: ``about``, ``alternatives``, ``present``.
"""

from gpuenv.select.decide import decide
from gpuenv.select.evaluation import narrowed
from gpuenv.select.request import ProfileMismatch, Request, fits, wants_cpu
from gpuenv.select.settle import settle

__all__ = ["ProfileMismatch", "Request", "decide", "fits", "narrowed", "settle", "wants_cpu"]
