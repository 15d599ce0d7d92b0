"""Pages drawn for the laws: wheels of torch and torchvision, what is inside each, and the machines that ask."""

from __future__ import annotations

from hypothesis import strategies as st

from gpuenv.knowledge import load
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.decision import Decision, NoDecision
from gpuenv.model.machine import ComputeCapability, Machine
from gpuenv.model.wheel import Catalog, Wheel, WheelContents
from gpuenv.select.decide import decide
from support.choosing import catalog, profile, request, wheel

CAPABILITIES = ("5.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
CODES = ("50", "60", "70", "75", "80", "86", "90", "100", "120")
VARIANTS = ("cu118", "cu126", "cu128", "cu129", "cu130", "cu132")
VERSIONS = ("9.0.0", "9.1.0", "9.2.0")
PYTHONS = ("cp311", "cp312")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "win_amd64")
DRIVERS = (
    "450.51.06", "450.80.02", "470.82.01", "520.61.05", "525.60.12", "525.60.13", "535.104.05", "550.54.15",
    "560.35.03",
    "570.26", "570.124.06", "575.57.08", "580.65.05", "580.65.06", "580.95.05", "590.48.01", "595.71.05", "610.43.02",
)  # fmt: skip
TORCH = profile(channel="stable")


@st.composite
def offers(draw: st.DrawFn) -> tuple[Catalog, dict[str, WheelContents]]:
    """A page of wheels of torch and torchvision, and what is inside each."""
    wheels: list[Wheel] = []
    facts: dict[str, WheelContents] = {}
    builds = st.tuples(st.sampled_from(VERSIONS), st.sampled_from(VARIANTS))
    for version, variant in draw(st.lists(builds, min_size=1, max_size=6, unique=True)):
        sass = draw(st.lists(st.sampled_from(_codes(variant)), min_size=1, max_size=5, unique=True))
        ptx = draw(st.lists(st.sampled_from(_codes(variant)), max_size=1))
        pins = draw(st.sampled_from(VERSIONS))
        inside = WheelContents(
            cuda=load().cuda_of(variant),
            sass=tuple(f"sm_{code}" for code in sorted(sass, key=int)),
            ptx=tuple(f"compute_{code}" for code in ptx),
            requires_dist=(),
        )
        for python in draw(st.lists(st.sampled_from(PYTHONS), min_size=1, unique=True)):
            tag = f"{python}-{python}-{draw(st.sampled_from(PLATFORMS))}"
            torch = wheel("torch", f"{version}+{variant}", tag=tag)
            vision = wheel("torchvision", f"90.{version[2]}.0+{variant}", tag=tag)
            wheels += [torch, vision]
            facts[torch.url] = inside
            facts[vision.url] = WheelContents(requires_dist=(f"torch=={draw(st.sampled_from([version, pins]))}",))
    return catalog(dict.fromkeys(wheels)), facts


def _codes(variant: str) -> list[str]:
    """What the toolkit of a variant can compile for: a wheel with other code cannot be."""
    cuda = load().cuda_of(variant) or ""
    firsts = {code: load().first_cuda_for(ComputeCapability.parse(f"{code[:-1]}.{code[-1]}")) or "" for code in CODES}
    return [code for code, first in firsts.items() if compare_versions(first, cuda) <= 0]


def answer(
    on: Machine, offer: tuple[Catalog, dict[str, WheelContents]], wish: object = TORCH, **values: object
) -> Decision | NoDecision:
    said = decide(on, wish, offer[0], offer[1], request(**values), load())  # type: ignore[arg-type] # a Profile
    assert isinstance(said, Decision | NoDecision)
    return said


def runs_natively(capability: str, sass: tuple[str, ...]) -> bool:
    """The rule of major and minor by itself, written a second time (no suffixes, no embedded chips here)."""
    major, minor = map(int, capability.split("."))
    codes = [divmod(int(code.removeprefix("sm_")), 10) for code in sass]
    return any(code[0] == major and code[1] <= minor for code in codes)
