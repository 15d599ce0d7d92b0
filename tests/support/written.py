"""Runs gpuenv and writes down every file that it opens to write or puts in a place, as the interpreter announces it.

``python -m support.written LIST WORDS``: one path a line into LIST, absolute.
"""

from __future__ import annotations

import os
import sys


def main(listing: str, words: list[str]) -> int:
    handle = os.open(listing, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        path: object = None
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = arguments[0]
        elif event == "os.rename":
            path = arguments[1]
        if isinstance(path, (str, os.PathLike)):
            os.write(handle, os.path.abspath(os.fspath(path)).encode() + b"\n")  # noqa: PTH100 (of a text)

    sys.addaudithook(hear)
    from gpuenv.cli.app import main as run

    return run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
