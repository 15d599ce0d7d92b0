"""What cards can do at most: the makers' figures by name, and memory bandwidth by the card's own clocks."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from gpuenv.verify.values import CardLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits by card name, and the shares of them below which a card is reported."""

    cards: Mapping[str, CardLimits] = field(default_factory=dict)
    least_matmul_share: float
    least_copy_share: float

    def of(self, name: str) -> CardLimits | None:
        """Return a card's limits. NVML and CUDA put the maker's name first or not, by driver.

        The longest name that the card's name begins with is taken, so that ``H100 PCIe`` is not an ``H100``.
        """
        plain = name.removeprefix("NVIDIA ").strip()
        fitting = [known for known in self.cards if plain == known or plain.startswith(f"{known} ")]
        return self.cards[max(fitting, key=len)] if fitting else None


def load(*, more: tuple[CardLimits, ...] = ()) -> Limits:
    """Read the packaged table; ``more`` takes precedence over it."""
    data = tomllib.loads((files("gpuenv.verify") / "limits.toml").read_text("utf-8"))
    rows = [
        CardLimits(
            name=row["name"],
            matmul_tflops=row.get("matmul_tflops"),
            memory_gigabytes_per_second=row.get("memory_gigabytes_per_second"),
            source=data["sources"][row["source"]],
        )
        for row in data["card"]
    ]
    return Limits(
        cards={row.name.removeprefix("NVIDIA "): row for row in (*rows, *more)},
        least_matmul_share=data["least_matmul_share"],
        least_copy_share=data["least_copy_share"],
    )


def by_clock(memory_clock_khz: int, bus_bits: int) -> float | None:
    """Return gigabytes a second of a memory that moves data twice a clock; ``None`` for implausible readings."""
    if not (100_000 <= memory_clock_khz <= 50_000_000 and 32 <= bus_bits <= 65_536):
        return None
    return 2 * memory_clock_khz * 1e3 * bus_bits / 8 / 1e9
