"""The matrix page in headless Chromium: what a person types, and what the page says."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from support import browser
from support.cli import Person


@pytest.fixture(scope="session")
def chromium() -> str:
    return browser.find()


@pytest.fixture(scope="session")
def page(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    run = Person.at(folder).run("matrix", "--format", "html")
    assert run.code == 0, run.err
    made = folder / "matrix.html"
    made.write_text(run.out, encoding="utf-8")
    return made


def answer(chromium: str, page: Path, **asked: str) -> str:
    """The answer's element, its text with spaces made single."""
    profile = f"--user-data-dir={page.parent / 'profile'}"
    text = browser.run(chromium, profile, "--dump-dom", url=f"{page.as_uri()}#{urlencode(asked)}")
    found = re.search(r"<output[^>]*>(.*?)</output>", text, re.DOTALL)
    assert found, text[-2000:]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[1])).split())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(
            {"gpu": "NVIDIA GeForce RTX 5090", "driver": "576.88", "system": "Windows", "python": "3.12"},
            ("compute capability 12.0", "+cu128", "Machine code: sm_120", "which knows CUDA 12.9", "index-url"),
            id="pasted",
        ),
        pytest.param(
            {"gpu": "5090", "driver": "550.54.14", "system": "Linux, x86_64", "python": "3.12"},
            ("driver branch 570 is the first that knows this GPU (12.0); found 550.54.14",),
            id="the driver does not know the card",
        ),
        pytest.param(
            {"gpu": "A100-SXM4-40GB", "driver": "470.57.02", "system": "Linux, x86_64", "python": "3.12"},
            ("torch 2.7.1+cu118", "the 11.4 of driver 470.57.02", "minor-version compatibility"),
            id="an old driver",
        ),
        pytest.param(
            {"gpu": "8.6", "driver": "580", "system": "WSL 2", "python": "3.12"},
            ("compute capability 8.6", "Machine code: sm_86", "driver 580"),
            id="a capability, a branch alone",
        ),
        pytest.param({"gpu": "Ampere", "driver": "580.95.05"}, ("Which one?", "8.0", "8.6"), id="a generation"),
        pytest.param({"gpu": "GTX 680", "driver": "470.57.02"}, ("no torch wheel ever had code",), id="too old"),
        pytest.param({"gpu": "Voodoo 2", "driver": "1"}, ("No GPU is known by this name",), id="unknown"),
        pytest.param({"gpu": "<img src=x>5090", "driver": "<b>"}, ("No GPU is known",), id="markup"),
        pytest.param({"gpu": "RTX 4090", "driver": "new"}, ("Type the driver's version",), id="no number"),
    ],
)
def test_the_page_answers(chromium: str, page: Path, asked: dict[str, str], said: tuple[str, ...]) -> None:
    shown = answer(chromium, page, **asked)
    for each in said:
        assert each in shown
