"""Encrypted servers on loopback, with certificates that nobody else trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "data" / "tls"
SERVER, CLIENT = FOLDER / "server.pem", FOLDER / "client.pem"


def server_context(*, asks_for_client: bool = False) -> ssl.SSLContext:
    """The server's side; it may ask for the client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(SERVER)
    if asks_for_client:
        context.load_verify_locations(CLIENT)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
