"""Write a scenario for each recorded case that names a machine and what is right.

    python tools/cases_to_scenarios.py CASES.json tests/scenarios

A case is a report by a person, so that it seldom names everything. ``FILLED`` holds what was added to each one: the
day of the index that fits the report, a driver of the branch that was current, a capability of the card. What is
expected is taken from the case alone, never from what gpuenv answers. A case without a row here is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CUDA_BUILDS = ["cu118", "cu121", "cu124", "cu126", "cu128", "cu129", "cu130", "cu132"]
BLACKWELL = ["cu128", "cu129", "cu130", "cu132"]

NEXT = {  # torch 2.14 is newer than the recording: its rows as PyTorch's index would list them
    "torch": {
        "2.14.0+cu126": ["cp312-cp312-manylinux_2_28_x86_64"],
        "2.14.0+cu130": ["cp312-cp312-manylinux_2_28_x86_64"],
        "2.14.0+cu132": ["cp312-cp312-manylinux_2_28_x86_64"],
        "2.13.0+cu129": ["cp312-cp312-manylinux_2_28_x86_64"],
    },
    "package-index": {"torch": {"2.14.0": ["cp312-cp312-manylinux_2_28_x86_64"]}},
}
WIN = {"os": "windows"}
ARM = {"arch": "aarch64"}

FILLED: dict[str, dict[str, Any]] = {
    "uv-14742-gtx1080ti": {"driver": "570.124.06", "day": "2025-07-20"},
    "autoforge-59-gtx1060": {"driver": "580.95.05", "index": NEXT, "rejected": {"torch 2.14.0": "kernels"}},
    "patent-25-gtx1080-win": {"driver": "576.88", "day": "2026-05-19"},
    "whisper-653-pascal": {"driver": "570.124.06", "day": "2025-09-01"},
    "kaggle-1151-p100": {"driver": "580.95.05", "day": "2026-05-19"},
    "unsloth-5876-v100": {"driver": "580.95.05", "day": "2026-05-19", "right": ["cu126"]},
    "unsloth-5876-v100-b200": {
        "driver": "580.95.05", "day": "2026-05-19", "right": ["cu128"],
        "expected": {"torch": "2.10.0+cu128"}, "rejected": {"torch 2.11.0+cu128": "kernels"},
    },
    "unsloth-5876-t4": {"driver": "580.95.05", "day": "2026-05-19"},
    "unsloth-5876-b200": {"driver": "580.95.05", "day": "2026-05-19"},
    "pytorch-182250-v100": {
        "driver": "580.95.05", "day": "2026-05-19", "request": {"torch": "==2.11.0"}, "right": ["cu126"],
        "rejected": {"torch 2.11.0+cu128": "kernels"},
    },
    "vllm-19185-v100": {"driver": "570.124.06", "day": "2025-07-20"},
    "forge-2601-rtx5080": {"driver": "572.83", "day": "2025-07-20", "right": BLACKWELL},
    "leggedlab-26-rtx5090": {"driver": "570.124.06", "day": "2025-07-20", "right": BLACKWELL},
    "wan2gp-376-rtx5070ti": {"day": "2025-07-20", "right": BLACKWELL},
    "ttcut-3-rtx5060ti": {"driver": "581.57", "day": "2026-05-19"},
    "envdoctor-54-rtx5070": {"day": "2025-07-20", "right": BLACKWELL},
    "comfynix-79-rtx5090": {"day": "2026-02-15"},
    "pytorch-162531-ci": {
        "driver": "570.124.06", "capabilities": ["8.6"], "day": "2025-10-20", "right": ["cu128", "cu126"],
        "rejected": {"torch 2.9.0+cu130": "driver"},
    },
    "evalml-165": {"driver": "550.54.15", "capabilities": ["8.0"], "day": "2025-09-01"},
    "unsloth-5812-rtx5090-laptop": {"day": "2026-03-15"},
    "nvbandwidth-61-h100-r580": {"day": "2026-05-19"},
    "uv-17236-gtx1650-win": {"driver": "566.36", "day": "2025-12-02", "right": CUDA_BUILDS},
    "uv-14647-wsl-2gpu": {"capabilities": ["8.6", "8.9"], "day": "2025-07-20"},
    "uv-15446-vllm": {"driver": "570.124.06", "capabilities": ["9.0", "9.0", "9.0", "9.0"], "day": "2025-08-25",
                      "right": ["cu128"]},
    "vllm-omni-1919": {"driver": "591.44", "capabilities": ["8.9"], "day": "2026-03-15",
                       "request": {"variant": "cu129"}},
    "uv-17050-tensorrt": {"driver": "570.124.06", "capabilities": ["8.6"], "day": "2025-12-02"},
    "lerobot-4303-win": {"driver": "580.97", "capabilities": ["8.6"], "day": "2026-03-15", "right": CUDA_BUILDS},
    "moshi-131-win": {"driver": "551.61", "capabilities": ["8.6"], "day": "2025-07-20",
                      "request": {"torch": "==2.5.1"}},
    "pinokio-978-wsl": {"driver": "566.36", "capabilities": ["8.6"], "day": "2025-07-20", "right": CUDA_BUILDS},
    "microduck-2-gb10": {"driver": "580.95.05", "day": "2025-12-02", "right": ["cu129", "cu130"]},
    "vllm-36835-gb10": {"day": "2026-05-19"},
    "indextts-556-gb10": {"driver": "580.95.05", "day": "2025-12-02", "request": {"torch": "==2.8.0+cu128"},
                          "nothing": {"summary": "no wheel of torch==2.8.0+cu128 is offered"}},
    "microduck-38-thor": {"day": "2025-12-02", "right": ["cu130"]},
    "unsloth-8412-gfx1033": {"driver": "none", "day": "2026-03-15", "profile": {"name": "auto"},
                             "expected": {"accelerator": "cpu"}},
    "sm120-nightly-cu124": {"capabilities": ["12.0", "12.0"], "day": "2025-05-15",
                            "rejected": {"torch 2.6.0+cu124": "kernels"}},
    "sm120-uv-project-cu121": {"day": "2026-02-15"},
    "sm120-legged-lab": {"driver": "570.124.06", "day": "2025-06-15", "right": ["cu128"]},
    "sm120-all-in-one": {"driver": "570.124.06", "libc": "glibc 2.31", "day": "2025-05-15", "right": BLACKWELL},
    "volta-cu130": {"driver": "580.95.05", "day": "2026-05-19", "right": ["cu126", "cu128"]},
    "pascal-torchruntime-28": {"driver": "570.124.06", "capabilities": ["5.0", "6.1", "7.0"], "day": "2025-09-01",
                               "expected": {"torch": "2.8.0+cu126"}},
    "pascal-whisper-webui": {"driver": "570.124.06", "day": "2025-09-01"},
    "pascal-1080-cu128": {"driver": "576.88", "day": "2026-05-19"},
    "pascal-1060-uvsync": {"driver": "580.95.05", "index": NEXT},
    "p100-kaggle": {"driver": "580.95.05", "day": "2026-03-15"},
    "pascal-uv-backend-auto": {"driver": "570.124.06", "day": "2025-09-01"},
    "thor-ptxas-vllm": {"driver": "580.95.05", "capabilities": ["12.1"], "day": "2025-12-02"},
    "jetson-conda-sm87": {"driver": "540.4.0", "day": "2025-12-02", "request": {"channel": "stable"},
                          "nothing": {"summary": "no wheel has code for sm_87"}},
    "jetson-thor-vs-gb10": {"day": "2025-12-02", "right": ["cu130"]},
    "jetson-orin-jp5": {"driver": "none", "day": "2024-10-08",
                        "nothing": {"summary": "driver of this machine is not known"}},
    "conda-forge-cpu": {"driver": "570.124.06", "capabilities": ["8.0"], "day": "2025-07-20", "right": CUDA_BUILDS},
    "driver-too-old-cu130-ci": {"driver": "570.124.06", "capabilities": ["8.6"], "day": "2025-10-20",
                                "request": {"channel": "nightly"}},
    "p100-410": {
        "day": "2024-10-08", "request": {"pythons": ["3.8"]}, "profile": {"packages": ["torch"]},
        "wheels": {"torch 1.7.1+cu92": {"sass": "sm_37 sm_50 sm_60 sm_61 sm_70", "cuda": "9.2"}},
        "rejected": {"torch 1.7.1+cu101": "driver"},
    },
    "umd-vllm-studio": {"day": "2026-02-15"},
    "umd-mistralrs": {"day": "2026-02-15"},
    "flash-282-torch26": {"driver": "550.54.15", "capabilities": ["8.0"], "day": "2025-07-20",
                          "request": {"torch": "==2.6.0"}},
    "flash-cu126-abi": {"driver": "570.124.06", "capabilities": ["8.0"], "day": "2025-07-20",
                        "request": {"variant": "cu124"}},
    "err804-old-driver-container": {"capabilities": ["8.6"], "day": "2024-10-08"},
    "nvjitlink-128": {"driver": "570.124.06", "capabilities": ["9.0"], "day": "2025-05-15"},
    "cineca-12020": {"driver": "535.104.05", "day": "2025-12-02", "rejected": {"torch 2.9.1+cu130": "driver"}},
    "vllm-tencent-11040": {"driver": "470.82.01", "capabilities": ["8.0"], "libc": "glibc 2.28", "day": "2024-10-08"},
    "v100-cuda114-noperm": {"driver": "470.82.01", "day": "2024-10-08"},
    "vllm-win-cu132-mix": {"capabilities": ["12.0", "12.0"], "day": "2026-05-19", "request": {"torch": "==2.11.0"}},
    "pyg-rtx50": {"driver": "570.124.06", "capabilities": ["12.0", "12.0"], "day": "2025-05-15"},
    "pyg-212-cu132": {"driver": "595.71.05", "capabilities": ["8.9"], "day": "2026-05-19",
                      "request": {"pythons": ["3.13"]}},
    "pyg-unpinned-source": {
        "driver": "465.19.01", "capabilities": ["8.6"], "request": {"torch": "==1.10.0", "pythons": ["3.9"]},
        "index": {"torch": {v: ["cp39-cp39-linux_x86_64"] for v in ("1.10.0+cu102", "1.10.0+cu113")}},
        "wheels": {"torch 1.10.0+cu113": {"sass": "sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86"}},
    },
    "pyg-abi": {
        "driver": "455.45.01", "cuda": "11.1", "capabilities": ["8.6"],
        "request": {"torch": "==1.9.0", "pythons": ["3.9"]},
        "index": {"torch": {v: ["cp39-cp39-linux_x86_64"] for v in ("1.9.0+cu102", "1.9.0+cu111")}},
        "wheels": {"torch 1.9.0+cu111": {"sass": "sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86"}},
    },
    "jit-rtx2080-mixed": {
        "capabilities": ["7.5", "7.5", "6.1"], "request": {"pythons": ["3.6"]},
        "index": {"torch": {v: ["cp36-cp36m-linux_x86_64"] for v in ("1.2.0+cu92", "1.2.0+cu100")}},
        "wheels": {
            "torch 1.2.0+cu92": {"sass": "sm_35 sm_50 sm_60 sm_61 sm_70", "ptx": "compute_70"},
            "torch 1.2.0+cu100": {"sass": "sm_35 sm_50 sm_60 sm_61 sm_70 sm_75"},
        },
    },
    "mirror-cpu-only-win": {
        "driver": "580.97", "capabilities": ["8.6"],
        "index": {"package-index": {"torch": {"2.10.0": ["cp312-cp312-win_amd64"]}}},
        "nothing": {"summary": "only CPU builds of torch are offered", "hints": "--torch-index"},
        "rejected": {"torch 2.10.0": "variant"},
    },
    "bnb-stale-env": {"driver": "550.54.15", "capabilities": ["8.0"], "day": "2025-01-20"},
    "sky-nvjitlink-driver": {"day": "2024-10-08"},
    "ray-vllm-worker": {"driver": "530.30.02", "capabilities": ["8.0"], "day": "2025-01-20",
                        "request": {"torch": "==2.1.2", "pythons": ["3.11"]}},
    "pdm-cpu": {"driver": "531.14", "capabilities": ["8.6"], "day": "2025-01-20", "request": {"torch": "==2.3.1"}},
    "deepspeed-nvcc-mismatch": {"driver": "531.14", "capabilities": ["8.6"], "day": "2025-01-20",
                                "request": {"torch": "==2.2.2"}},
    "deepspeed-mii-117": {"driver": "515.65.01", "capabilities": ["8.6"], "day": "2024-10-08"},
    "torchao-skip-cpp": {"driver": "572.83", "capabilities": ["12.0"], "day": "2025-07-20",
                         "request": {"torch": "==2.7.1"}},
    "torchao-skip-comfy": {"driver": "576.88", "capabilities": ["12.0"], "day": "2025-12-02",
                           "machine": {"os": "windows"}, "request": {"torch": "==2.8.0"}},
    "sglang-stale-companions": {"driver": "580.95.05", "day": "2026-05-19"},
    "nanowm-ampere-blackwell": {"driver": "570.124.06", "capabilities": ["8.6", "12.0"], "day": "2025-07-20",
                                "request": {"torch": "==2.7.1"}},
}  # fmt: skip
FAMILY = ["torch", "torchvision", "torchaudio"]


def main(cases: Path, folder: Path) -> None:
    written = 0
    for case in json.loads(cases.read_text(encoding="utf-8")):
        right = case.get("should_be") or case.get("acceptable_backends")
        if not right:
            continue
        if case["id"] not in FILLED:
            print(f"no scenario: {case['id']}: not filled in")
            continue
        (folder / f"case-{case['id']}.toml").write_text(scenario(case, FILLED[case["id"]]), encoding="utf-8")
        written += 1
    print(f"{written} scenarios")


def scenario(case: dict[str, Any], filled: dict[str, Any]) -> str:
    """The file of one case."""
    right = case.get("should_be") or ", ".join(case["acceptable_backends"])
    got = case.get("user_got") or case.get("installed")
    machine, expected = _machine(case, filled), _expected(case, filled)
    tables: dict[str, Any] = {
        "description": _description(machine, expected, got, right),
        "case": {
            "id": case["id"],
            "thread": case["source_url"],
            "got": got,
            "right": right,
            "added": sorted(key for key in filled if key in ("driver", "cuda", "capabilities", "libc", "day")),
        },
        "machine": machine,
        "profile": filled.get("profile", {"packages": ["torch"] if "index" in filled else FAMILY}),
    }
    if "request" in filled:
        tables["request"] = filled["request"]
    tables["index"] = filled.get("index") or {"recorded": filled["day"]}
    if "wheels" in filled:
        tables["wheels"] = filled["wheels"]
    tables["expected"] = expected
    return _toml(tables)


def _description(machine: Mapping[str, Any], expected: Mapping[str, Any], got: object, right: str) -> str:
    """Say the case in one line out of its facts: the machine, what somebody got, what is right."""
    cards = machine.get("names") or [f"compute capability {code}" for code in machine.get("capabilities", ())]
    where = " ".join(str(machine[key]) for key in ("os", "arch") if key in machine)
    driver = f"driver {machine['driver']}" if machine.get("driver") else "no driver"
    answer = expected.get("torch") or expected.get("variant") or right
    answer = " or ".join(answer) if isinstance(answer, list) else answer
    seen = f"; somebody got {got}" if got and got != "n/a" else ""
    return f"{' and '.join(cards) or 'No GPU'}{f' on {where}' if where else ''}, {driver}: {answer} is right{seen}."


def _machine(case: dict[str, Any], filled: dict[str, Any]) -> dict[str, Any]:
    platform = str(case["platform"] or "linux").lower()
    table: dict[str, Any] = {"driver": filled.get("driver") or case["driver_version"]}
    cuda = filled.get("cuda") or case["driver_cuda"]
    if cuda and cuda.replace(".", "").isdecimal():
        table["cuda"] = cuda
    if platform.startswith("windows") and not platform.startswith("windows/linux"):
        table |= WIN
    if case["arch"] == "aarch64":
        table |= ARM
    if "wsl" in platform:
        table["wsl"] = True
    if "libc" in filled:
        table["libc"] = filled["libc"]
    table |= filled.get("machine", {})
    capability = case["compute_capability"]
    if "capabilities" in filled:
        table["capabilities"] = filled["capabilities"]
    elif capability:
        table["capabilities"] = capability.split(";")
    names = str(case["gpu"] or "NVIDIA GPU").split(" + ")
    if table.get("capabilities") and len(names) == len(table["capabilities"]):
        table["names"] = names
    return table


def _expected(case: dict[str, Any], filled: dict[str, Any]) -> dict[str, Any]:
    expected: dict[str, Any] = {}
    if "nothing" in filled:
        expected = {"nothing": True, **filled["nothing"]}
    else:
        acceptable = filled.get("right") or case.get("acceptable_backends") or [case["should_be"]]
        if acceptable != ["cpu"]:
            expected["variant"] = acceptable if len(acceptable) > 1 else acceptable[0]
        expected |= filled.get("expected", {})
    if "rejected" in filled:
        expected["rejected"] = filled["rejected"]
    return expected


def _toml(tables: dict[str, Any], prefix: str = "") -> str:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    for key, value in tables.items():
        if isinstance(value, dict):
            name = f"{prefix}{_key(key)}"
            inner = _toml(value, f"{name}.")
            head = "" if value and all(isinstance(each, dict) for each in value.values()) else f"\n[{name}]\n"
            lines.append(f"{head}{inner}".rstrip("\n"))
    return "\n".join(lines) + "\n"


def _key(text: str) -> str:
    return text if text.replace("-", "").replace("_", "").isalnum() and text.isascii() else json.dumps(text)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
