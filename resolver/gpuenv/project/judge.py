"""Judges what a project has fixed for one machine: whether each package with code for GPUs runs there, and why not.

Pure: nothing is read. Where the tables do not know a wheel, its verdict is ``unknown`` and carries the question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import packages
from gpuenv.knowledge.names import local, public
from gpuenv.knowledge.rules import code_of
from gpuenv.metadata import parse_range, parse_requirement, parse_version
from gpuenv.model.decision import Question
from gpuenv.model.wheel import Wheel
from gpuenv.project.pinned_wheel import open_words, wheel_of
from gpuenv.project.pins import MarkerTarget, Pin, Project
from gpuenv.project.requirements_file import FilePlace
from gpuenv.project.torch_verdict import build_of, conda_build, driver_verdict, torch_verdict
from gpuenv.project.verdicts import Bench, Judged, PackageVerdict, Word
from gpuenv.select.beside import Lack, Unfit, beside, facts_in_table
from gpuenv.select.companion_verdict import Surroundings
from gpuenv.select.target import Refusal

LIBRARIES, EVERYTHING = "NVIDIA libraries", "everything"
_VERIFY = "`gpuenv verify ENV` on that machine, which runs a kernel of it"


def judge(pins: Sequence[Pin], bench: Bench) -> tuple[Judged, ...]:
    """Judge pins that are installed together: torch first, then the others by name, NVIDIA's libraries last."""
    found = []
    build: str | None = None
    version = ""
    for pin in (each for each in pins if each.name == "torch"):  # of several the one installed last is there
        wheel = wheel_of(pin, bench)
        build = build_of(pin, wheel, bench)
        version = wheel.version if isinstance(wheel, Wheel) else pin.version
        verdict = torch_verdict(pin, wheel, build, bench)
        found.append(Judged(name="torch", version=version, build=build or "", verdict=verdict, place=pin.place))
    others = sorted((each for each in pins if each.name != "torch"), key=lambda each: (each.name, each.version))
    names = frozenset(each.name for each in pins)
    beside = _Beside(torch=version, build=build, names=names, bench=bench)
    found += (beside.judged(each) for each in others if not packages.is_library(each.name))
    found += beside.libraries([each for each in others if packages.is_library(each.name)])
    return tuple(found)


