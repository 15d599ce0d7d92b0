"""uv's words, as recorded from uv 0.13.9, and what becomes of them."""

from __future__ import annotations

import pytest

from gpuenv.environment.translate import CacheEntryError, tail, translate
from gpuenv.errors import (
    GpuenvError,
    IndexUnreachableError,
    IntegrityError,
    NoSpaceError,
    OfflineError,
    UvError,
)

URL = "http://127.0.0.1:9/torch-1.0-py3-none-any.whl"
FETCH = f"Failed to fetch: {URL}"


def failed(*causes: str) -> str:
    return "\n  cause: ".join(["error: Failed to download `torch==1.0`", *causes]) + "\n"


SAID = [
    (
        failed(f"Network connectivity is disabled, but the requested data wasn't found in the cache: {URL}"),
        OfflineError,
        f"something is missing from the cache, and the network must not be used: {URL}",
    ),
    (
        failed(FETCH, f"HTTP status client error (404 Not Found) for url ({URL})"),
        IndexUnreachableError,
        f"a locked wheel is gone from its index (404): {URL}",
    ),
    (
        failed(
            "Request failed after 3 retries in 5s", FETCH, f"HTTP status server error (503 Unavailable) for url ({URL})"
        ),
        IndexUnreachableError,
        f"the index answered 503: {URL}",
    ),
    (
        failed(
            "Failed to extract archive: torch.whl", "error decoding response body", "end of file before message length"
        ),
        IndexUnreachableError,
        "a download failed: torch==1.0",
    ),
    (
        failed("Failed to extract archive: torch.whl", "Bad uncompressed size (got 1, expected 2) for file: a"),
        IntegrityError,
        "a download is not a whole wheel: torch==1.0",
    ),
    (
        failed("Failed to deserialize cache entry", "IO error while reading data: unexpected end of file"),
        CacheEntryError,
        "uv's cache holds a damaged entry: torch==1.0",
    ),
    (
        failed("Hash mismatch for `torch==1.0`") + "\nExpected:\n  sha256:aa\n\nComputed:\n  sha256:bb\n",
        IntegrityError,
        "a download is not the file that was locked: torch==1.0",
    ),
    (
        "error: Archive `/w/torch-1.0-py3-none-any.whl` has size 191794682, but the lockfile records 12345\n",
        IntegrityError,
        "a download is not the file that was locked",
    ),
    (
        "error: Invalid size for `torch==1.0`: expected 2 bytes, but the server advertised 0 bytes\n",
        IntegrityError,
        "a download is not the file that was locked",
    ),
    (
        failed("Failed to extract archive: torch.whl", "failed to write to file `/c/b`: No space left on device"),
        NoSpaceError,
        "there is no space left for the environment or uv's cache: torch==1.0",
    ),
    ("error: the moon is full\n", UvError, "installing failed"),
    ("", UvError, "installing failed"),
]


@pytest.mark.parametrize(("said", "error", "message"), SAID)
def test_each_failure_has_its_class(said: str, error: type[GpuenvError], message: str) -> None:
    made = translate(said, doing="installing")

    assert type(made) is error
    assert made.message == message
    assert made.causes


def test_the_package_that_uv_names_is_a_field() -> None:
    damaged = [translate(said) for said, error, _ in SAID if error is IntegrityError]
    assert [made.package for made in damaged if isinstance(made, IntegrityError)] == [
        "torch==1.0",
        "torch==1.0",
        "",
        "",
    ]


def test_uvs_words_are_the_causes_without_its_chatter() -> None:
    said = (
        "Using Python 3.11.7 environment at: env\nDownloading torch (2.0MiB)\n Downloaded beta\n"
        "\x1b[1merror\x1b[0m: No solution found\n  ╰─▶ Because of the moon\n"
    )

    assert tail(said) == ("error: No solution found", "Because of the moon")
