"""Inputs that hypothesis draws: from a target's own words and keys, and from every text and value there is."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import cache

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz.judge import Target
from fuzz.mutate import WORDS

BATCH = 50


def draw(target: Target, start: int, take: Callable[[bytes], None], *, seconds: float) -> int:
    """Hand ``take`` drawn inputs until the time is over; returns how many. ``start`` tells which."""
    ends, count = time.monotonic() + seconds, 0
    while not count or time.monotonic() < ends:

        @seed(f"{target.name} {start + count}")
        @settings(
            max_examples=BATCH,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs(target.name, target))
        def batch(data: bytes) -> None:
            nonlocal count
            if not count or time.monotonic() < ends:
                count += 1
                take(data)

        batch()
        if time.monotonic() > ends:
            break
    return count


@cache
def inputs(name: str, target: Target) -> st.SearchStrategy[bytes]:
    """Documents of the target's kind whose keys and words are those of its samples."""
    samples = target.samples()
    text = b"\n".join(samples).decode("utf-8", "replace")
    known = sorted(set(re.findall(r"[\w.+:/-]{1,60}", text[:200_000])))[:400]
    words = st.sampled_from([*known, *WORDS]) | st.text(max_size=20)
    if target.kind in ("json", "lines"):
        keys = st.sampled_from(sorted({*re.findall(r'"([\w-]+)":', text)}) or ["x"]) | words
        leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
        tree = st.recursive(
            leaves, lambda below: st.lists(below, max_size=6) | st.dictionaries(keys, below, max_size=8)
        )
        one = tree.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return one if target.kind == "json" else st.lists(one, max_size=12).map(b"\n".join)
    if target.kind == "bytes":
        pieces = st.binary(max_size=40) | st.sampled_from(
            [each[at : at + 64] for each in samples for at in range(0, len(each), 64)][:2000]
        )
        return st.lists(pieces, max_size=40).map(b"".join)
    marks = st.sampled_from(["\n", " ", "=", ": ", ", ", "\t", '"', "-", "/", "[", "]", ""])
    body = st.lists(st.tuples(words, marks), max_size=40).map(lambda pairs: "".join(a + b for a, b in pairs))
    first = sorted({each.partition(b"\n")[0] for each in samples})
    lines = body.map(lambda each: each.encode("utf-8", "surrogatepass"))
    return lines | st.tuples(st.sampled_from(first), lines).map(b"\n".join)
