"""The decision: (machine, profile, catalog, facts, request, knowledge) -> which wheels, and why. Pure."""

from gpuenv.select.about import about
from gpuenv.select.alternatives import alternatives
from gpuenv.select.decide import decide
from gpuenv.select.evaluation import narrowed
from gpuenv.select.request import ProfileMismatch, Request, fits, wants_cpu
from gpuenv.select.settle import settle

__all__ = [
    "ProfileMismatch", "Request", "about", "alternatives", "decide", "fits", "narrowed", "settle", "wants_cpu",
]  # fmt: skip
