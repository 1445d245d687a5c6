"""TLS: who we are, whom we trust, and what NNG is told of it.

A `TLSConfig` is a value: what it was made from is read and checked at once, with Python's `ssl`, and never changes. NNG's own
configuration is for one role and one server name, so a `TLSConfig` makes one for each that it is used for, at the first use,
and keeps it. NNG's endpoints and connections hold references of their own.
"""

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from nngio._core.errors import InvalidArgument, NNGError
from nngio._core.library import NULL, ffi, lib
from nngio._core.nng import lib as nng
from nngio._core.nng import nng_version

if TYPE_CHECKING:
    from nngio._endpoint import Endpoint
    from nngio._stream_endpoints import StreamEndpoint

__all__ = ["PEM", "Auth", "TLSConfig", "Version", "check_tls", "configure", "is_tls", "reason"]

PEM = str | bytes | os.PathLike[str]
"""PEM text, or the path of a file of it: a str is text if it has a "-----BEGIN", and else a path."""
Auth = Literal["none", "optional", "required"]
Version = Literal["1.0", "1.1", "1.2", "1.3"]

LONGEST_NAME = 255
VERSIONS: dict[str, int] = {"1.0": lib.NNG_TLS_1_0, "1.1": lib.NNG_TLS_1_1, "1.2": lib.NNG_TLS_1_2, "1.3": lib.NNG_TLS_1_3}
AUTH: dict[str, int] = {
    "none": lib.NNG_TLS_AUTH_MODE_NONE,
    "optional": lib.NNG_TLS_AUTH_MODE_OPTIONAL,
    "required": lib.NNG_TLS_AUTH_MODE_REQUIRED,
}

_BLOCKS = {
    "certificate": re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL),
    "revocation list": re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL),
    "private key": re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL),
}
_TLS_URL = re.compile(r"(?:tls\+tcp|wss)[46]?://", re.IGNORECASE)


