"""Questions to the tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, cmp_to_key
from itertools import groupby
from typing import get_args

from gpuenv.knowledge import drivers, facts, files, names, tables
from gpuenv.knowledge.rules import CodeRules, NoCode, Support, compare_versions, serve
from gpuenv.model.machine import Arch, ComputeCapability, Machine, Os
from gpuenv.model.wheel import Wheel, WheelContents

_VARIANT = re.compile(r"cu([0-9]{2})([0-9])([0-9]*)|cu([0-9])([0-9])")
_PLATFORMS: dict[tuple[str, str], facts.Platform] = {
    ("linux", "x86_64"): "linux_x86_64",
    ("linux", "aarch64"): "linux_aarch64",
    ("linux", "arm64"): "linux_aarch64",
    ("windows", "x86_64"): "win_amd64",
    ("macos", "arm64"): "macos_arm64",
    ("macos", "aarch64"): "macos_arm64",
    ("macos", "x86_64"): "macos_x86_64",
}


JETSON_HINTS = (
    "A Jetson's driver comes with its JetPack: install a newer JetPack where there is one for the board",
    "Or name an index that has NVIDIA's own wheels for this JetPack: `--torch-index BASE`",
)


class Knowledge:
    """The packaged tables as answers. Immutable; each table is parsed when first needed."""

    @cached_property
    def version(self) -> str:
        """Newest date of the tables and a hash over their bytes; changes when any of them does."""
        return files.version()

    # --- the family ----------------------------------------------------------------------------------------------

    @cached_property
    def family(self) -> frozenset[str]:
        """Normalized names that may only come from the source of torch."""
        table = files.read("family")
        return frozenset(name for role in get_args(facts.FamilyRole) for name in table[role])

    @cached_property
    def pytorch_index(self) -> str:
        """The address of PyTorch's own index."""
        return f"https://{files.read('sources')['index']}"

    @cached_property
    def pytorch_hosts(self) -> frozenset[str]:
        """The hosts that PyTorch's index links files to, by their exact names."""
        return frozenset(files.read("sources")["hosts"])

    def role(self, project: str) -> facts.FamilyRole | None:
        """What a project is to the family; ``None`` for one outside it."""
        table = files.read("family")
        roles: tuple[facts.FamilyRole, ...] = get_args(facts.FamilyRole)
        return next((role for role in roles if project in table[role]), None)

    @cached_property
    def import_checks(self) -> dict[str, facts.ImportCheck]:
        """The companions that compare their CUDA with torch's at import, by project."""
        return tables.import_checks()

    @cached_property
    def assemblers(self) -> dict[str, facts.Assembler]:
        """What torch.compile can be assembled for, by version of triton, as far as wheels were read."""
        return tables.assemblers()

    # --- names of builds -------------------------------------------------------------------------------------------

    def cuda_of(self, variant: str) -> str | None:
        """Read the CUDA version out of a variant's name: two digits of major, the rest minor; ``cu92`` is 9.2.

        By the rule of the name, so that it holds for variants nobody has heard of. ``None`` for ``cpu``, ROCm, XPU.
        """
        found = _VARIANT.fullmatch(variant)
        if not found:
            return None
        if found[4]:
            return f"{found[4]}.{found[5]}"
        return f"{found[1]}.{int(found[2] + found[3])}"

    def variant_of(self, cuda: str) -> str:
        """The variant's name of a CUDA version (``""``: ``cpu``)."""
        return "cu" + "".join(cuda.split(".")[:2]) if cuda else "cpu"

    def platform_of(self, os: Os, arch: Arch) -> facts.Platform:
        """The tables' name of a platform. Raises ``ValueError`` for one that torch is not built for."""
        platform = _PLATFORMS.get((os, arch))
        if platform is None:
            raise ValueError(f"torch is not built for {os} on {arch}")
        return platform

    # --- what is in a wheel ----------------------------------------------------------------------------------------

    @cached_property
    def kernels(self) -> dict[tuple[str, str, str], facts.KernelRow]:
        """Code by (torch, variant, platform)."""
        return tables.kernel_rows()

    @cached_property
    def kernels_date(self) -> str:
        """The day on which the table of code was made (ISO 8601)."""
        return str(files.read("kernels")["date"])

    @cached_property
    def releases(self) -> dict[str, facts.Release]:
        """Releases of torch by public version, oldest first."""
        return tables.releases()

    def kernel_row(self, wheel: Wheel) -> facts.KernelRow | None:
        """The table's row for a wheel of torch; ``None`` where it has none, or the build cannot be told.

        The rows are of PyTorch's builds. A plain version on an index that is not PyTorch's is somebody else's build,
        such as NVIDIA's for a JetPack, and has to be read.
        """
        variant, platform = self.variant(wheel), names.platform_of_filename(wheel.filename)
        if wheel.project != "torch" or variant is None or platform is None or self._foreign(wheel):
            return None
        return self.kernels.get((names.public(wheel.version), variant, platform))

    def _foreign(self, wheel: Wheel) -> bool:
        return wheel.source == "mirror" and not names.local(wheel.version)

    def contents(self, wheel: Wheel) -> WheelContents | None:
        """What the tables say is in a wheel of torch. ``None``: they do not know it, so the wheel has to be asked."""
        variant = self.variant(wheel)
        if wheel.project != "torch" or variant is None:
            return None
        if self.cuda_of(variant) is None:
            return WheelContents(cuda="", sass=(), ptx=(), origin="table", detail=f"a {variant} build, by its name")
        row = self.kernel_row(wheel)
        if row is None:
            return None
        how = "read from the wheel" if row.read else f"{row.confidence} confidence"
        return WheelContents(
            cuda=self.cuda_of(variant),
            sass=row.sass,
            ptx=row.ptx,
            origin="table",
            detail=f"kernels.toml, torch {row.torch} {row.variant} {row.platform} ({how}): {row.source}",
        )

    def variant(self, wheel: Wheel) -> str | None:
        """The build of a wheel: by the local version it carries, the folder it stands in, or the release's build on the
        default package index. ``None`` where these do not say, or contradict each other."""
        local = names.local(wheel.version)
        by_name = local if local and (local in ("cpu", wheel.variant) or self.cuda_of(local)) else None
        if local and by_name is None:
            return None
        by_folder = wheel.variant
        if by_name and by_folder and by_name != by_folder:
            return None
        if by_name or by_folder:
            return by_name or by_folder
        platform = names.platform_of_filename(wheel.filename)
        if wheel.source != "package-index" or platform is None:
            return None
        return self.package_index_variant(wheel.version, platform)

    def package_index_variant(self, version: str, platform: str) -> str | None:
        """Which build of a release the default package index carries: ``"cu128"``, ``"cpu"``; ``None``: unknown."""
        table = files.read("releases")
        builds = table["package_index"].get(names.public(version))
        if builds is None:
            return None
        found: str | None = "cpu" if platform in table["cpu_platforms"] else builds.get(platform)
        return found

    def family_requires(self, wheel: Wheel) -> tuple[str, ...] | None:
        """Requirements of a wheel on the family, as requirement strings; ``None``: not in the tables, ask its metadata.

        Requirements outside the family are never among them.
        """
        version = names.public(wheel.version)
        if wheel.project == "torch":
            return self._torch_requires(wheel, version)
        requires, only = self._companion_requires.get((wheel.project, version), (None, None))
        return requires if only is None or only == wheel.source else None

    @cached_property
    def _companion_requires(self) -> dict[tuple[str, str], tuple[tuple[str, ...], str | None]]:
        return tables.companion_requires()

    def _torch_requires(self, wheel: Wheel, version: str) -> tuple[str, ...] | None:
        release = self.releases.get(version)
        variant = self.variant(wheel)
        platform = names.platform_of_filename(wheel.filename)
        if release is None or variant is None or platform is None or self._foreign(wheel):
            return None
        if release.triton is None or variant == "cpu" or not platform.startswith("linux"):
            return ()
        if platform != "linux_x86_64" and "platform_machine" in release.triton.marker:
            # while the marker named x86_64 it differed between variants, and only the default package index's was read
            return None
        return (f"{release.triton.requirement}; {release.triton.marker}",)

    def compare(self, wheel: Wheel, read: WheelContents) -> facts.Disagreement | None:
        """Compare what was read out of a wheel with the tables. ``None``: no disagreement, or no row to disagree."""
        known = self.contents(wheel)
        if known is None:
            return None
        pairs = (("cuda", known.cuda, read.cuda), ("sass", known.sass, read.sass), ("ptx", known.ptx, read.ptx))
        differences = tuple(
            f"{field}: the table says {_shown(table)}, the wheel {_shown(found)}"
            for field, table, found in pairs
            if found is not None and table is not None and _normal(table) != _normal(found)
        )
        return (
            facts.Disagreement(filename=wheel.filename, row=known.detail, differences=differences)
            if differences
            else None
        )

    # --- drivers -----------------------------------------------------------------------------------------------------

    def driver_floor(self, variant: str, os: Os) -> facts.DriverFloor | None:
        """The least driver for a variant. A variant nobody wrote down follows from its CUDA major version's rule;
        ``None`` where that is not known either, and for variants without CUDA."""
        cuda = self.cuda_of(variant)
        return None if cuda is None or os == "macos" else drivers.floor(variant, cuda, os)

    def floor_for(self, variant: str, machine: Machine) -> facts.DriverFloor | None:
        """The least driver for a variant; where no table and no rule tells it, this machine's own driver, if it says
        itself that it knows the variant's CUDA: every driver runs what an older toolkit, or its own, has compiled."""
        floor, cuda, driver = self.driver_floor(variant, machine.driver_os), self.cuda_of(variant), machine.driver
        if floor is not None or cuda is None or driver is None or driver.cuda is None:
            return floor
        if compare_versions(driver.cuda, cuda) < 0:
            return None
        source = f"says itself that it knows CUDA {driver.cuda}, and no table tells an older driver for it"
        return facts.DriverFloor(minimum=driver.version, full=driver.version, source=source, by="driver")

    def driver_reach(self, machine: Machine, least: str) -> drivers.Reach | None:
        """Whether a machine's driver is at least ``least``, and by what; ``None``: it is older, or not known.

        The one rule for it: the decision, a profile's requirement, the check of a lock and the doctor ask here.
        """
        if machine.driver is None:
            return None
        jetson = any(self.is_jetson(gpu.compute_capability) for gpu in machine.gpus)
        return drivers.reaches(machine.driver.version, least, jetson=jetson)

    def is_jetson(self, capability: ComputeCapability) -> bool:
        """Tell a Tegra chip: one of the capabilities that the tables except from the rule of major and minor."""
        return any(capability in rule.not_on | rule.only_on for rule in self.code_rules.exceptions)

    def install_hints(self, machine: Machine, act: str) -> tuple[str, ...]:
        """How this machine gets another driver: ``act`` says which, and a Jetson has its own way."""
        if any(self.is_jetson(gpu.compute_capability) for gpu in machine.gpus):
            return JETSON_HINTS
        return (act,)

    def machine_cuda(self, machine: Machine) -> str | None:
        """The newest CUDA that a machine's driver knows, as read there, else by its version; ``None``: not known."""
        driver = machine.driver
        return None if driver is None else driver.cuda or self.driver_cuda(driver.version, machine.driver_os)

    def driver_cuda(self, version: str, os: Os) -> str | None:
        """The CUDA version a driver knows: at least this one where the branch is not in the tables."""
        return None if os == "macos" else drivers.cuda_known(version, os)

    def driver_steps(self, os: Os) -> tuple[str, ...]:
        """The drivers at which an answer of the tables can change, ascending: the oldest known, floors, the first that
        know a variant's CUDA or a GPU, and the first after the last branch that serves a GPU."""
        variants = {variant for _, variant, _ in self.kernels}
        floors = [floor for variant in variants if (floor := self.driver_floor(variant, os))]
        last = {int(row.last_branch) for row in self.architectures.values() if row.last_branch}
        found = {version for floor in floors for version in (floor.minimum, floor.full) if version}
        cudas = {cuda for variant in variants if (cuda := self.cuda_of(variant))}
        known = drivers.cuda_steps(os)
        found |= {version for version, cuda in known if cuda in cudas}
        found |= {f"{branch}.0" for each in self.architectures if (branch := self.least_branch_for(each))}
        found |= {known[0][0], *(f"{branch + 1}.0" for branch in last)}
        ascending = cmp_to_key(compare_versions)
        # "580" and "580.0" are one driver.
        same = groupby(sorted(sorted(found), key=ascending), key=ascending)
        return tuple(next(versions) for _, versions in same)

    # --- GPUs --------------------------------------------------------------------------------------------------------

    @cached_property
    def architectures(self) -> dict[ComputeCapability, facts.Architecture]:
        """Generations by compute capability, ascending."""
        return tables.architectures()

    def architecture(self, capability: ComputeCapability) -> str | None:
        """The generation's name: ``"Blackwell"``; ``None`` for a capability nobody has heard of."""
        row = self.architectures.get(capability)
        return row.name if row else None

    def first_cuda_for(self, capability: ComputeCapability) -> str | None:
        """The first toolkit that compiles for a capability."""
        row = self.architectures.get(capability)
        return row.first_cuda if row else None

    def least_branch_for(self, capability: ComputeCapability) -> str | None:
        """The first driver branch that can know a capability: the one that came with its first toolkit."""
        row = self.architectures.get(capability)
        return drivers.first_branch(row.first_cuda) if row else None

    def last_branch_for(self, capability: ComputeCapability) -> str | None:
        """The last driver branch that serves a capability; ``None`` where current drivers do."""
        row = self.architectures.get(capability)
        return row.last_branch if row else None

    @cached_property
    def gpus(self) -> tuple[facts.GpuName, ...]:
        """All known names of GPUs."""
        return tables.gpu_names()

    def gpu_by_name(self, name: str) -> tuple[facts.GpuName, ...]:
        """All GPUs of a name, as NVML or a person writes it; several where the name is ambiguous."""
        return names.find_gpu(self.gpus, name)

    def gpu_by_pci(self, device_id: str) -> tuple[facts.GpuName, ...]:
        """All names of a PCI device id (``"2b85"``, ``"0x2B85"``, ``"10de:2b85"``)."""
        wanted = device_id.lower().rpartition(":")[2].removeprefix("0x")
        return tuple(gpu for gpu in self.gpus if wanted in gpu.pci_ids)

    def card_limits(self, name: str) -> facts.DataSheet | None:
        """What a card of this name can do at most, by its data sheet; ``None`` where no source is at hand."""
        wanted = names.gpu_key(name)
        return next((limits for known, limits in tables.cards() if wanted in map(names.gpu_key, known)), None)

    # --- rules -------------------------------------------------------------------------------------------------------

    @cached_property
    def code_rules(self) -> CodeRules:
        """The rules on code that stand in tables, for :func:`gpuenv.knowledge.rules.serve`."""
        return tables.code_rules()

    def serve(
        self,
        wheel: Wheel,
        contents: WheelContents,
        capability: ComputeCapability,
        *,
        driver_cuda: str | None,
        platform: str,
    ) -> Support | NoCode:
        """Say which code of a wheel serves a GPU, with what the tables and the metadata know of its cuDNN."""
        row = self.kernel_row(wheel)
        cudnn = names.cudnn_of(contents.requires_dist or ()) or (row.cudnn if row else None)
        return serve(
            capability,
            sass=contents.sass or (),
            ptx=contents.ptx or (),
            cuda=contents.cuda,
            driver_cuda=driver_cuda,
            platform=platform,
            cudnn=cudnn,
            doubtful=row.doubtful if row else (),
            first_cuda=self.first_cuda_for(capability),
            rules=self.code_rules,
        )

    def serve_installed(
        self,
        capability: ComputeCapability,
        *,
        machine: Machine,
        sass: Sequence[str],
        ptx: Sequence[str],
        cuda: str | None,
    ) -> Support | NoCode:
        """Say which of the code that is known of a torch serves a GPU of a machine, as the decision would."""
        return serve(
            capability,
            sass=tuple(sass),
            ptx=tuple(ptx),
            cuda=cuda,
            driver_cuda=self.machine_cuda(machine),
            platform=_PLATFORMS.get((machine.os, machine.arch), f"{machine.os}_{machine.arch}"),
            first_cuda=self.first_cuda_for(capability),
            rules=self.code_rules,
        )


def _normal(value: str | tuple[str, ...]) -> object:
    return value if isinstance(value, str) else frozenset(value)


def _shown(value: str | tuple[str, ...]) -> str:
    text = value if isinstance(value, str) else " ".join(value)
    return text or "none"
