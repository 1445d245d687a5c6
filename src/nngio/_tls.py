"""TLS: who we are, whom we trust, and what NNG is told of it.

A `TLSConfig` is a value: what it was made from is read and checked at once, with Python's `ssl`, and never changes. NNG's own
configuration is for one role and one server name, so a `TLSConfig` makes one for each that it is used for, at the first use,
and keeps it. NNG's endpoints and connections hold references of their own.
"""

import os
from collections.abc import Mapping

from nngio._core.errors import InvalidArgument, NNGError
from nngio._core.library import NULL, ffi, lib
from nngio._core.nng import lib as nng
from nngio._core.nng import nng_version
from nngio._core.typing import TYPE_CHECKING, Any, Literal
from nngio._core.urls import host_of, is_tls

if TYPE_CHECKING:
    from nngio._endpoint import Endpoint
    from nngio._stream_endpoints import StreamEndpoint

__all__ = ["HANDSHAKE", "PEM", "Auth", "TLSConfig", "Version", "accept_reason", "check_tls", "configure", "reason"]

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
        from nngio import _pem  # few programs have a use for it, and it takes time to import

        ca_text, crl_text, cert_text = _pem.read("ca", ca), _pem.read("crl", crl), _pem.read("cert", cert)
        self._ca = _pem.blocks("ca", ca_text, "certificate")
        self._crl = _pem.revocation_lists(ca_text, crl_text)
        self._cert = _pem.blocks("cert", cert_text, "certificate")
        self._key = _pem.private_key(cert_text, _pem.read("key", key))
        self._password = _pem.the_password(password, self._key)
        self._auth: Auth | None = _one_of("auth", auth, AUTH)
        self._server_name = _name("server_name", server_name)
        self._min_version = _one_of("min_version", min_version, VERSIONS)
        self._max_version = _one_of("max_version", max_version, VERSIONS)
        self._psk = _keys(psk)
        if self._crl and not self._ca:
            raise InvalidArgument("crl= without ca=: pass the certificates of the authorities that the lists are from")
        if min_version and max_version and VERSIONS[min_version] > VERSIONS[max_version]:
            raise InvalidArgument(f"min_version={min_version!r} is above max_version={max_version!r}; swap them")
        _pem.check_parts(self._ca, self._crl, self._cert, self._key, self._password)
        self._made: dict[tuple[int, str], Any] = {}

    if not TYPE_CHECKING:  # type checkers would take any name where they see this

        def __setattr__(self, name: str, value: Any) -> None:
            if name in TLSConfig.__init__.__kwdefaults__:
                raise AttributeError(f"a TLSConfig doesn't change: make another one, TLSConfig({name}=...)")
            object.__setattr__(self, name, value)

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

    @staticmethod
    def engine() -> tuple[str, str, bool]:
        """What NNG does TLS with: its name, its name with its release, and whether it is in FIPS mode.

        NNG: `nng_tls_engine_name`, `nng_tls_engine_description`, `nng_tls_engine_fips_mode`.
        """
        name, description = (ffi.string(text).decode() for text in (lib.nng_tls_engine_name(), lib.nng_tls_engine_description()))
        return name, description, bool(lib.nng_tls_engine_fips_mode())

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
    lib.NNG_ECONNRESET: "the peer hung up; if it speaks TLS, dial {secure}://",
    lib.NNG_EPROTO: "the peer speaks another protocol; if it is TLS, dial {secure}://",
}
_ACCEPT_REASONS: dict[int, str] = {
    lib.NNG_EPEERAUTH: (
        "the peer's certificate can't be verified: it has shown none, or one that has not been signed by an authority in ca=, is not "
        "valid yet or any more, or is revoked; or there is nothing that both sides could agree on"
    ),
    lib.NNG_ECRYPTO: "the TLS handshake failed: the peer can't verify our certificate, or offers no version of TLS that we do",
    lib.NNG_ECONNRESET: "the peer hung up; perhaps in the middle of the TLS handshake, since it can't verify our certificate",
    lib.NNG_EPROTO: "the peer speaks no TLS",
    lib.NNG_ETIMEDOUT: "the peer didn't finish the TLS handshake in time; perhaps it speaks no TLS",
}


HANDSHAKE = (lib.NNG_ECONNSHUT, lib.NNG_ECONNRESET, lib.NNG_EPEERAUTH, lib.NNG_ECRYPTO, lib.NNG_EPROTO)
"""What a handshake ends with that fails, or one that was made with who speaks something else."""


def reason(code: int, url: str, tls: TLSConfig | None) -> str:
    """Why a dial is likely to have failed with a code, to be added to NNG's words; empty where they say it all."""
    if tls is not None or is_tls(url):
        text = _DIAL_REASONS.get(code, "")
        name = (tls and tls.server_name) or host_of(url)
        return text and f": {text.format(name=name)}"
    secure = {"tcp": "tls+tcp", "ws": "wss", "http": "https"}.get(url.partition("://")[0].rstrip("46").lower())
    text = _PLAIN_REASONS.get(code, "") if secure else ""
    return text and f": {text.format(secure=secure)}"


def accept_reason(code: int) -> str:
    """The same for who has connected to a listener with TLS."""
    text = _ACCEPT_REASONS.get(code, "")
    return text and f": {text}"
