"""What the tests of TLS share: certificates, good and bad, made once; and raw peers, of Python's `ssl`."""

import datetime
import functools
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import nngio
import nngio.testing
from nngio import TLSConfig
from nngio.lowlevel import ffi, lib, nng_version

TRANSPORTS = ("tls+tcp", "wss")
SECONDS = 15.0
"""What a step may take: much more than it does, less than a test may."""
PATCHED = b" + " in ffi.string(lib.nngio_build_nng_source) and nng_version() == "1.5.2"
"""Whether this NNG is the one that nngio has patched."""
HAS_TLS_1_3 = nng_version() not in ("1.5.2", "1.6.0", "1.7.0", "1.7.1", "1.7.2", "1.7.3", "1.8.0")
MBEDTLS_3 = b" 3." in ffi.string(lib.nng_tls_engine_description())

# NNG's own tells what fails in a handshake with fewer codes.
NOT_VERIFIED: tuple[type[nngio.NNGError], ...] = (nngio.PeerAuthError,) if PATCHED else (nngio.PeerAuthError, nngio.CryptoError)
NOT_TLS: tuple[type[nngio.NNGError], ...] = (nngio.ProtocolError,) if PATCHED else (nngio.ProtocolError, nngio.CryptoError)
REFUSED: tuple[type[nngio.NNGError], ...] = (
    nngio.CryptoError,
    nngio.ConnectionShutdown,
    nngio.ConnectionReset,
    *(() if PATCHED else (nngio.ConnectionRefused, nngio.TimedOut)),
)
"""What a dialer may see of a listener that doesn't accept it. NNG's own may miss that the listener has hung up."""

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

GREETING = b"\0SP\0\0\x10\0\0"
"""What a PAIR says first, on tcp and tls+tcp."""


@functools.cache
def certificates() -> nngio.testing.Certificates:
    """The authority that the peers of a test trust; its server verifies clients."""
    return nngio.testing.certificates(mutual=True)


@functools.cache
def strangers() -> nngio.testing.Certificates:
    """Another authority, which nobody trusts."""
    return nngio.testing.certificates(mutual=True)


def config(certificate: nngio.testing.Certificate, **more: Any) -> TLSConfig:
    """With a certificate of our authority's, or of any."""
    return TLSConfig(cert=certificate.cert, key=certificate.key, **more)


def plain_server() -> TLSConfig:
    """A server that doesn't verify clients."""
    return config(certificates().server_certificate)


def plain_client() -> TLSConfig:
    """A client without a certificate."""
    return TLSConfig(ca=certificates().ca_pem)


@functools.cache
def failures() -> dict[str, tuple[TLSConfig, TLSConfig, Any]]:
    """What the server and the client have, and the errors that the client may get."""
    certs, other = certificates(), strangers()
    old = {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}
    early = {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}
    hosts = ("localhost", "127.0.0.1")
    ca = {"ca": certs.ca_pem}
    list_ = certs.revoke(certs.server_certificate, certs.client_certificate)
    stale = expired_list(certs)
    return {
        "the server is of another authority": (config(other.server_certificate), plain_client(), NOT_VERIFIED),
        "the server is another host": (config(certs.issue("elsewhere.test")), plain_client(), NOT_VERIFIED),
        "the server's certificate has expired": (config(certs.issue(*hosts, **old)), plain_client(), NOT_VERIFIED),
        "the server's certificate is not valid yet": (config(certs.issue(*hosts, **early)), plain_client(), NOT_VERIFIED),
        "the server's certificate is revoked": (plain_server(), TLSConfig(**ca, crl=list_), NOT_VERIFIED),
        "the client's revocation list has expired": (plain_server(), TLSConfig(**ca, crl=stale), NOT_VERIFIED),
        "the client has no certificate": (certs.server, plain_client(), REFUSED),
        "the client is of another authority": (certs.server, config(other.client_certificate, **ca), REFUSED),
        "the client's certificate has expired": (certs.server, config(certs.issue("me.test", **old), **ca), REFUSED),
        "the client's certificate is not valid yet": (certs.server, config(certs.issue("me.test", **early), **ca), REFUSED),
        "the client's certificate is revoked": (config(certs.server_certificate, **ca, crl=list_), certs.client, REFUSED),
    }


def expired_list(certs: nngio.testing.Certificates) -> bytes:
    """A revocation list of the authority's with nobody in it, that was to be replaced yesterday."""
    authority = x509.load_pem_x509_certificate(certs.ca_pem)
    key: Any = serialization.load_pem_private_key(certs._ca.private_key_pem.bytes(), None)
    builder = x509.CertificateRevocationListBuilder(authority.subject, NOW - 9 * DAY, NOW - DAY)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@functools.cache
def good() -> TLSConfig:
    """A client that those servers let in, and that takes any of them."""
    return config(certificates().issue("good.test"), auth="none")


def exchange(a: Any, b: Any) -> None:
    """Two PAIRs are connected."""
    a.send(b"ping", timeout=SECONDS)
    assert b.recv(timeout=SECONDS) == b"ping"
    b.send(b"pong", timeout=SECONDS)
    assert a.recv(timeout=SECONDS) == b"pong"


def ssl_client(port: int, context: ssl.SSLContext | None = None, timeout: float = SECONDS) -> ssl.SSLSocket:
    """A connection of Python's own to a listener, after its handshake."""
    if context is None:
        context = client_context()
    raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise


def client_context() -> ssl.SSLContext:
    """For a raw client with a certificate that our server accepts."""
    return context_showing(certificates().client_certificate)


def context_showing(certificate: nngio.testing.Certificate | None) -> ssl.SSLContext:
    """For a raw client with that certificate, or none."""
    context = ssl.create_default_context(cadata=certificates().ca_pem.decode())
    if certificate is not None:
        _load(context, certificate)
    return context


def server_context(certificate: nngio.testing.Certificate | None = None) -> ssl.SSLContext:
    """For a raw server with that certificate, or our server's, which doesn't verify clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate or certificates().server_certificate)
    return context


def _load(context: ssl.SSLContext, certificate: nngio.testing.Certificate) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "pem")
        file.write_bytes(certificate.cert + certificate.key)
        context.load_cert_chain(file)


def framed(*bodies: bytes) -> bytes:
    """Messages, as they go over tls+tcp."""
    return b"".join(len(body).to_bytes(8, "big") + body for body in bodies)


def client_hello() -> bytes:
    """What a client says first."""
    out = ssl.MemoryBIO()
    half = client_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")
