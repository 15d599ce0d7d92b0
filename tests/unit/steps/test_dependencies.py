"""Which hosts serve torch's index and nothing else, as the request to uv says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from gpuenv.steps.dependencies import _named_hosts

PAGE = "https://download.pytorch.org/whl/cu990/frobnicate/"


@pytest.mark.parametrize(
    ("named", "of_pip", "hosts"),
    [((PAGE,), "", {"download.pytorch.org"}), ((), PAGE, set()), (("wheels",), PAGE, set())],
)
def test_only_a_page_that_somebody_names_may_be_on_the_host_of_torch(
    tmp_path: Path, named: tuple[str, ...], of_pip: str, hosts: set[str]
) -> None:
    (tmp_path / "wheels").mkdir()
    environ = {"PIP_CONFIG_FILE": "/dev/null", **({"PIP_FIND_LINKS": of_pip} if of_pip else {})}
    context = Context(
        environ=environ, project=tmp_path, cache=tmp_path, state=tmp_path, config=tmp_path, reporter=Silent(),
        options=Options(find_links=named),
    )  # fmt: skip
    assert _named_hosts(context) == hosts
