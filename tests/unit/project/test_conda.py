"""What an environment.yml asks for: the pip part, and what the conda part says of torch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.model.asked import Asked, Stated
from gpuenv.project.conda import read_environment


def pip(rows: Sequence[tuple[str, int]]) -> Asked:
    return Asked(stated=tuple(Stated(text=text, place=f"e.yml:{line}") for text, line in rows))


def test_both_parts_with_their_lines() -> None:
    found = read_environment(
        "name: x\nchannels: [pytorch, nvidia]\ndependencies:\n  - python=3.10\n  - pytorch::pytorch=2.1.2=py3.10_cuda\n"
        "  - torchvision >=0.16,<0.17\n  - pytorch-cuda=12.1\n  - numpy\n  - pip\n  - pip:\n      - einops>=0.7\n",
        shown="e.yml",
        pip=pip,
    )
    assert [(each.text, each.place) for each in found.stated] == [
        ("torch==2.1.2", "e.yml:5"),
        ("torchvision>=0.16,<0.17", "e.yml:6"),
        ("einops>=0.7", "e.yml:11"),
    ]
    assert [(each.text, each.place) for each in found.pythons] == [("==3.10.*", "e.yml:4")]
    assert [(each.variant, each.text) for each in found.builds] == [("cu121", "pytorch-cuda 12.1")]
    assert found.notes == ("e.yml: packages of conda are not taken: numpy",)
    assert found.files == ("e.yml: 3 requirements",)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("pytorch", "torch"),
        ("pytorch=2.1", "torch==2.1.*"),
        ("pytorch=2.1.*", "torch==2.1.*"),
        ("pytorch==2.1.0", "torch==2.1.0"),
        ("pytorch 2.1.0 py3.10_cuda12", "torch==2.1.0"),
        ("pytorch=2.1=cuda*", "torch==2.1"),
        ("pytorch>=2.1", "torch>=2.1"),
        ("conda-forge::pytorch-gpu", "torch"),
        ('pytorch[version=">=2"]', "torch"),
    ],
)
def test_versions_of_conda_as_those_of_wheels(spec: str, said: str) -> None:
    found = read_environment(f"dependencies:\n- '{spec}'\n", shown="e.yml", pip=pip)
    assert [each.text for each in found.stated] == [said]


@pytest.mark.parametrize(
    "text", ["", "a", "[1]", "dependencies: 1", "a: [", "dependencies:\n- {pip: 1}", "dependencies:\n- pytorch=x y=z"]
)
def test_what_is_no_environment_file_is_an_error_with_its_line(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^e\.yml:"):
        read_environment(text, shown="e.yml", pip=pip)