class TLSConfig:
    """Certificates, keys and whom to trust, for dialers and listeners of `tls+tcp://` and `wss://`.

    A listener needs `cert` and `key`, a dialer `ca`. With both on both sides, each verifies the other (mutual TLS). One
    config may be used by any number of endpoints, in either role and on any thread; it doesn't change. It can be pickled, with its key.

    What takes PEM takes the text as str or bytes, or a path to a file: a `pathlib.Path`, or a str without a "-----BEGIN". Files
    are read once, here.

    Args:
        ca: the certificates of the authorities that may sign the peer's. It may hold revocation lists too.
        crl: revocation lists of those authorities: certificates that are not to be accepted any more.
        cert: our certificate, followed by those between it and the authority, if any.
        key: its private key; where it is left out, `cert` holds that as well.
        password: what the key is encrypted with.
        auth: whether the peer must have a certificate that can be verified. By default "required", but for listeners without `ca`: "none".
        server_name: for dialers, the name that the listener's certificate must be for. By default the host of the URL.
        min_version: the lowest version of TLS to agree to, from "1.0" to "1.3"; by default "1.2".
        max_version: the highest; by default what this build of NNG has.
        psk: keys that both sides have in place of certificates, by the name of each; a dialer has one. NNG 1.9 or later.

    Raises:
        InvalidArgument: what is no PEM, a key that doesn't fit or can't be decrypted, arguments that don't go together.
        OSError: a file that can't be read.
        NotSupported: `psk` in a build without it; at the first use, a version that the build doesn't have.

    NNG: `nng_tls_config_alloc` and the functions that set it up; `nng_tls_config_free`.
    """

    def __init__(
        self,
        *,
        ca: PEM | None = None,
        crl: PEM | None = None,
        cert: PEM | None = None,
        key: PEM | None = None,
        password: str | bytes | None = None,
        auth: Auth | None = None,
        server_name: str | None = None,
        min_version: Version | None = None,
        max_version: Version | None = None,
        psk: Mapping[str, bytes] | None = None,
    ) -> None:
        ca_text, crl_text, cert_text = _read("ca", ca), _read("crl", crl), _read("cert", cert)
        self._ca = _blocks("ca", ca_text, "certificate")
        self._crl = _blocks("crl", crl_text, "revocation list")
        if ca_text is not None and not self._crl and _BLOCKS["revocation list"].search(ca_text):
            self._crl = _blocks("ca", ca_text, "revocation list")
        self._cert = _blocks("cert", cert_text, "certificate")
        self._key = _private_key(cert_text, _read("key", key))
        self._password = _password(password, self._key)
        self._auth: Auth | None = _one_of("auth", auth, AUTH)
        self._server_name = _name("server_name", server_name)
        self._min_version = _one_of("min_version", min_version, VERSIONS)
        self._max_version = _one_of("max_version", max_version, VERSIONS)
        self._psk = _keys(psk)
        if self._crl and not self._ca:
            raise InvalidArgument("crl= without ca=: pass the certificates of the authorities that the lists are from")
        if min_version and max_version and VERSIONS[min_version] > VERSIONS[max_version]:
            raise InvalidArgument(f"min_version={min_version!r} is above max_version={max_version!r}; swap them")
        _check(self._ca, self._crl, self._cert, self._key, self._password)
        self._made: dict[tuple[int, str], Any] = {}

    @property
    def auth(self) -> Auth | None:
        """Whether the peer must have a certificate that can be verified; None for the default of the endpoint's role."""
        return self._auth

    @property
    def server_name(self) -> str | None:
        """For dialers, the name that the listener's certificate must be for; None for the host of the URL."""
        return self._server_name

    def __reduce__(self) -> Any:
        return (_rebuild, (self._arguments(),))

    def _arguments(self) -> dict[str, Any]:
        names = ("ca", "crl", "cert", "key", "password", "auth", "server_name", "min_version", "max_version", "psk")
        return {name: getattr(self, f"_{name}") for name in names if getattr(self, f"_{name}")}

    def __repr__(self) -> str:
        secret = ("key", "password", "psk")
        shown = (
            f"{name}={'...' if name in secret or isinstance(value, bytes) else repr(value)}" for name, value in self._arguments().items()
        )
        return f"nngio.TLSConfig({', '.join(shown)})"

    # For endpoints.

    def _for_dialer(self, host: str) -> Any:
        """NNG's configuration for dialing to a host."""
        if not self._ca and not self._psk and self._auth != "none":
            raise InvalidArgument(
                "the TLSConfig has no ca=, so no listener could be verified: pass the certificate of the authority that has signed "
                "the listener's; auth='none' trusts whoever answers"
            )
        if len(self._psk) > 1:
            raise InvalidArgument("a dialer has one pre-shared key; the TLSConfig's psk= has several")
        return self._for(lib.NNG_TLS_MODE_CLIENT, self._server_name or _name("the URL's host", host) or "", self._auth or "required")

    def _for_listener(self) -> Any:
        """NNG's configuration for listening."""
        if not self._cert and not self._psk:
            raise InvalidArgument("the TLSConfig has no cert=: a listener needs a certificate and its key, TLSConfig(cert=..., key=...)")
        auth: Auth = self._auth or ("required" if self._ca else "none")
        if auth != "none" and not self._ca and not self._psk:
            raise InvalidArgument(f"auth={auth!r} without ca=: pass the certificates of the authorities that have signed the dialers'")
        return self._for(lib.NNG_TLS_MODE_SERVER, "", auth)

    def _for(self, mode: int, name: str, auth: Auth) -> Any:
        made = self._made.get((mode, name))
        if made is None:
            made = self._made.setdefault((mode, name), self._make(mode, name, auth))
        return made

    def _make(self, mode: int, name: str, auth: Auth) -> Any:
        code = ffi.new("int *")
        config = lib.nngio_tls_config_new(mode, code)
        if config == NULL:
            _ask(code[0], "this build of NNG has no TLS" if code[0] == lib.NNG_ENOTSUP else None)
        config = ffi.gc(config, lib.nngio_tls_config_free)
        if mode == lib.NNG_TLS_MODE_CLIENT:
            _ask(lib.nng_tls_config_server_name(config, name.encode()))
        _ask(lib.nng_tls_config_auth_mode(config, AUTH[auth]))
        if self._min_version or self._max_version:
            self._set_versions(config)
        if self._ca:
            _ask(lib.nng_tls_config_ca_chain(config, self._ca, self._crl or NULL), f"{_engine()} can't read ca= or crl=")
        if self._cert:
            password = NULL if self._password is None else self._password
            _ask(
                lib.nng_tls_config_own_cert(config, self._cert, self._key, password),
                f"{_engine()} can't read cert= or key=: make the key an RSA or an EC key, and if it is encrypted, "
                "decrypt it (openssl pkey -in key.pem -out plain.pem)",
            )
        for identity, key in self._psk.items():
            _ask(
                nng.nng_tls_config_psk(config, identity.encode(), key, len(key)),
                f"{_engine()} doesn't take the pre-shared key {identity!r}",
            )
        return config

    def _set_versions(self, config: Any) -> None:
        least = self._min_version or min("1.2", self._max_version or "1.2")
        most = self._max_version or max("1.3", least)
        code = lib.nng_tls_config_version(config, VERSIONS[least], VERSIONS[most])
        _ask(code, f"this build, NNG {nng_version()} with {_engine()}, has no TLS {least} to {most}: see the table in docs/tls.md")