def refused(project: Project, bench: Bench, target: MarkerTarget) -> Judged | None:
    """A row for the whole of a project that is locked for other machines, or for another Python; ``None`` for one that
    can be installed."""
    allowed = parse_range(project.requires_python)
    why = ""
    if allowed is not None and not allowed.contains(target.markers["python_full_version"], prereleases=True):
        why = f"is for Python {project.requires_python}, not {bench.python}"
    elif others := project.refuses(target):
        why = f"is locked for other machines: {others}"
    if not why:
        return None
    place = FilePlace(file=project.shown, line=1)
    return Judged(
        name=EVERYTHING, version="", build="", verdict=PackageVerdict(word="no-wheel", detail=why), place=place
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """A torch that other packages stand beside; ``torch`` is empty where there is none."""

    torch: str
    build: str | None
    names: frozenset[str]
    bench: Bench

    @property
    def cuda(self) -> str | None:
        """torch's CUDA; ``""`` without one, ``None`` where it is not known."""
        if self.build is None:
            return None
        return self.bench.knowledge.cuda_of(self.build) or ""

    def judged(self, pin: Pin) -> Judged:
        """Judge one package: is there a wheel, does it load beside this torch, does the driver run it, has it code."""
        wheel = wheel_of(pin, self.bench)
        own = self._own_build(pin, wheel)
        verdict = self._verdict(pin, wheel, own)
        return Judged(name=pin.name, version=pin.version, build=own, verdict=verdict, place=pin.place)

    def _own_build(self, pin: Pin, wheel: Wheel | Refusal | None) -> str:
        """How it is built, by local part, folder of an index or conda's build; empty where these do not say."""
        said = local(pin.version)
        if said and (said == "cpu" or self.bench.knowledge.cuda_of(said) is not None):
            return said
        if isinstance(wheel, Wheel) and wheel.variant:
            return wheel.variant
        return (conda_build(pin.conda) or "") if pin.conda else ""

    def _verdict(self, pin: Pin, wheel: Wheel | Refusal | None, own: str) -> PackageVerdict:
        known = packages.gpu_package(pin.name)
        if isinstance(wheel, Refusal):
            if known is not None and known.built:
                return self._compiled(known)
            return PackageVerdict(word="no-wheel", detail=wheel.detail)
        role = self.bench.knowledge.role(pin.name)
        if role == "compiler":
            return self._compiler(pin)
        if role == "companion" and wheel is not None:
            return self._companion(pin, wheel, own)
        if wheel is None and not pin.conda:
            if known is not None and known.built:
                return self._compiled(known)
            return PackageVerdict(word="unknown", detail=open_words(pin), tells="a lock of it")
        if known is not None and known.built == "use":
            return self._compiled(known)
        return self._by_cuda(pin, wheel, known, own)

    def _companion(self, pin: Pin, wheel: Wheel, own: str) -> PackageVerdict:
        """torchvision and torchaudio: what they compare when they are imported, and what they ask of torch."""
        knowledge = self.bench.knowledge
        check = knowledge.import_checks.get(pin.name)
        read = self.bench.facts.get(wheel.url)
        cuda = read.cuda if read is not None and read.cuda is not None else knowledge.cuda_of(own) or ""
        known = bool(own) or (read is not None and read.cuda is not None)
        if check is not None and known and self.cuda is not None and self.torch and not check.passes(cuda, self.cuda):
            if not cuda:
                return _idle(self.bench)
            both = f"is built {_with(cuda)}, torch {_with(self.cuda)}"
            return PackageVerdict(word="will-not-load", detail=f"{both}: its import fails", facts=(check.source,))
        wanted = self._requires(pin)
        if self.torch and wanted and not self._has(wanted):
            detail = f"is made for torch{wanted}, this is {public(self.torch)}"
            return PackageVerdict(word="will-not-load", detail=detail, facts=("its metadata",))
        if self.torch and (known or "==" in wanted or check is None):
            built = f", built {_with(cuda)}" if known else ""
            return PackageVerdict(word="fits", detail=f"goes with torch {public(self.torch)}{built}")
        question = Question(wheel=wheel, about="build") if "://" in wheel.url else None
        return PackageVerdict(
            word="unknown", detail="which CUDA it is built with is not known", question=question, tells=_VERIFY
        )

    def _requires(self, pin: Pin) -> str:
        wheel = Wheel(
            project=pin.name, version=public(pin.version), filename="", url="", source="pytorch", channel="stable",
            variant=None,
        )  # fmt: skip
        texts = self.bench.knowledge.family_requires(wheel) or ()
        found = (parse_requirement(text) for text in texts)
        return next((str(each.specifier) for each in found if each is not None and each.name == "torch"), "")

    def _has(self, wanted: str) -> bool:
        """Whether this torch is in a range; one that cannot be read excludes nothing."""
        allowed, torch = parse_range(wanted), parse_version(public(self.torch))
        return allowed is None or torch is None or allowed.contains(torch, prereleases=True)

    def _compiler(self, pin: Pin) -> PackageVerdict:
        """triton: whether torch.compile works on every card. Without it torch runs all the same."""
        assembler = self.bench.knowledge.assemblers.get(public(pin.version))
        gpus = self.bench.machine.gpus
        if not gpus:
            return PackageVerdict(word="fits", detail="compiles for GPUs, of which there is none")
        first, source = packages.least_to_compile()
        for gpu in gpus:
            code = code_of(gpu.compute_capability)
            if gpu.compute_capability < first:
                detail = f"torch.compile cannot use it for {code}: it begins at {first}"
                return PackageVerdict(word="no-compile", detail=detail, facts=(source,))
            if assembler is not None and gpu.compute_capability not in assembler.capabilities:
                detail = f"its assembler does not know {code}: torch.compile fails"
                return PackageVerdict(word="no-compile", detail=detail, facts=(assembler.source,))
        if assembler is None:
            return PackageVerdict(word="unknown", detail="no table knows what it assembles code for", tells=_VERIFY)
        code = code_of(gpus[0].compute_capability)
        return PackageVerdict(word="native", detail=f"assembles {code}", by=code, facts=(assembler.source,))

    def _compiled(self, known: packages.GpuPackage) -> PackageVerdict:
        """Source that is compiled there, when it is installed or used: for the very card, if everything goes well."""
        if (least_code := self._below(known)) is not None:
            return least_code
        when = (
            "is compiled on the machine when it is installed" if known.built == "install" else "compiles at first use"
        )
        return PackageVerdict(word="unknown", detail=when, facts=(known.source,), tells=_VERIFY)

    def _below(self, known: packages.GpuPackage) -> PackageVerdict | None:
        for gpu in self.bench.machine.gpus:
            if known.least is not None and gpu.compute_capability < known.least:
                detail = f"no code for {code_of(gpu.compute_capability)}: it begins at {known.least}"
                return PackageVerdict(word="no-code", detail=detail, facts=(known.source,))
        return None

    def _by_cuda(self, pin: Pin, wheel: Wheel | None, known: packages.GpuPackage | None, own: str) -> PackageVerdict:
        """A compiled package: its CUDA beside torch's, the driver, then its code."""
        knowledge, bench = self.bench.knowledge, self.bench
        default = not own and not local(pin.version)
        code = packages.code_in(pin.name, pin.version, bench.platform, cuda=self.cuda or None) if default else None
        cuda = knowledge.cuda_of(own) or (code.cuda if code else "")
        major = cuda.partition(".")[0] or packages.cuda_major(pin.name, pin.version) or ""
        if own == "cpu" and self.cuda != "":
            return _idle(bench)
        if (apart := self._apart(pin, known, major)) is not None:
            return apart
        if not bench.machine.gpus and self.cuda == "":
            return PackageVerdict(word="fits", detail="goes with a torch without CUDA")
        if not bench.machine.gpus:
            return PackageVerdict(word="no-gpu", detail="has code for NVIDIA GPUs; there is none")
        cuda = cuda or (self.cuda or "") if major in ("", (self.cuda or "").partition(".")[0]) else cuda or f"{major}.0"
        if cuda and (early := driver_verdict(cuda, knowledge.variant_of(cuda if "." in cuda else f"{cuda}.0"), bench)):
            return early
        if known is not None and (least_code := self._below(known)) is not None:
            return least_code
        return self._fit(pin, wheel, cuda, default=default)

    def _fit(self, pin: Pin, wheel: Wheel | None, cuda: str, *, default: bool) -> PackageVerdict:
        """Whether it loads into this torch and has code for each card: what the decision asks of it."""
        facts = facts_in_table(wheel) if wheel is not None else None
        around = Surroundings(
            torch=self.torch or "",
            cuda=cuda if "." in cuda or not cuda else f"{cuda}.0",
            python=self.bench.python.removesuffix("t"),
            capabilities=tuple(gpu.compute_capability for gpu in self.bench.machine.gpus),
            driver_cuda=self.bench.knowledge.machine_cuda(self.bench.machine),
            platform=self.bench.platform,
        )
        fit = beside(pin.name, pin.version, around, facts=facts, knowledge=self.bench.knowledge, of_index=default)
        reasons = tuple(each for each in (fit.source,) if each)
        name = f"{pin.name} {pin.version} "
        if isinstance(fit, Unfit):
            words: dict[Lack, Word] = {"card": "no-code", "cuda": "cuda-major"}
            detail = fit.detail.removeprefix(name).removeprefix("has ")
            named = f", this is {public(self.torch)}" if fit.lacks == "torch" else ""
            return PackageVerdict(word=words.get(fit.lacks, "will-not-load"), detail=f"{detail}{named}", facts=reasons)
        match fit.support:
            case "native":
                return PackageVerdict(word="native", detail=f"{fit.by} runs natively", by=fit.by, facts=reasons)
            case "ptx":
                return PackageVerdict(word="ptx", detail=fit.said, by=fit.by, facts=reasons)
            case "idle":
                return PackageVerdict(word="fits", detail=fit.said, facts=reasons)
            case "no-code":
                return PackageVerdict(word="fits", detail="has no code for a card, and needs none", facts=reasons)
            case "unknown":
                role = self.bench.knowledge.role(pin.name)
                if role in ("companion", "extension") and self.build and cuda == self.cuda:
                    # Built with torch, for the same cards: PyTorch's own packages of one variant.
                    fit = replace(fit, said=f"is of torch's build, {self.build}; its code is in no table")
                return PackageVerdict(word="unknown", detail=fit.said, facts=reasons, tells=_VERIFY)

    def _apart(self, pin: Pin, known: packages.GpuPackage | None, major: str) -> PackageVerdict | None:
        """Another CUDA major than torch's. One with a CUDA of its own needs that one's runtime beside it."""
        theirs = (self.cuda or "").partition(".")[0]
        if not major or not theirs or major == theirs:
            return None
        if known is not None and known.own and set(packages.runtime_of(major)) & self.names:
            return None
        return PackageVerdict(
            word="cuda-major",
            detail=f"needs the libraries of CUDA {major}, torch {public(self.torch)} brings those of CUDA {theirs}",
        )

    def libraries(self, pins: Sequence[Pin]) -> Iterator[Judged]:
        """NVIDIA's libraries as one row: their CUDA majors beside torch's, the driver, and files that collide."""
        if not pins:
            return
        majors = sorted({major for each in pins if (major := packages.cuda_major(each.name, each.version))})
        verdict = self._of_libraries(pins, majors)
        yield Judged(
            name=LIBRARIES,
            version="",
            build=" ".join(f"cu{each}" for each in majors),
            verdict=verdict,
            place=pins[0].place,
            members=tuple(f"{each.name} {each.version}" for each in pins),
        )

    def _of_libraries(self, pins: Sequence[Pin], majors: Sequence[str]) -> PackageVerdict:
        if twice := packages.same_files([each.name for each in pins]):
            return PackageVerdict(word="cuda-major", detail=f"{' and '.join(twice)} write the same files")
        theirs = (self.cuda or "").partition(".")[0]
        if majors and theirs and theirs not in majors:
            return PackageVerdict(
                word="cuda-major", detail=f"are of CUDA {' and '.join(majors)}, torch of CUDA {theirs}"
            )
        for major in majors:
            cuda = f"{major}.0"
            if (early := driver_verdict(cuda, self.bench.knowledge.variant_of(cuda), self.bench)) is not None:
                return early
        return PackageVerdict(
            word="fits", detail=f"of CUDA {' and '.join(majors)}" if majors else "as torch needs them"
        )


def _idle(bench: Bench) -> PackageVerdict:
    if not bench.machine.gpus:
        return PackageVerdict(word="cpu", detail="runs on the CPU")
    return PackageVerdict(word="cpu-build", detail="built without CUDA beside a torch that has it")


def _with(cuda: str) -> str:
    return f"with CUDA {cuda}" if cuda else "without CUDA"
