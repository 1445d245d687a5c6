"""PEM: what users pass is read, taken apart and checked, by `ssl`, before NNG sees it. Imported with the first TLSConfig."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager

from nngio._core.errors import InvalidArgument
from nngio._core.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nngio._tls import PEM

__all__ = ["blocks", "check_parts", "private_key", "read", "revocation_lists", "the_password"]

_BLOCKS = {
    "certificate": re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL),
    "revocation list": re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL),
    "private key": re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL),
}


def read(name: str, value: "PEM | None") -> bytes | None:
    """The PEM text of an argument."""
    if value is None:
        return None
    if isinstance(value, bytes):
        text, source = value, name
    elif isinstance(value, str) and "-----BEGIN" in value:
        text, source = value.encode(), name
    elif isinstance(value, str | os.PathLike):
        try:
            with open(value, "rb") as file:  # noqa: PTH123  # it may be any path-like
                text, source = file.read(), f"{name}, {os.fspath(value)},"
        except FileNotFoundError as error:
            error.strerror = f"{name}= names a file that is not there, and is no PEM text either, which has a -----BEGIN"
            raise
        except ValueError as error:  # a NUL character
            raise InvalidArgument(f"{name}= is neither a path nor PEM text: {error}") from None
    else:
        raise TypeError(f"{name} is PEM text (str or bytes) or the path of a file, not {type(value).__name__}")
    if b"-----BEGIN" not in text:
        raise InvalidArgument(f"{source} is not PEM, which has a -----BEGIN; DER is converted with: openssl x509 -inform der -outform pem")
    if b"\0" in text:
        raise InvalidArgument(f"{source} holds a NUL character, which PEM can't")
    return text


def blocks(name: str, text: bytes | None, kind: str) -> bytes:
    """Those parts of a PEM text; empty for no text."""
    if text is None:
        return b""
    found = [match[0] for match in _BLOCKS[kind].finditer(text)]
    if not found:
        raise InvalidArgument(f"{name}= holds no {kind}, but {_titles(text)}")
    return b"\n".join(found) + b"\n"


def revocation_lists(ca: bytes | None, crl: bytes | None) -> bytes:
    """Those in `crl`, or else in `ca`, if there are any."""
    if crl is None and ca is not None and _BLOCKS["revocation list"].search(ca):
        return blocks("ca", ca, "revocation list")
    return blocks("crl", crl, "revocation list")


def _titles(text: bytes) -> str:
    titles = re.findall(rb"-----BEGIN ([^-\n]*)-----", text)
    return ", ".join(dict.fromkeys(title.decode(errors="replace") for title in titles)) or "half a block of PEM"


def private_key(cert: bytes | None, key: bytes | None) -> bytes:
    """The private key, from `key` or with the certificate."""
    if cert is None:
        if key is not None:
            raise InvalidArgument("key= without cert=: pass the certificate that the key belongs to")
        return b""
    name, text = ("cert", cert) if key is None else ("key", key)
    found = [match[0] for match in _BLOCKS["private key"].finditer(text)]
    if not found and key is None:
        raise InvalidArgument("cert= holds no private key: pass it as key=")
    if len(found) != 1:
        raise InvalidArgument(
            f"{name}= holds {f'{len(found)} private keys' if found else f'no private key, but {_titles(text)}'}; one is wanted"
        )
    return found[0] + b"\n"


def the_password(password: str | bytes | None, key: bytes) -> bytes | None:
    if password is not None and not isinstance(password, str | bytes):
        raise TypeError(f"password is str or bytes, not {type(password).__name__}")
    encrypted = b"ENCRYPTED" in key
    if password is None:
        if encrypted:
            raise InvalidArgument("the private key is encrypted: pass password=")
        return None
    if not key:
        raise InvalidArgument("password= without a private key: pass cert= and key=")
    if not encrypted:
        return None
    raw = password.encode() if isinstance(password, str) else password
    if b"\0" in raw:
        raise InvalidArgument("password= holds a NUL character, which NNG can't take")
    return raw


# Whether it all fits: OpenSSL's opinion, which Python has at hand. NNG doesn't look whether a key fits its certificate.


def check_parts(ca: bytes, crl: bytes, cert: bytes, key: bytes, password: bytes | None) -> None:
    if not ca and not cert:
        return
    try:
        import ssl
    except ImportError:  # a Python without it: NNG will look at each at the first use
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")  # how long a key has to be is not for us to say
    for name, text in (("ca", ca), ("cert", cert)):
        try:
            if text:
                context.load_verify_locations(cadata=text.decode())
        except (ssl.SSLError, ValueError) as error:
            raise InvalidArgument(
                f"{name}= holds a damaged certificate ({_openssl(error)}); copy it again, from its first - to its last"
            ) from None
    if crl:
        try:
            with _as_file(crl) as path:
                context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise InvalidArgument(f"crl= holds a damaged revocation list ({_openssl(error)})") from None
    if not key:
        return
    try:
        with _as_file(cert) as cert_path, _as_file(key) as key_path:
            context.load_cert_chain(cert_path, key_path, lambda: password or b"")
    except ssl.SSLError as error:
        reason = error.reason or ""
        if "UNSUPPORTED" in reason:
            return  # an old cipher, which NNG may know
        if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise InvalidArgument("the private key doesn't belong to the certificate, the first one in cert=: pass that one's") from None
        if password is not None:
            raise InvalidArgument(
                f"the private key can't be decrypted: password= is wrong, or the key is damaged ({_openssl(error)})"
            ) from None
        raise InvalidArgument(f"the private key is damaged ({_openssl(error)}); copy it again, from its first - to its last") from None


def _openssl(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


@contextmanager
def _as_file(text: bytes) -> Generator[str]:
    """A path from which the text can be read. A private key is not written to a disk, where the system allows that."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):  # noqa: PTH112  # as fast as it gets
        fd = os.memfd_create("nngio")
        try:
            os.write(fd, text)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    import tempfile

    with tempfile.NamedTemporaryFile() as file:  # which is for its owner alone
        file.write(text)
        file.flush()
        yield file.name