def _rebuild(arguments: dict[str, Any]) -> TLSConfig:
    return TLSConfig(**arguments)


# What users pass.


def _read(name: str, value: PEM | None) -> bytes | None:
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


def _blocks(name: str, text: bytes | None, kind: str) -> bytes:
    """Those parts of a PEM text; empty for no text."""
    if text is None:
        return b""
    found = [match[0] for match in _BLOCKS[kind].finditer(text)]
    if not found:
        raise InvalidArgument(f"{name}= holds no {kind}, but {_titles(text)}")
    return b"\n".join(found) + b"\n"


def _titles(text: bytes) -> str:
    titles = re.findall(rb"-----BEGIN ([^-\n]*)-----", text)
    return ", ".join(dict.fromkeys(title.decode(errors="replace") for title in titles)) or "half a block of PEM"


def _private_key(cert: bytes | None, key: bytes | None) -> bytes:
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


def _password(password: str | bytes | None, key: bytes) -> bytes | None:
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


def _name(what: str, name: str | None) -> str | None:
    """A host's name, as certificates have it."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"{what} is text, not {type(name).__name__}")
    try:
        ascii_name = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        raise InvalidArgument(f"{what} {name!r} is no host's name") from None
    if not 0 < len(ascii_name) <= LONGEST_NAME or "\0" in name:
        raise InvalidArgument(f"{what} is 1 to {LONGEST_NAME} characters, not {name[:40]!r} with {len(name)}")
    return ascii_name


def _one_of(name: str, value: Any, allowed: Mapping[str, int]) -> Any:
    if value is not None and (not isinstance(value, str) or value not in allowed):
        raise InvalidArgument(f"{name} is one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value


def _keys(psk: Mapping[str, bytes] | None) -> dict[str, bytes]:
    """The pre-shared keys, checked."""
    if psk is None:
        return {}
    if not isinstance(psk, Mapping):
        raise TypeError(f"psk is a mapping from names to keys, not {type(psk).__name__}")
    nng.nng_tls_config_psk  # noqa: B018  # raises NotSupported, with the reason, where it isn't there
    for identity, key in psk.items():
        if not isinstance(identity, str) or not isinstance(key, bytes):
            raise TypeError(f"psk is a mapping from str to bytes, not from {type(identity).__name__} to {type(key).__name__}")
        if not identity or "\0" in identity or not key:
            raise InvalidArgument(f"psk has an empty name or key, or a NUL character in a name: {identity!r}")
    if not psk:
        raise InvalidArgument("psk is empty: pass one name and key at least, or leave it out")
    return dict(psk)


# Whether it all fits: OpenSSL's opinion, which Python has at hand. NNG doesn't look whether a key fits its certificate.


def _check(ca: bytes, crl: bytes, cert: bytes, key: bytes, password: bytes | None) -> None:
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


# What NNG says.


def _ask(code: int, text: str | None = None) -> None:
    """Raise the error for NNG's answer, unless it is 0."""
    if code in (lib.NNG_ENOMEM, lib.NNGIO_FORKED):
        text = None
    if code:
        raise NNGError.from_code(code, text)


