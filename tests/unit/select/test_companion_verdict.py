"""What is said of a package with compiled code beside a torch."""

from __future__ import annotations

from base64 import b64encode

from gpuenv import knowledge
from gpuenv.knowledge.libraries import completed
from gpuenv.knowledge.torch_exports import TorchExports, digest
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.model.machine import ComputeCapability
from gpuenv.select.companion_verdict import LoadVerdict, Surroundings, judge_package

EXPORTS = TorchExports(
    {
        "torch": [{"minor": "9.0"}, {"minor": "9.1"}, {"minor": "9.2"}],
        "everywhere": "",
        "symbols": "- torch_call\n9.1- aoti_torch_new\n-9.0 _ZN3c104goneEv\n- _ZN2at4heldEv\n",
        "cuda": {
            "read": ["9.1"],
            "exported": [{"minors": ["9.1"], "digests": b64encode(digest("_ZN2at4cuda4nameEv")).decode()}],
        },
    }
)
VOLTA, HOPPER, B200, B300 = map(ComputeCapability.parse, ("7.0", "9.0", "10.0", "10.3"))


def library(path: str = "pkg/_C.abi3.so", **told: object) -> LibraryFacts:
    return completed(LibraryFacts(path=path, **told))  # type: ignore[arg-type]  # of the fields' own types


def verdict(*libraries: LibraryFacts, project: str = "pkg", **beside: object) -> LoadVerdict:
    around = {"torch": "9.1.0", "cuda": "12.8", "python": "3.12", "driver_cuda": "13.0"} | beside
    package = PackageFacts(project=project, version="1.0", libraries=libraries)
    return judge_package(package, Surroundings(**around), knowledge=knowledge.load(), exports=EXPORTS)  # type: ignore[arg-type]  # as above


def test_a_library_is_tied_to_torch_by_the_symbols_that_it_needs() -> None:
    assert library().binding == "independent"
    assert library(torch_symbols=("aoti_torch_new", "torch_call")).binding == "stable"
    assert library(torch_symbols=("_ZN2at4heldEv", "torch_call")).binding == "bound"


def test_a_symbol_that_torch_lacks_is_named() -> None:
    found = verdict(library(torch_symbols=("_ZN2at4heldEv", "_ZN3c104goneEv")))
    assert (found.load, found.missing) == ("missing-symbol", ("_ZN3c104goneEv",))
    assert verdict(library(torch_symbols=("_ZN3c104goneEv",)), torch="9.0.1+cu128").load == "loads"


def test_the_stable_interface_holds_for_a_torch_newer_than_the_table_and_nothing_else_does() -> None:
    stable, bound = library(torch_symbols=("aoti_torch_new",)), library(torch_symbols=("_ZN2at4heldEv",))
    assert verdict(stable, torch="9.9.0").load == "loads"
    assert verdict(stable, torch="9.0.0").load == "missing-symbol"
    found = verdict(bound, torch="9.9.0")
    assert (found.load, found.missing, found.libraries[0].missing) == ("unknown", (), ("_ZN2at4heldEv",))


def test_what_only_an_unread_library_could_export_is_not_known() -> None:
    code = library(torch_symbols=("_ZN2at4cuda4nameEv",))
    assert [verdict(code, torch=torch).load for torch in ("9.0.0", "9.1.0", "9.2.0")] == ["unknown", "loads", "unknown"]
    none = library(torch_symbols=("_ZN2at5neverEv",))
    assert verdict(none, torch="9.0.0").load == "missing-symbol"
    assert verdict(library(torch_symbols=("?f@at@@YAXXZ",))).load == "unknown"  # of Windows, which nobody read


def test_a_library_that_cannot_be_read_leaves_the_package_unknown() -> None:
    package = PackageFacts(project="pkg", version="1", libraries=(library(),), unread=("b.so: damaged",))
    beside = Surroundings(torch="9.1.0", cuda="12.8", python="3.12")
    assert judge_package(package, beside, knowledge=knowledge.load(), exports=EXPORTS).load == "unknown"


