"""The law of companions, over random sets of them, torches and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from gpuenv.knowledge import load
from gpuenv.model.decision import Companion
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.wheel import Wheel
from gpuenv.select.companion_set import Places, bench_of
from gpuenv.select.companions import CompanionSet, NoSet, Offer, Torch, Wanted, choose
from support.choosing import machine, request, wheel
from support.offers import runs_natively

laws = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

CAPABILITIES = ("7.0", "7.5", "8.0", "8.6", "9.0", "12.0")
CODES = ("sm_70", "sm_75", "sm_80", "sm_90", "sm_120")
GONE = "_ZN2at4_ops4tril4callERKNS_6TensorEl"
"""Exported by torch 2.9, not by 2.10."""
CAME = "torch_call_dispatcher"
"""Exported by torch 2.10 and later, not by 2.9."""
TORCHES = (("2.9.1", "12.8"), ("2.9.1", "13.0"), ("2.10.0", "12.8"), ("2.10.0", "13.0"))
PROJECTS = ("pyg-lib", "sgl-kernel", "torchao", "torch-scatter")

libraries = st.builds(
    lambda number, sass, ptx, major, symbols: LibraryFacts(
        path=f"x/_{number}.so", sass=tuple(sass), ptx=tuple(ptx), cuda_major=major, torch_symbols=tuple(symbols)
    ),
    st.integers(0, 9),
    st.lists(st.sampled_from(CODES), unique=True, max_size=4).map(sorted),
    st.lists(st.sampled_from(("compute_80", "compute_90")), unique=True, max_size=1),
    st.sampled_from((None, 12, 13)),
    st.lists(st.sampled_from((GONE, CAME)), unique=True, max_size=1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What is offered: of each project its wheels, and what is in them; ``None``: nobody knows."""

    inside: dict[str, tuple[LibraryFacts, ...] | None]

    def offers(self, project: str, torch: Torch) -> Sequence[Offer]:
        return [Offer(wheel=_wheel(each), place="PyPI") for each in self.inside if each.startswith(f"{project} ")]

    def facts(self, row: Wheel) -> PackageFacts | None:
        found = self.inside[f"{row.project} {row.version}"]
        return found and PackageFacts(project=row.project, version=row.version, libraries=found)


def _wheel(label: str) -> Wheel:
    project, version = label.split()
    return wheel(project, version, source="package-index")


@st.composite
def markets(draw: st.DrawFn) -> Market:
    inside: dict[str, tuple[LibraryFacts, ...] | None] = {}
    for project in draw(st.lists(st.sampled_from(PROJECTS), min_size=1, max_size=3, unique=True)):
        for number in range(draw(st.integers(1, 4))):
            known = draw(st.lists(libraries, min_size=1, max_size=2, unique_by=lambda each: each.path))
            inside[f"{project} {number}.0"] = draw(st.sampled_from((tuple(known), tuple(known), None)))
    return Market(inside=inside)


def _choose(market: Market, torches: Sequence[tuple[str, str]], capabilities: Sequence[str]) -> CompanionSet | NoSet:
    on = machine(*capabilities, driver="580.95.05", cuda="13.0")
    places = Places(offers=market.offers, facts=market.facts)
    bench = bench_of(on, request(), load(), places, python="3.12")
    wanted = [
        Wanted(project=project, specifier=SpecifierSet(), offers=market.offers)
        for project in dict.fromkeys(each.split()[0] for each in market.inside)
    ]
    rows = [Torch(wheel=wheel("torch", f"{version}+cu{cuda.replace('.', '')}"), cuda=cuda) for version, cuda in torches]
    return choose(wanted, rows, bench)


torches = st.lists(st.sampled_from(TORCHES), min_size=1, max_size=4, unique=True)
capabilities = st.lists(st.sampled_from(CAPABILITIES), min_size=1, max_size=3, unique=True)


@laws
@given(markets(), torches, capabilities)
def test_no_set_holds_what_does_not_run_there(
    market: Market, torches: list[tuple[str, str]], capabilities: list[str]
) -> None:
    """For random sets of companions and machines, no chosen set holds a library without code for a card in scope unless
    said, nor two CUDA majors, nor a missing symbol."""
    found = _choose(market, torches, capabilities)
    if isinstance(found, NoSet):
        return
    minor, major = found.torch.minor, int(found.torch.cuda.partition(".")[0])
    assert len(found.chosen) == len({each.split()[0] for each in market.inside})
    for each in found.chosen:
        assert each.wheel is not None
        inside = market.inside[f"{each.project} {each.version}"]
        if inside is None:
            assert each.support == "unknown"
            assert each.because
            continue
        assert {library.cuda_major for library in inside} <= {None, major}
        assert not (minor == "2.10" and any(GONE in library.torch_symbols for library in inside))
        assert not (minor == "2.9" and any(CAME in library.torch_symbols for library in inside))
        _check_code(each, inside, capabilities)


def _check_code(each: Companion, inside: Sequence[LibraryFacts], capabilities: Sequence[str]) -> None:
    coded = [library for library in inside if library.sass or library.ptx]
    for text in capabilities:
        capability = ComputeCapability.parse(text)
        native = any(runs_natively(text, library.sass) for library in coded)
        if coded and not native:
            assert each.support in ("ptx", "idle")
            assert each.because
            has_ptx = any(_of(code) <= capability for library in coded for code in library.ptx)
            assert has_ptx or each.project == "torchao"
    if each.support == "native":
        assert coded


def _of(code: str) -> ComputeCapability:
    digits = code.rpartition("_")[2]
    return ComputeCapability(int(digits[:-1]), int(digits[-1]))


@laws
@given(markets(), torches, capabilities)
def test_a_set_that_there_is_is_found(market: Market, torches: list[tuple[str, str]], capabilities: list[str]) -> None:
    """Where each companion has a wheel that needs neither torch nor CUDA, the torch that was decided stays."""
    plain = (LibraryFacts(path="x/_plain.so", sass=CODES),)
    inside = {**market.inside, **{f"{each.split()[0]} 0.1": plain for each in market.inside}}
    found = _choose(Market(inside=inside), torches, capabilities)
    assert isinstance(found, CompanionSet)
    version, cuda = torches[0]
    assert (found.torch.wheel.version.partition("+")[0], found.torch.cuda) == (version, cuda)
