"""The page as a browser shows it: a screenshot by headless Chromium, where one is installed."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from pathlib import Path

import pytest

from gpuenv.verify import evidence
from support import browser
from support.verify_observed import MACHINE, observed, report_of


@pytest.fixture(scope="session")
def chromium() -> str:
    return browser.find()


def _pixels(path: Path) -> tuple[int, int, list[bytes]]:
    """Return width, height and the rows of an 8-bit RGB(A) PNG (PNG specification, 7 and 9)."""
    data = path.read_bytes()
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert depth == 8
    channels = {2: 3, 6: 4}[kind]
    at, packed = 8, b""
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    raw = zlib.decompress(packed)
    stride = width * channels
    rows: list[bytes] = []
    before = bytearray(stride)
    for number in range(height):
        kind, line = raw[number * (stride + 1)], bytearray(raw[number * (stride + 1) + 1 : (number + 1) * (stride + 1)])
        for i in range(stride):
            left = line[i - channels] if i >= channels else 0
            up, corner = before[i], before[i - channels] if i >= channels else 0
            line[i] = (line[i] + _predicted(kind, left, up, corner)) & 255
        rows.append(b"".join(bytes(line[i : i + 3]) for i in range(0, stride, channels)))
        before = line
    return width, height, rows


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return {0: 0, 1: left, 2: up, 3: (left + up) // 2}[kind]


def test_the_page_is_drawn_with_its_verdict_and_curves(chromium: str, tmp_path: Path) -> None:
    about = evidence.About(
        created="2026-11-22T12:00:00Z", gpuenv="0.1.0", command="gpuenv verify", environment=".venv-gpu"
    )
    report = report_of(observed())
    # Fewer rows above it, so that the curve is in view.
    report = dataclasses.replace(report, checks=report.checks[:2])
    evidence.write(tmp_path, report=report, machine=MACHINE, about=about, smi_text="")
    picture = tmp_path / "page.png"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    page = (tmp_path / "report.html").as_uri()
    browser.run(chromium, profile, "--window-size=800,760", f"--screenshot={picture}", url=page)
    width, height, rows = _pixels(picture)
    assert (width, height) == (800, 760)
    top = b"".join(rows[:80])
    colours = {top[i : i + 3] for i in range(0, len(top), 3)}
    assert bytes.fromhex("1a7f37") in colours, "the verdict is not green"
    body = b"".join(rows)
    blue = sum(body[i : i + 3] == bytes.fromhex("0969da") for i in range(0, len(body), 3))
    assert blue > 100, "no curve is drawn"
