"""A kernel in Triton's language, whose source Triton reads from the file."""

# mypy: ignore-errors
# Triton compiles the text of the function: its types are the language's own.

import triton
import triton.language as tl


@triton.jit
def multiply_add(left, right, out, count, BLOCK: tl.constexpr):
    """Write left * right + left."""
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < count
    x = tl.load(left + places, mask=inside)
    y = tl.load(right + places, mask=inside)
    tl.store(out + places, x * y + x, mask=inside)
