"""What a build is told: the cards in each project's own spelling."""

from __future__ import annotations

from gpuenv.knowledge.source_builds import recipe_of
from gpuenv.model.machine import ComputeCapability

CARDS = (ComputeCapability(12, 0), ComputeCapability(8, 6), ComputeCapability(12, 0))


def test_the_cards_are_sorted_and_told_once() -> None:
    assert recipe_of("anything").switches(CARDS) == {"TORCH_CUDA_ARCH_LIST": "8.6;12.0"}
    assert recipe_of("natten").switches(CARDS)["NATTEN_CUDA_ARCH"] == "8.6;12.0"
    assert recipe_of("flash-attn").switches(CARDS) == {
        "FLASH_ATTENTION_FORCE_BUILD": "TRUE",
        "FLASH_ATTN_CUDA_ARCHS": "86;120",
        "TORCH_CUDA_ARCH_LIST": "8.6;12.0",
    }


def test_without_cards_no_architecture_is_named() -> None:
    assert recipe_of("flash-attn").switches(()) == {"FLASH_ATTENTION_FORCE_BUILD": "TRUE"}
