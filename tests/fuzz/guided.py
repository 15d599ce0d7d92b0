"""Inputs that follow the code's branches, by atheris: ``python guided.py TARGET SECONDS`` where it is installed.

For readers of bytes. atheris is no dependency: it has wheels for few Pythons, and the rest of ``make fuzz`` needs none.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gpuenv"]):
    from fuzz.judge import judge, say
    from fuzz.run import FOLDER, TARGETS, Session


def main() -> None:
    target, seconds = TARGETS[sys.argv[1]], int(sys.argv[2])
    session, room = Session(FOLDER), Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus = room / "corpus"
    corpus.mkdir()
    for number, sample in enumerate(target.samples()):
        (corpus / str(number)).write_bytes(sample)

    def one(data: bytes) -> None:
        if found := judge(target, data, room):
            session.keep(found)

    say(f"{target.name}: {seconds} s")
    options = [
        f"-max_total_time={seconds}",
        "-max_len=65536",
        "-rss_limit_mb=4096",
        "-timeout=120",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
