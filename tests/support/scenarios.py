"""What scenario files hold, as values: wheels of an index, and what is inside them."""

from __future__ import annotations

from typing import Any

from gpuenv.knowledge import load
from gpuenv.model.decision import Question
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.select.candidates import label
from support.choosing import read_recorded, recorded, wheel

SOURCES = {"package-index": "package-index", "find-links": "find-links", "mirror": "mirror"}
USUAL = {
    "cu11": "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
    "cu126": "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
    "cu12": "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120",
    "cu": "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120",
}


def frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def listed(index: dict[str, Any], *, nightly: bool) -> list[Wheel]:
    found: list[Wheel] = []
    if "recorded" in index:
        channels = tuple(index.get("channels", ("stable", "nightly")))
        offered = tuple(each for each in channels if nightly or each != "nightly")
        variants = tuple(index["variants"]) if "variants" in index else None
        found += recorded(index["recorded"], channels=offered, variants=variants).wheels
    for project, rows in index.items():
        if project in ("recorded", "channels", "variants"):
            continue
        if project == "nightly":
            if nightly:
                found += [each for name, inner in rows.items() for each in rows_of(name, inner, channel="nightly")]
        elif project in SOURCES:
            found += [each for name, inner in rows.items() for each in rows_of(name, inner, source=SOURCES[project])]
        else:
            found += rows_of(project, rows)
    return found


def rows_of(project: str, rows: dict[str, list[str]], **values: Any) -> list[Wheel]:
    found = []
    for version, tags in rows.items():
        number, _, folder = version.partition(" ")
        extra = {"variant": folder} if folder else {}
        found += [wheel(project, number, tag=tag, **{**values, **extra}) for tag in tags]
    return found


def read_scenario(question: Question, inside: dict[str, dict[str, Any]]) -> WheelContents | str:
    """Answer from the scenario, else from the recording, else with the usual."""
    given = inside.get(label(question.wheel)) or inside.get(f"{question.wheel.project} {question.wheel.version}")
    if given is not None:
        if "unreadable" in given:
            return str(given["unreadable"])
        cuda = load().cuda_of(question.wheel.variant or question.wheel.version.partition("+")[2])
        return WheelContents(
            cuda=given.get("cuda", cuda),
            sass=tuple(given["sass"].split()) if "sass" in given else None,
            ptx=tuple(given.get("ptx", "").split()) if "sass" in given else None,
            requires_dist=tuple(given.get("requires", ())) if question.about == "metadata" else None,
            detail="scenario",
        )
    answer = read_recorded(question)
    if not isinstance(answer, str):
        return answer
    return usual(question)


def usual(question: Question) -> WheelContents:
    if question.about == "build":
        return WheelContents(detail="no version.py")
    if question.about == "metadata":
        return WheelContents(requires_dist=("numpy",), origin="metadata", detail="scenario")
    variant = question.wheel.variant or question.wheel.version.partition("+")[2]
    sass = next((codes for start, codes in USUAL.items() if variant.startswith(start)), "")
    return WheelContents(cuda=load().cuda_of(variant) or "", sass=tuple(sass.split()), ptx=(), detail="scenario")
