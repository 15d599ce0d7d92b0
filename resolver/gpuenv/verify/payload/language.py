"""The texts that are learned: made here from a seed, by the standard library alone, the same on every machine."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence

SYMBOLS = 256
SUCCESSORS = 4
WEIGHTS = (0.5, 0.25, 0.125, 0.125)
ENTROPY = -sum(weight * math.log(weight) for weight in WEIGHTS)
"""Nats a symbol of the Markov language: no model can do better in expectation (1.75 bit)."""


def arithmetic_samples(*, count: int, length: int, seed: int) -> list[bytes]:
    """Return ``count`` texts of ``length + 1`` bytes, lines such as ``17 + 25 = 42``: input and its shifted target."""
    generator = random.Random(f"gpuenv arithmetic {seed}")
    samples = []
    for _ in range(count):
        text = ""
        while len(text) <= length:
            text += _line(generator)
        samples.append(text[: length + 1].encode("ascii"))
    return samples


def _line(generator: random.Random) -> str:
    left, right = generator.randrange(100), generator.randrange(100)
    sign = generator.choice("+-*")
    result = {"+": left + right, "-": left - right, "*": left * right}[sign]
    return f"{left} {sign} {right} = {result}\n"


def markov_batches(*, steps: int, batch: int, length: int, seed: int) -> list[list[list[int]]]:
    """Return ``steps`` batches of rows of ``length + 1`` symbols of an order-1 chain whose entropy is ``ENTROPY``."""
    generator = random.Random(f"gpuenv markov {seed}")
    successors = [[generator.randrange(SYMBOLS) for _ in range(SUCCESSORS)] for _ in range(SYMBOLS)]
    for row in successors:
        # Four different successors: with a repeated one the entropy would be below the stated floor.
        while len(set(row)) < SUCCESSORS:
            row[:] = [generator.randrange(SYMBOLS) for _ in range(SUCCESSORS)]
    return [[_walk(generator, successors, length + 1) for _ in range(batch)] for _ in range(steps)]


def _walk(generator: random.Random, successors: Sequence[Sequence[int]], length: int) -> list[int]:
    state = generator.randrange(SYMBOLS)
    row = [state]
    while len(row) < length:
        draw = generator.random()
        state = successors[state][0 if draw < 0.5 else 1 if draw < 0.75 else 2 if draw < 0.875 else 3]
        row.append(state)
    return row


def normal_numbers(*, count: int, seed: int) -> list[float]:
    """Draw standard normal numbers without torch's generator, whose streams differ by device and may by release."""
    generator = random.Random(f"gpuenv weights {seed}")
    numbers: list[float] = []
    while len(numbers) < count:
        # Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958.
        radius = math.sqrt(-2.0 * math.log(1.0 - generator.random()))
        angle = 2.0 * math.pi * generator.random()
        numbers.extend((radius * math.cos(angle), radius * math.sin(angle)))
    return numbers[:count]


def fingerprint(batches: Sequence[Sequence[Sequence[int]]]) -> str:
    """Return the sha256 of a language's symbols, so that a curve and a run can be told to be of the same text."""
    digest = hashlib.sha256()
    for batch in batches:
        for row in batch:
            digest.update(bytes(row))
    return digest.hexdigest()
