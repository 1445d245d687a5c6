"""What programs that use nngio need for their tests.

`certificates()` makes an authority of your own and certificates that it has signed, in milliseconds and without files. They
are for development and tests: whoever has the object can sign more. Needs `pip install nngio[testing]`, which brings `trustme`.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nngio import TLSConfig

if TYPE_CHECKING:
    import os

__all__ = ["Certificate", "CertificateFiles", "Certificates", "certificates"]

HOSTS = ("localhost", "127.0.0.1", "::1")


class Certificate(NamedTuple):
    """A certificate and its private key, as PEM."""

    cert: bytes
    key: bytes


class CertificateFiles(NamedTuple):
    """Where `Certificates.write` has written what."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


class Certificates:
    """An authority, a certificate of a server and one of a client, and configurations that use them.

    What `certificates()` returns.
    """

    server: TLSConfig
    """For listeners."""
    client: TLSConfig
    """For dialers."""
    server_certificate: Certificate
    """The server's, for the hosts that were named."""
    client_certificate: Certificate
    """The client's, which `client` shows if `mutual` was asked for."""

    def __init__(self, hosts: tuple[str, ...], client_name: str, *, mutual: bool) -> None:
        try:
            import trustme
        except ImportError:
            raise ImportError("nngio.testing.certificates needs trustme: pip install nngio[testing]", name="trustme") from None
        self._ca = trustme.CA()
        self.server_certificate = self.issue(*hosts)
        self.client_certificate = self.issue(client_name)
        server, client = self.server_certificate, self.client_certificate
        if mutual:
            self.server = TLSConfig(cert=server.cert, key=server.key, ca=self.ca_pem)
            self.client = TLSConfig(cert=client.cert, key=client.key, ca=self.ca_pem)
        else:
            self.server = TLSConfig(cert=server.cert, key=server.key)
            self.client = TLSConfig(ca=self.ca_pem)

    @property
    def ca_pem(self) -> bytes:
        """The authority's own certificate, which whoever is to trust it needs."""
        pem: bytes = self._ca.cert_pem.bytes()
        return pem

    def issue(self, *names: str, not_before: datetime.datetime | None = None, not_after: datetime.datetime | None = None) -> Certificate:
        """Sign another certificate for names: of hosts, IP addresses, e-mail addresses. It is valid now, if no dates are given."""
        issued = self._ca.issue_cert(*names, not_before=not_before, not_after=not_after)
        return Certificate(b"".join(pem.bytes() for pem in issued.cert_chain_pems), issued.private_key_pem.bytes())

    def revoke(self, *certificates: Certificate | bytes) -> bytes:
        """A revocation list, as PEM, with these certificates: `TLSConfig(crl=...)` refuses them."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        issuer = x509.load_pem_x509_certificate(self.ca_pem)
        builder = x509.CertificateRevocationListBuilder(issuer.subject, now - day, now + 365 * day)
        for certificate in certificates:
            pem = certificate if isinstance(certificate, bytes) else certificate.cert
            serial = x509.load_pem_x509_certificate(pem).serial_number
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - day).build()
            )
        key: Any = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, directory: "str | os.PathLike[str]") -> CertificateFiles:
        """Write all as PEM files, for other programs: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`."""
        folder = Path(directory)
        files = CertificateFiles(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")))
        for path, text in zip(files, (self.ca_pem, *self.server_certificate, *self.client_certificate), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(text)
        return files

    def __repr__(self) -> str:
        return f"<nngio.testing.Certificates {self.server!r} {self.client!r}>"


def certificates(*hosts: str, client: str = "client.test", mutual: bool = False) -> Certificates:
    """Make an authority, a certificate of a server and one of a client.

    Args:
        hosts: the names and IP addresses of the server; by default those of this machine for itself.
        client: the name in the client's certificate.
        mutual: whether the server is to verify the client too.

    Raises:
        ImportError: trustme isn't installed.
    """
    return Certificates(hosts or HOSTS, client, mutual=mutual)
