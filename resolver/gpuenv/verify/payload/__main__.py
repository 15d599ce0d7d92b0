"""Start the payload by path, without a copy of it and without its folder on the module search path."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

NAME = "gpuenv_payload"


def load() -> None:
    """Make this folder importable as one package, so that its file names can shadow no module of the environment."""
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load()
    main = importlib.import_module(f"{NAME}.main")
    code = main.main(sys.argv[1:])
    sys.stderr.flush()
    # Taking torch apart at the end of the interpreter takes 0.8 s, 5 s on busy cores, and the next task waits for it.
    os._exit(code)
