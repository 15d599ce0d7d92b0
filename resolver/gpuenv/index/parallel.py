"""Does several requests at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(ask: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call ``ask`` for each item, a few at a time; results in the order of the items, the first error raised."""
    if len(items) < 2:
        return [ask(item) for item in items]
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(ask, items))
