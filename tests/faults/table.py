"""Every case."""

from __future__ import annotations

from faults import damage, disks, edits, kills, network, secrets, sources, together

CASES = tuple(
    case for group in (kills, disks, network, edits, sources, secrets, together, damage) for case in group.cases()
)
