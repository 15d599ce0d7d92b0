"""Variables of a session that change what torch loads or sees."""

from __future__ import annotations

import os

import pytest

from gpuenv.doctor.session import diagnose_session
from gpuenv.shell import unset

FOLDERS = {
    "/usr/local/cuda/lib64": ["libcudart.so.12", "libnvJitLink.so.12", "libcublas.so.12", "libcusparse.so.12"],
    "/usr/share/tool/lib": ["libtool.so"],
}


def listed(folder: str) -> list[str]:
    return FOLDERS.get(folder, [])


def test_a_clean_session() -> None:
    assert diagnose_session({"PATH": "/bin", "LD_LIBRARY_PATH": "/usr/share/tool/lib:/nowhere:"}, names_in=listed) == ()


@pytest.mark.parametrize("path", ["/usr/share/tool/lib:/usr/local/cuda/lib64", "/usr/local/cuda/lib64"])
def test_a_system_cuda_before_the_wheels_own(path: str) -> None:
    """system CUDA / LD_LIBRARY_PATH shadows wheel libs: nvjitlink-kaggle, -ragflow, -128, hpc-modules-jax"""
    (finding,) = diagnose_session({"LD_LIBRARY_PATH": path}, names_in=listed)

    assert finding.detail.startswith("/usr/local/cuda/lib64: libcublas.so.12, libcudart.so.12, libcusparse.so.12 …")
    rest = path.partition(":")[0] if ":" in path else ""
    assert finding.fix == (f"export LD_LIBRARY_PATH={rest}" if rest else "unset LD_LIBRARY_PATH")


def test_a_preloaded_library() -> None:
    (finding,) = diagnose_session({"LD_PRELOAD": "/usr/lib/a.so /usr/lib/libcudart.so.11.0"}, names_in=listed)

    assert finding.fix == "export LD_PRELOAD=/usr/lib/a.so"


@pytest.mark.parametrize("variable", ["PYTHONPATH", "BNB_CUDA_VERSION", "PYTORCH_NVML_BASED_CUDA_CHECK"])
def test_variables_that_surprise(variable: str) -> None:
    """companion binary missing for CUDA: bnb-stale-env"""
    (finding,) = diagnose_session({variable: "1"}, names_in=listed)

    assert finding.fix == unset(variable)
    assert diagnose_session({variable: ""}, names_in=listed) == ()


@pytest.mark.parametrize("variable", ["CUDA_CACHE_DISABLE", "CUDA_LAUNCH_BLOCKING", "CUDA_FORCE_PTX_JIT"])
def test_switches(variable: str) -> None:
    (finding,) = diagnose_session({variable: "1"}, names_in=listed)

    assert finding.fix == unset(variable)
    assert diagnose_session({variable: "0"}, names_in=listed) == ()


def test_a_module_that_hides_the_environments_own() -> None:
    (finding,) = diagnose_session(
        {"PYTHONPATH": os.pathsep.join(["/mine", "/other"])},
        names_in={"/mine": ["pynvml.py"], "/other": []}.__getitem__,
    )

    path = os.pathsep.join(["/mine", "/other"])
    assert finding.detail == f"PYTHONPATH={path}; it hides the environment's own by /mine/pynvml.py"


@pytest.mark.parametrize(("writable", "found"), [(True, 0), (False, 1)])
def test_a_cache_that_cannot_be_written(writable: bool, found: int) -> None:
    assert len(diagnose_session({"CUDA_CACHE_PATH": "/cache"}, names_in=listed, writable=lambda _: writable)) == found
