"""No CUDA, driver or torch version stands in the package's Python: those are in knowledge/*.toml.

Numbers are looked for in the code's own tokens. Docstrings and comments may give examples.
"""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

import pytest

from gpuenv.knowledge import files

PACKAGE = Path(__file__).resolve().parents[2] / "resolver" / "gpuenv"

#: What a version looks like in a string: a CUDA variant, an architecture, a driver, a torch or CUDA release.
VERSION = re.compile(
    r"""
      \bcu[0-9]{2,4}\b                                       # cu128
    | \b(?:sm|compute)_[0-9]{2,3}[af]?\b                     # sm_120
    | \b[3-6][0-9]{2}\.[0-9]{2,3}(?:\.[0-9]{2})?\b           # 570.124.06
    | \bR?(?:4[0-9]|5[0-9]|6[0-2])[05]\+                     # R580+
    | \b(?:torch|torchvision|torchaudio|triton)\W{1,4}[0-9]+\.[0-9]+   # torch==2.10
    | \bCUDA\s[0-9]+\.[0-9]+                                 # CUDA 12.8
    | ^(?:1[0-9]|[6-9])\.[0-9]{1,2}$                         # "12.8" alone: a CUDA or a compute capability
    | ^2\.[0-9]{1,2}(?:\.[0-9]+)?$                           # "2.10.0" alone: a torch
    """,
    re.VERBOSE,
)

#: Messages and help may show a person what to write.
EXAMPLE = re.compile(r"\bsuch as\b.{0,40}", re.DOTALL)

#: (file, text): why it is not one of those versions.
ALLOWED = {
    ("index/layout.py", "give the folder that holds <project>/ or cu128/"): "shows a person what to write",
    ("cli/verbs/check.py", "gpuenv check .venv --machine rtx5090@"): "shows a person what to write",
    ("steps/named_machine.py", "@"): "shows a person what to write",
    ("cli/annotations.py", "2.1.0"): "the version of SARIF",
    **{
        ("verify/payload/driver.py", text): "PTX of the control module: the payload runs alone, without the tables"
        for text in ("6.0", "6.3", "7.0", "7.8", "8.7", "sm_50", "sm_70", "sm_80", "sm_90", "sm_120")
    },
}
#: CUDA versions of the tables; as bare numbers only these are suspect, since 10.0 may be seconds.
CUDAS = {row["cuda"] for row in files.read("drivers")["variants"]}


def versions_in(text: str) -> bool:
    return VERSION.search(EXAMPLE.sub("", text)) is not None


def allowed(module: str, text: str) -> bool:
    return any(module == name and text.startswith(start) for name, start in ALLOWED)


def code_strings(path: Path) -> list[tuple[int, str]]:
    """String literals of a module that are code: not docstrings, not bare strings under an attribute."""
    source = path.read_text("utf-8")
    prose = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    strings = []
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.start[0] in prose:
                continue
            named = tokenize.tok_name[token.type]
            if named == "STRING":
                strings.append((token.start[0], _inner(token.string)))
            elif named == "FSTRING_MIDDLE" or (named == "NUMBER" and token.string in CUDAS):
                strings.append((token.start[0], token.string))  # Python 3.12 takes f-strings apart
    return strings


def _inner(literal: str) -> str:
    """The text between the quotes, prefix removed; escapes stay as written."""
    body = literal.lstrip("rRbBuUfF")
    quote = body[:3] if body[:3] in ('"""', "'''") else body[:1]
    return body[len(quote) : -len(quote)]


MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_no_version_in(module: str) -> None:
    found = [
        f"{module}:{line}: {text!r}"
        for line, text in code_strings(PACKAGE / module)
        if versions_in(text) and not allowed(module, text)
    ]
    assert not found, "versions belong into knowledge/*.toml: " + "; ".join(found)


RECOGNIZED = "cu128|torch==2.10.0|12.8|570.124.06|sm_120|needs CUDA 12.8|2.10.0|triton 3.6.0|compute_90a"
OTHERS = "cuda|utf-8|%Y-%m-%d|1.0|sm_|cu|Python 3.12|127.0.0.1|10|>=0.12|must be a variant, such as cu128"


@pytest.mark.parametrize("text", RECOGNIZED.split("|"))
def test_versions_are_recognized(text: str) -> None:
    assert versions_in(text)


@pytest.mark.parametrize("text", OTHERS.split("|"))
def test_other_numbers_are_not(text: str) -> None:
    assert not versions_in(text)


def test_docstrings_and_comments_may_give_examples(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(
        '"""Such as cu128."""\n\nVALUE = 1  # cu126\n"""As in 2.10.0."""\nBAD = "cu130"\nCUDA = 12.8\nPI = 3.14\n'
    )
    assert code_strings(path) == [(5, "cu130"), (6, "12.8")]