def test_another_cuda_major_is_told_by_what_it_asks_the_loader_for() -> None:
    twelve = library(needed=("libc.so.6", "libcudart.so.12"))
    assert (twelve.cuda_major, verdict(twelve).load) == (12, "loads")
    assert verdict(twelve, cuda="13.0").load == verdict(twelve, cuda="").load == "other-cuda"
    assert verdict(twelve, cuda="13.0", project="cupy-cuda12x").load == "loads"  # it brings a CUDA of its own
    # libraries whose own major is not CUDA's
    assert [
        library(needed=(name,)).cuda_major for name in ("libcufft.so.12", "libcusolver.so.11", "libcudnn.so.9")
    ] == [
        13,
        12,
        None,
    ]
    assert [library(needed=(name,)).cuda_major for name in ("cudart64_110.dll", "nvrtc64_120_0.dll")] == [11, 12]


def test_a_library_of_another_interpreter_cannot_be_imported() -> None:
    bound = library("pkg/_C.cpython-310-x86_64-linux-gnu.so", python="cpython-310")
    assert (verdict(bound).load, verdict(bound, python="3.10").load) == ("other-python", "loads")


def test_a_library_for_another_interpreter_among_others_is_no_more_than_absent() -> None:
    """sglang-kernel 0.4.10: infllm_ops.cpython-310 in a wheel for any Python."""
    bound = library("pkg/_ops.cpython-310-x86_64-linux-gnu.so", python="cpython-310", sass=("sm_90",))
    found = verdict(bound, library(sass=("sm_100",)), capabilities=(HOPPER, B200))
    assert (found.load, found.code(HOPPER), found.code(B200)) == ("loads", "none", "native")
    assert verdict(bound, library(sass=("sm_100",)), capabilities=(HOPPER,), python="3.10").code(HOPPER) == "native"


def test_the_code_of_vendored_copies_is_not_the_packages() -> None:
    own, copy = library(sass=("sm_80",)), library("pkg.libs/libnvjpeg-1.so", sass=("sm_70",), vendored=True)
    found = verdict(own, copy, capabilities=(VOLTA, HOPPER))
    assert (found.code(VOLTA), found.code(HOPPER)) == ("none", "none")
    assert [each.library.path for each in found.libraries] == ["pkg/_C.abi3.so"]


def test_each_card_is_judged_by_the_code_of_each_library() -> None:
    hopper, blackwell = library("a.so", sass=("sm_90a",)), library("b.so", sass=("sm_100a",), ptx=("compute_80",))
    found = verdict(hopper, blackwell, library("c.so"), capabilities=(VOLTA, HOPPER, B200, B300))
    assert [found.code(card) for card in (VOLTA, HOPPER, B200, B300)] == ["none", "native", "native", "ptx"]
    assert found.without(HOPPER) == ()
    assert found.without(B200) == ("a.so",)
    assert found.without(VOLTA) == ("a.so", "b.so")


def test_ptx_of_a_newer_toolkit_than_the_driver_knows_serves_no_card() -> None:
    code = library(ptx=("compute_80",), ptx_cuda="12.9")
    assert verdict(code, capabilities=(B200,), driver_cuda="12.9").code(B200) == "ptx"
    assert verdict(code, capabilities=(B200,), driver_cuda="12.8").code(B200) == "none"
    assert verdict(code, capabilities=(B200,), driver_cuda=None).code(B200) == "none"


def test_of_one_library_for_each_cuda_the_one_that_is_opened_counts() -> None:
    libraries = [
        library(f"bitsandbytes/libbitsandbytes_cuda{number}.so", sass=code)
        for number, code in (("126", ("sm_70",)), ("128", ("sm_90",)), ("130", ("sm_100",)))
    ]
    chosen = {
        cuda: [each.library.sass for each in verdict(*libraries, project="bitsandbytes", cuda=cuda).libraries]
        for cuda in ("12.4", "12.7", "12.9", "13.2", "11.8")
    }
    assert chosen == {
        "12.4": [("sm_70",)],
        "12.7": [("sm_70",)],
        "12.9": [("sm_90",)],
        "13.2": [("sm_100",)],
        "11.8": [],
    }


def test_a_twin_without_libraries_is_told_from_the_compiled_package() -> None:
    assert PackageFacts(project="torchao", version="1").empty
    assert not PackageFacts(project="torchao", version="1", libraries=(library(),)).empty
