"""How far a correct kernel may be from the true result where no exact one exists.

A result that is reached by n roundings, each relative to a magnitude of at most s, is off by at most λ √n u s with a
probability of at least 1 - 2 exp(-λ²/2) (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis,
SIAM J. Sci. Comput. 41(5), 2019, theorem 2.4; the worst case, n u s, is Higham, Accuracy and Stability of Numerical
Algorithms, section 3.1). u is the type's unit roundoff. s is summed from absolute values, so that cancellation does
not make it small, and n counts the roundings of the worst correct algorithm: one that rounds every partial sum to the
type itself, as processors without a unit for the type do. One rounding has a mean square of u²/3 at most, so the root
mean square of n independent ones is √(n/3) u of the result's.

Nothing here was found by trying: the margin that correct kernels keep to these bounds is a result, which
``tools/numeric_surroundings.py`` prints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

CONFIDENCE = 4.0
"""λ: an element passes its bound with a probability of 7e-4 at most."""

FUNCTION = 16
"""Roundings of exp, tanh or erf computed in fp32: λ √16 u covers 8 u, which is 4 units in the last place, twice (CUDA
C++ Programming Guide, Mathematical Functions: at most 2 units; SLEEF, used by ATen: 3.5). A narrower type computes
them in fp32 and rounds once."""


def largest(roundings: int) -> float:
    """Return the bound of one element's error, in unit roundoffs of its magnitude.

    >>> largest(16)
    16.0
    """
    return CONFIDENCE * math.sqrt(roundings)


def mean_square(roundings: int, weight: float = 1.0) -> float:
    """Return the bound of the error's root mean square, in unit roundoffs of the result's root mean square.

    ``weight``: the mean factor by which an error is larger than relative to the result.
    """
    return CONFIDENCE * weight * math.sqrt(roundings / 3)


def functions(count: int, *, narrow: bool) -> int:
    """Return the roundings of ``count`` elementary functions."""
    return count if narrow else count * FUNCTION


UNITS = {"fp32": 2.0**-24, "fp16": 2.0**-11, "bf16": 2.0**-8}
"""Unit roundoff of the type that products are computed in."""
FIRST = 1e-5
"""The first loss is ln 256 whatever the weights; cross entropy in fp32 rounds 256 terms: √256 · 2^-24 · ln 256 · 2."""
ROUNDINGS = 64
"""Rounded partial sums of one operation: products of 2,048 terms in blocks of 32, the shortest tile along K (AMX)."""


def curves(reference: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return for each precision how far the loss may be from the reference at each step, in nats.

    ``reference["spread"]`` tells how far the loss of a step moves, as a root mean square, where every operation of all
    steps before is rounded once to the type (where autocast computes products alone in it, these). It is a property of
    the model and text, computed with rounded operations (``tools/make_reference_curve.py``), and never below that of
    an earlier step, so that the bound grows: a forward error is the problem's sensitivity times the backward error
    (Higham, section 1.6).
    """
    return {
        precision: tuple(FIRST + largest(ROUNDINGS) * spread for spread in (0.0, *reference["spread"][precision][1:]))
        for precision in UNITS
    }
