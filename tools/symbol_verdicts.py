"""Say which torch has the symbols that the libraries of wheels need: rows of a Markdown table.

    python tools/symbol_verdicts.py FILENAME… [--most MB]

Reads wheels of the default package index by their file names, each library whole (a wheel of vLLM is 300 MB). Prints a
row for each group of libraries of a wheel that need alike; what is independent of torch is named on a line of its own.
✓ all there, −N: N symbols missing, ? not known. The wheels are read one after the other, and nothing is kept.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from packaging.utils import parse_wheel_filename
from update_tables import package_index, with_cache

from gpuenv.companions.wheel import list_libraries, read_package
from gpuenv.errors import GpuenvError
from gpuenv.index.layout import read_package_index
from gpuenv.index.wheelfile import open_wheel
from gpuenv.knowledge.torch_exports import TorchExports, load_exports
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.net.client import Client


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="+")
    parser.add_argument("--most", type=int, metavar="MB", default=1000)
    return with_cache(partial(run, parser.parse_args()))


def run(options: argparse.Namespace, cache: Path) -> int:
    exports = load_exports()
    plan, index = package_index(None)
    failed = 0
    with Client(cache=cache, environ={}, access=plan.access) as http:
        for filename in options.wheels:
            project, version, _, _ = parse_wheel_filename(filename)
            try:
                rows = read_package_index(index, http, project).wheels
                (wheel,) = [each for each in rows if each.filename == filename]
                if (wheel.size or 0) > options.most * 1_000_000:
                    raise ValueError(f"{(wheel.size or 0) / 1e6:.0f} MB")
                with open_wheel(wheel.url, http=http, filename=filename) as file:
                    found = read_package(file, list_libraries(file), project=project, version=str(version))
            except (GpuenvError, ValueError) as error:
                print(f"not read: {filename}: {error}", file=sys.stderr)
                failed += 1
                continue
            print(*rows_of(found, exports), sep="\n", flush=True)
    return int(failed > 0)


def rows_of(package: PackageFacts, exports: TorchExports) -> list[str]:
    """The rows of one wheel."""
    platform = package.filename.removesuffix(".whl").rpartition("-")[2]
    alike: dict[tuple[str, ...], list[LibraryFacts]] = {}
    for library in package.libraries:
        if library.torch_symbols and not library.vendored:
            cells = (library.binding, str(library.cuda_major or "–"))
            cells += tuple(verdict(library, minor, exports) for minor in exports.minors)
            alike.setdefault(cells, []).append(library)
    if not alike:
        kind = "independent of torch" if package.libraries else "no library"
        return [f"{kind}: {package.project} {package.version} ({platform})"]
    rows = []
    for cells, libraries in alike.items():
        name = libraries[0].name.partition(".")[0]
        more = f" +{len(libraries) - 1}" if len(libraries) > 1 else ""
        rows.append(f"| {package.project} {package.version} | {platform} | `{name}`{more} | {' | '.join(cells)} |")
    return rows


def verdict(library: LibraryFacts, minor: str, exports: TorchExports) -> str:
    """What a minor release of torch has of the symbols of a library."""
    if missing := exports.missing(library.torch_symbols, minor):
        return f"−{len(missing)}"
    return "?" if exports.unknown(library.torch_symbols, minor) else "✓"


if __name__ == "__main__":
    sys.exit(main())
