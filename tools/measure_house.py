"""How large the package is and how it hangs together, at this commit or at another: the table of docs/architecture.md.

    python tools/measure_house.py [REVISION …]
    python tools/measure_house.py --smaller REVISION   what simplification alone took out since then, by commit

Counts lines, modules, dataclasses, class names with more than one meaning, circles of imports between files, places
that read a sentence of ours back, and places that start a process, write a file or speak HTTP outside their one room.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "resolver/gpuenv"
PROSE = {"message", "hint", "hints", "cause", "causes", "detail", "details", "because", "words"}
"""Attributes that hold sentences: what is asked of them by text is asked of our own prose."""
ASKING = {"startswith", "endswith", "partition", "rpartition", "split", "removeprefix", "removesuffix", "replace"}
PATTERNS = {"match", "search", "fullmatch", "findall"}


def sources(revision: str | None) -> dict[PurePosixPath, str]:
    """Every module of the package by path, of the working tree or of a revision."""
    if revision is None:
        found = {PurePosixPath(path.relative_to(ROOT)): path for path in (ROOT / PACKAGE).rglob("*.py")}
        return {name: path.read_text(encoding="utf-8") for name, path in sorted(found.items())}
    packed = subprocess.run(["git", "archive", revision, PACKAGE], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = [each for each in archive.getmembers() if each.isfile() and each.name.endswith(".py")]
        return {PurePosixPath(each.name): _text(archive, each) for each in sorted(members, key=lambda each: each.name)}


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read().decode("utf-8")


def module_name(path: PurePosixPath) -> str:
    """``resolver/gpuenv/index/page.py`` is ``gpuenv.index.page``."""
    parts = path.relative_to("resolver").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, names: set[str]) -> Iterator[str]:
    """Modules of the package that a file imports, wherever in the file, those for type checking aside."""
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for each in node.names:
                inner = f"{node.module}.{each.name}"
                if inner in names:
                    yield inner
                elif node.module in names:
                    yield node.module


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one file (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def reads_prose(tree: ast.AST) -> Iterator[int]:
    """Lines where a sentence of ours is taken apart or searched."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            subject: list[ast.expr] = []
            if node.func.attr in ASKING:
                subject = [node.func.value]
            elif node.func.attr in PATTERNS:
                subject = list(node.args)
            if any(_is_prose(each) for each in subject):
                yield node.lineno
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Constant | ast.JoinedStr):
            membership = any(isinstance(each, ast.In | ast.NotIn) for each in node.ops)
            if membership and any(_is_prose(each) for each in node.comparators):
                yield node.lineno


def _is_prose(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr in PROSE) or (isinstance(node, ast.Name) and node.id in PROSE)


def uses(tree: ast.AST, wanted: set[tuple[str, str]]) -> int:
    """How often ``module.function`` (or a method of that name, for an empty module) is called."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            count += (owner, node.func.attr) in wanted or ("", node.func.attr) in wanted
    return count


STARTS = {("subprocess", name) for name in ("run", "Popen", "check_output", "check_call")}
WRITES = {("", "write_text"), ("", "write_bytes")}
HTTP = {"requests", "urllib3", "http.client", "urllib.request", "cachecontrol"}


def measure(revision: str | None) -> dict[str, int]:
    """Every count of one revision, by its row's title."""
    texts = sources(revision)
    trees = {path: ast.parse(text) for path, text in texts.items()}
    names = {module_name(path) for path in texts}
    classes: Counter[str] = Counter()
    dataclasses = 0
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name.lstrip("_")] += 1
                dataclasses += any("dataclass" in ast.dump(each) for each in node.decorator_list)
    graph = {module_name(path): set(imports(tree, names)) - {module_name(path)} for path, tree in trees.items()}
    outside = {path: tree for path, tree in trees.items() if "payload" not in path.parts}
    return {
        "lines": sum(text.count("\n") for text in texts.values()),
        "modules": len(texts),
        "dataclasses": dataclasses,
        "class names with more than one meaning": sum(count > 1 for count in classes.values()),
        "circles of files": len(circles(graph)),
        "modules over 400 lines": sum(text.count("\n") > 400 for text in texts.values()),
        "places that read a sentence of ours": sum(len(list(reads_prose(tree))) for tree in trees.values()),
        "modules that start processes (payload aside)": sum(uses(tree, STARTS) > 0 for tree in outside.values()),
        "modules that write files (payload aside)": sum(uses(tree, WRITES) > 0 for tree in outside.values()),
        "modules that speak HTTP": sum(_speaks_http(tree) for tree in outside.values()),
    }


def _speaks_http(tree: ast.AST) -> bool:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return any(name == each or name.startswith(f"{each}.") for name in found for each in HTTP)


def smaller(since: str) -> list[tuple[str, int, int]]:
    """The commits since a revision that left the package's code smaller: its subject, by how many lines of Python, and
    by how many lines the tables and pages that ship with it grew in the same commit (what was only moved there)."""
    log = ["git", "log", "--no-merges", "--reverse", "--format=\t%h %s", "--numstat", f"{since}..HEAD", "--", PACKAGE]
    found: dict[str, list[int]] = {}
    subject = ""
    for line in subprocess.run(log, cwd=ROOT, capture_output=True, check=True, text=True).stdout.splitlines():
        if line.startswith("\t"):
            subject = line.strip()
        elif line:
            added, removed, path = line.split("\t", 2)
            if added != "-":  # a dash stands for a file that has no lines
                found.setdefault(subject, [0, 0])[not path.endswith(".py")] += int(added) - int(removed)
    return [(name, code, tables) for name, (code, tables) in found.items() if code < 0]


def main(arguments: list[str]) -> int:
    """Print one column a revision and one for the working tree."""
    if arguments[:1] == ["--smaller"]:
        rows = smaller(arguments[1])
        print("| commit | lines of Python | lines of tables and pages |\n|---|---:|---:|")
        for name, code, tables in rows:
            print(f"| {name} | {code} | {tables} |")
        print(f"| {len(rows)} commits | {sum(row[1] for row in rows)} | {sum(row[2] for row in rows)} |")
        return 0
    columns = [(revision, measure(revision)) for revision in arguments] + [("now", measure(None))]
    print("| what | " + " | ".join(name for name, _ in columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for title in columns[0][1]:
        print(f"| {title} | " + " | ".join(f"{counts[title]:,}" for _, counts in columns) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
