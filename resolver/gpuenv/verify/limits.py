"""What cards can do at most: the makers' figures, handed in by name, and memory bandwidth by the card's own clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpuenv.verify.values import CardLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class CardShares:
    """CardShares of the cards at hand, and the shares of them below which a card is reported.

    The shares are floors for "something is wrong" (throttled, shared, wrong slot), not targets: an H200 reached 80 % of
    the matrix rate and 90 % of the bandwidth that its maker states.
    """

    cards: tuple[CardLimits, ...] = ()
    least_matmul_share: float = 0.4
    least_copy_share: float = 0.6

    def of(self, name: str) -> CardLimits | None:
        """Return a card's limits; whether the maker's name stands before the card's depends on the driver.

        >>> h200 = CardLimits(name="H200", matmul_tflops=1.0, memory_gigabytes_per_second=None, source="")
        >>> CardShares(cards=(h200,)).of("NVIDIA H200").matmul_tflops
        1.0
        """
        return next((card for card in self.cards if _plain(card.name) == _plain(name)), None)


def _plain(name: str) -> str:
    return name.removeprefix("NVIDIA ").strip().lower()


def of_cards(cards: Sequence[CardLimits]) -> CardShares:
    """Make limits of the given cards with the usual floors."""
    return CardShares(cards=tuple(cards))


def by_clock(memory_clock_khz: int, bus_bits: int) -> float | None:
    """Return gigabytes a second of a memory that moves data twice a clock; ``None`` for implausible readings."""
    if not (100_000 <= memory_clock_khz <= 50_000_000 and 32 <= bus_bits <= 65_536):
        return None
    return 2 * memory_clock_khz * 1e3 * bus_bits / 8 / 1e9
