"""Renders index pages: PyTorch's to the byte by the rules of its generator, and a package index's."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from support.wheels import BuiltWheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A row of a page."""

    key: str
    sha256: str | None
    metadata_sha256: str | None
    upload_time: str | None = None
    yanked: str | None = None


def render_project_page(project: str, anchors: Iterable[Anchor]) -> str:
    """PyTorch's project page, by the rules of its generator."""
    lines = ["<!DOCTYPE html>", "<html>", "  <body>", f"    <h1>Links for {project}</h1>"]
    for anchor in sorted(anchors, key=lambda anchor: anchor.key):
        name = anchor.key.rpartition("/")[2]
        attributes = [
            f'href="/{anchor.key.replace("+", "%2B")}' + (f'#sha256={anchor.sha256}"' if anchor.sha256 else '"')
        ]
        if anchor.metadata_sha256:
            attributes.append(f'data-dist-info-metadata="sha256={anchor.metadata_sha256}"')
            attributes.append(f'data-core-metadata="sha256={anchor.metadata_sha256}"')
        if anchor.upload_time:
            attributes.append(f'data-upload-time="{anchor.upload_time}"')
        if anchor.yanked is not None:
            attributes.append(f'data-yanked="{html.escape(anchor.yanked)}"')
        lines.append(f"    <a {' '.join(attributes)}>{name}</a><br/>")
    return "\n".join([*lines, "  </body>", "</html>", "<!--TIMESTAMP 1752070396-->"])


def render_project_list(names: Iterable[str]) -> str:
    """PyTorch's list of projects (and, at its root, of folders)."""
    links = [f'    <a href="{name}/">{name}</a><br/>' for name in sorted(names)]
    return "\n".join(
        ["<!DOCTYPE html>", "<html>", "  <body>", *links, "  </body>", "</html>", "<!--TIMESTAMP 1752070396-->"]
    )


def render_package_page(project: str, wheels: Iterable[BuiltWheel]) -> str:
    lines = []
    for wheel in sorted(wheels, key=lambda wheel: wheel.filename):
        python = f' data-requires-python="{html.escape(wheel.requires_python)}"' if wheel.requires_python else ""
        name = wheel.filename.replace("+", "%2B")
        lines.append(
            f'<a href="/simple/{project}/{name}#sha256={wheel.sha256}"{python} '
            f'data-core-metadata="sha256={wheel.metadata_sha256}">{wheel.filename}</a><br />'
        )
    head = '<!DOCTYPE html>\n<html>\n<head><meta name="pypi:repository-version" content="1.4"></head>\n<body>\n'
    return head + f"<h1>Links for {project}</h1>\n" + "\n".join(lines) + "\n</body>\n</html>\n"