def _engine() -> str:
    text: bytes = ffi.string(lib.nng_tls_engine_description()) or ffi.string(lib.nng_tls_engine_name())
    return text.decode(errors="replace")


# Endpoints.


def is_tls(url: str) -> bool:
    """Whether it is a URL of a transport over TLS."""
    return _TLS_URL.match(url) is not None


def host_of(url: str) -> str:
    """The host that a URL names; that of a dialer's may have a source address before it."""
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2].rpartition(";")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0].partition("%")[0]
    return authority.rpartition(":")[0] or authority


def configure(endpoint: "Endpoint | StreamEndpoint", tls: TLSConfig | None) -> None:
    """Give an endpoint that is about to start its configuration, if its URL is one of TLS."""
    url = endpoint.url
    if not is_tls(url):
        return
    dials = endpoint._option_kind == "dialer"
    try:
        if tls is None:
            if dials:
                raise InvalidArgument("TLS has to know whom to trust; pass tls=nngio.TLSConfig(ca=...)")
            raise InvalidArgument("TLS needs a certificate to show; pass tls=nngio.TLSConfig(cert=..., key=...)")
        config = tls._for_dialer(host_of(url)) if dials else tls._for_listener()
    except NNGError as error:
        raise type(error)(f"{endpoint._noun} {url}: {error}", code=error.code) from None
    endpoint._call("set", "ptr", b"tls-config", config)


def check_tls(tls: object, url: str | None = None) -> None:
    """Refuse what is no TLSConfig, and one for a URL without TLS."""
    if tls is None:
        return
    if not isinstance(tls, TLSConfig):
        raise TypeError(f"tls is a TLSConfig, not {type(tls).__name__}")
    if url is not None and not is_tls(url):
        secure = {"tcp": "tls+tcp", "ws": "wss"}.get(url.partition("://")[0].rstrip("46").lower())
        hint = f"; {secure}:// is the same with TLS" if secure else "; tls+tcp:// and wss:// do"
        raise InvalidArgument(f"{url} takes no tls=: that transport has no TLS{hint}")


_DIAL_REASONS: dict[int, str] = {
    lib.NNG_EPEERAUTH: (
        "the listener's certificate can't be verified: it has not been signed by an authority in ca=, is for another name than {name!r}, "
        "is not valid yet or any more, or is revoked; or there is nothing that both sides could agree on"
    ),
    lib.NNG_ECRYPTO: (
        "the TLS handshake failed: the listener doesn't accept us, because it wants a certificate (cert=, key=) or another one, or a "
        "version of TLS that we don't offer; or its certificate can't be verified with ca= and for the name {name!r}; or it speaks no TLS"
    ),
    lib.NNG_ECONNREFUSED: "nobody listens there, or the listener broke off the TLS handshake",
    lib.NNG_ECONNSHUT: "the peer hung up; perhaps it speaks no TLS, speaks another protocol, or doesn't accept our certificate",
    lib.NNG_ECONNRESET: "the peer hung up; perhaps it speaks no TLS, or doesn't accept our certificate",
    lib.NNG_EPROTO: "the peer speaks no TLS, or within TLS another protocol",
    lib.NNG_ETIMEDOUT: "the peer didn't finish the TLS handshake in time; perhaps it speaks no TLS",
}
_PLAIN_REASONS: dict[int, str] = {
    lib.NNG_ECONNSHUT: "the peer hung up; if it speaks TLS, dial {secure}://",
    lib.NNG_EPROTO: "the peer speaks another protocol; if it is TLS, dial {secure}://",
}


def reason(code: int, url: str, tls: TLSConfig | None) -> str:
    """Why a dial is likely to have failed with a code, to be added to NNG's words; empty where they say it all."""
    if is_tls(url):
        text = _DIAL_REASONS.get(code, "")
        name = (tls and tls.server_name) or host_of(url)
        return text and f": {text.format(name=name)}"
    secure = {"tcp": "tls+tcp", "ws": "wss"}.get(url.partition("://")[0].rstrip("46").lower())
    text = _PLAIN_REASONS.get(code, "") if secure else ""
    return text and f": {text.format(secure=secure)}"
