"""net.access and net.faults: the way to a server, and words for a way that is closed."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.net.access import Access, netrc_credentials, proxy_for, tls_context
from gpuenv.net.faults import number_of, of_exception, of_status, seconds_of
from support.addresses import at


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
        ({"ALL_PROXY": "http://p:1"}, None, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h.example"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "a, .example"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h.example:443"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h.example:80,ample,other.h.example"}, None, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://pip:2", "http://pip:2"),
    ],
)
def test_proxies(environ: dict[str, str], configured: str | None, expected: str | None) -> None:
    access = Access(proxy=at(configured) if configured else None)
    found = proxy_for(at("https://h.example/whl/"), access, environ)
    assert (None if found is None else str(found)) == expected


def test_a_network_is_gone_around() -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8,fd00::/8"}
    assert proxy_for(at("https://10.1.2.3/"), Access(), environ) is None
    assert proxy_for(at("https://[fd00::1]/"), Access(), environ) is None
    assert proxy_for(at("https://11.1.2.3/"), Access(), environ) is not None


def test_a_proxy_that_is_no_http_proxy_is_named() -> None:
    with pytest.raises(UsageError, match="ALL_PROXY: socks5://p:1 is not an address"):
        proxy_for(at("https://h.example/"), Access(), {"ALL_PROXY": "socks5://p:1"})


def test_a_bundle_that_cannot_be_used_is_named_pips_first(tmp_path: Path) -> None:
    environ = {"SSL_CERT_FILE": "/none/ssl.pem", "REQUESTS_CA_BUNDLE": "/none/requests.pem"}
    with pytest.raises(ConfigurationError, match=r"/none/pip.pem \(cert of pip's configuration\)"):
        tls_context(Access(certificates="/none/pip.pem"), environ, trusted=False)
    with pytest.raises(ConfigurationError, match=r"/none/requests.pem \(REQUESTS_CA_BUNDLE\)"):
        tls_context(Access(), environ, trusted=False)
    with pytest.raises(ConfigurationError, match="client-cert"):
        tls_context(Access(client_certificate="/none/me.pem"), {}, trusted=False)
    assert tls_context(Access(), {}, trusted=False).verify_mode == ssl.CERT_REQUIRED
    assert tls_context(Access(), {}, trusted=True).verify_mode == ssl.CERT_NONE


def test_each_status_has_its_own_words() -> None:
    words = {
        status: of_status(status, at("https://h.example/")).cause for status in (401, 403, 404, 407, 429, 500, 503, 418)
    }
    assert len(set(words.values())) == len(words)
    assert of_status(503, at("https://h/")).again > 0 == of_status(403, at("https://h/")).again


def test_an_exception_never_shows_a_password() -> None:
    from urllib3.exceptions import ProxyError

    proxy = at("http://u:canary@p.example")
    error = ProxyError("no", OSError("http://u:canary@p.example refused"))
    fault = of_exception(error, at("https://u:canary@h/x"), proxy=proxy, seconds=1)
    assert fault.kind == "proxy"
    assert "canary" not in str(fault.error(at("https://u:canary@h/x?t=canary")).causes)


@pytest.mark.parametrize("hostile", ["9" * 4300, "-1", "1e9", "٣", "", "0x10", " 1"])
def test_numbers_in_headers_are_small_or_none(hostile: str) -> None:
    assert number_of(hostile) is None
    assert seconds_of(hostile) in (0.0, 1.0)


def test_retry_after_is_a_number_or_a_date() -> None:
    assert seconds_of("7") == 7
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert seconds_of("Fri, 31 Dec 2999 23:59:59 GMT") > 10**9
    assert seconds_of("whenever") == seconds_of(None) == 0
