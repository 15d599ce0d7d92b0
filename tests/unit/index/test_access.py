"""index.access and index.faults: the way to a server, and words for a way that is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.index.access import Access, certificates_for, netrc_credentials, proxy_for, redact, split_credentials
from gpuenv.index.faults import of_exception, of_status


def test_credentials_are_cut_out_of_every_text() -> None:
    assert redact("at https://u:p@h/x and http://token@h") == "at https://h/x and http://h"
    assert redact("no address@here") == "no address@here"


def test_credentials_of_an_address() -> None:
    assert split_credentials("https://me:p%40ss@h.example:8443/x?y=1") == (
        "https://h.example:8443/x?y=1",
        ("me", "p@ss"),
    )
    assert split_credentials("https://h.example/x") == ("https://h.example/x", None)


def test_netrc(tmp_path: Path) -> None:
    file = tmp_path / ".netrc"
    file.write_text("machine h.example login me password canary\n", encoding="utf-8")
    file.chmod(0o600)
    assert netrc_credentials("h.example", {"HOME": str(tmp_path)}) == ("me", "canary")
    assert netrc_credentials("other.example", {"HOME": str(tmp_path)}) is None
    assert netrc_credentials("h.example", {"NETRC": str(tmp_path / "none")}) is None
    file.write_text("machine", encoding="utf-8")
    assert netrc_credentials("h.example", {"HOME": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("environ", "configured", "expected"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://p:1"}, None, "http://p:1"),
        ({"https_proxy": "p:1"}, None, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, None, None),
        ({"ALL_PROXY": "socks5://p:1"}, None, "socks5://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h.example"}, None, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://pip:2", "http://pip:2"),
    ],
)
def test_proxies(environ: dict[str, str], configured: str | None, expected: str | None) -> None:
    assert proxy_for("https://h.example/whl/", Access(proxy=configured), environ) == expected


def test_certificates_pip_first() -> None:
    environ = {"SSL_CERT_FILE": "/ssl.pem", "REQUESTS_CA_BUNDLE": "/requests.pem"}
    assert certificates_for(Access(certificates="/pip.pem"), environ) == "/pip.pem"
    assert certificates_for(Access(), environ) == "/requests.pem"
    assert certificates_for(Access(), {}) is None


def test_each_status_has_its_own_words() -> None:
    words = {status: of_status(status, "h.example").cause for status in (401, 403, 404, 407, 429, 500, 503, 418)}
    assert len(set(words.values())) == len(words)
    assert of_status(503, "h").again > 0 == of_status(403, "h").again


def test_an_exception_never_shows_a_password() -> None:
    fault = of_exception(
        OSError("http://u:canary@p.example refused"), "h", proxy="http://u:canary@p.example", seconds=1
    )
    assert "canary" not in str(fault.error("https://u:canary@h/x").causes)
