"""`TLSConfig`: what it takes, what it refuses, and what the refusal says; and the certificates for development."""

import gc
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from programs import run
from tls import HAS_TLS_1_3, MBEDTLS_3, SECONDS, TRANSPORTS, certificates, config, exchange, plain_client, plain_server, strangers

import nngio
import nngio.testing
from nngio import TLSConfig
from nngio.lowlevel import lib
from nngio.testing import Certificate

Address = Callable[[str], str]


def encrypted(certificate: Certificate, password: bytes) -> bytes:
    """Its private key, encrypted."""
    key: Any = serialization.load_pem_private_key(certificate.key, None)
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(password))
    )


def works(address: Address, server: TLSConfig, client: TLSConfig) -> None:
    """A PAIR listens with the one, another dials with the other, and they talk."""
    with nngio.Pair0(listen=address("tls+tcp"), tls=server) as a, nngio.Pair0(tls=client) as b:
        b.dial(a.listeners[0].url, timeout=SECONDS)
        exchange(a, b)


# What it takes.


@pytest.mark.parametrize("kind", [bytes, str, "path", "name of a file"])
def test_pem_is_text_or_a_file(kind: Any, tmp_path: Path, address: Address) -> None:
    """As bytes, as str, as a path, as the name of a file; the file may go afterwards."""
    files = certificates().write(tmp_path)

    def given(path: Path) -> Any:
        match kind:
            case "path":
                return path
            case "name of a file":
                return str(path)
            case _:
                return path.read_bytes() if kind is bytes else path.read_text()

    server = TLSConfig(cert=given(files.server_cert), key=given(files.server_key), ca=given(files.ca))
    client = TLSConfig(cert=given(files.client_cert), key=given(files.client_key), ca=given(files.ca))
    for path in files:
        path.unlink()
    works(address, server, client)


def test_one_file_may_hold_certificate_and_key(tmp_path: Path, address: Address) -> None:
    """In either order, and with what else such files hold; and a file of authorities several of them."""
    certs = certificates()
    cert, key = certs.server_certificate
    both = tmp_path / "both.pem"
    for text in (cert + key, key + cert, b"Subject: me\n" + cert + b"and its key\n" + key):
        both.write_bytes(text)
        works(address, TLSConfig(cert=both), TLSConfig(ca=strangers().ca_pem + b"# and ours\n" + certs.ca_pem))


@pytest.mark.parametrize("password", ["open sesame", b"open sesame"], ids=["str", "bytes"])
def test_an_encrypted_key_is_opened_with_its_password(password: Any, address: Address) -> None:
    """A password is str or bytes; one that isn't needed does no harm."""
    cert, key = certificates().server_certificate
    locked = encrypted(certificates().server_certificate, b"open sesame")
    works(address, TLSConfig(cert=cert, key=locked, password=password), plain_client())
    works(address, TLSConfig(cert=cert, key=key, password=password), plain_client())


def test_a_config_is_pickled_for_another_process(address: Address) -> None:
    """With all that it was made from."""
    server = pickle.loads(pickle.dumps(certificates().server))
    client = pickle.loads(pickle.dumps(certificates().client))
    works(address, server, client)
    named = pickle.loads(pickle.dumps(TLSConfig(ca=certificates().ca_pem, server_name="a.test", auth="optional", max_version="1.2")))
    assert (named.server_name, named.auth) == ("a.test", "optional")


@pytest.mark.parametrize("name", ["ca", "cert", "key", "server_name", "auth"])
def test_a_config_does_not_change(name: str) -> None:
    """What is set on it would go unheeded."""
    with pytest.raises(AttributeError, match=rf"a TLSConfig doesn't change: make another one, TLSConfig\({name}=...\)"):
        setattr(nngio.TLSConfig(), name, "x")


def test_its_repr_shows_no_key_and_no_password() -> None:
    """Only that there is one."""
    cert, _key = certificates().server_certificate
    locked = encrypted(certificates().server_certificate, b"sesame")
    shown = repr(TLSConfig(cert=cert, key=locked, password="sesame", auth="none"))
    assert shown == "nngio.TLSConfig(cert=..., key=..., password=..., auth='none')"


def test_making_one_does_not_start_nng() -> None:
    """So it may be made before a fork."""
    cert, key = certificates().server_certificate
    program = f"""
import nngio
from nngio.lowlevel import lib
nngio.TLSConfig(cert={cert!r}, key={key!r}, ca={certificates().ca_pem!r})
print(lib.nngio_started())
"""
    run(program).check(out="False\n")


def test_importing_nngio_does_not_import_ssl() -> None:
    """Nor what makes certificates: who uses no TLS doesn't pay for it."""
    run("import nngio\nprint('ssl' in sys.modules, 'trustme' in sys.modules)").check(out="False False\n")


# What it refuses.


def cases() -> dict[str, tuple[dict[str, Any], type[Exception], str]]:
    """Arguments, the error, and words that name the fix."""
    certs, other = certificates(), strangers()
    cert, key = certs.server_certificate
    locked = encrypted(certs.server_certificate, b"sesame")
    half = cert[: len(cert) // 2]
    bad = cert.replace(b"\nM", b"\nAAAA", 1)
    list_ = certs.revoke(certs.client_certificate)
    good = {"cert": cert, "key": key}
    return {
        "no PEM": ({"ca": b"\x30\x82"}, nngio.InvalidArgument, "ca is not PEM.*openssl x509 -inform der"),
        "no file": ({"ca": "missing.pem"}, FileNotFoundError, "ca= names a file that is not there.*'missing.pem'"),
        "no path": ({"ca": "a\0b"}, nngio.InvalidArgument, "ca= is neither a path nor PEM text"),
        "another type": ({"ca": 3}, TypeError, "ca is PEM text .* or the path of a file, not int"),
        "half a certificate": ({"ca": half}, nngio.InvalidArgument, "ca= holds no certificate, but CERTIFICATE"),
        "a damaged certificate": ({"ca": bad}, nngio.InvalidArgument, "ca= holds a damaged certificate.*copy it again"),
        "a NUL": ({"ca": certs.ca_pem + b"\0"}, nngio.InvalidArgument, "NUL"),
        "a key for a certificate": ({"ca": key}, nngio.InvalidArgument, "ca= holds no certificate, but .*PRIVATE KEY"),
        "a certificate for a key": ({"cert": cert, "key": cert}, nngio.InvalidArgument, "key= holds no private key, but CERTIFICATE"),
        "no key": ({"cert": cert}, nngio.InvalidArgument, "cert= holds no private key: pass it as key="),
        "no certificate": ({"key": key}, nngio.InvalidArgument, "key= without cert="),
        "two keys": ({"cert": cert, "key": key + key}, nngio.InvalidArgument, "key= holds 2 private keys; one is wanted"),
        "another's key": (
            {"cert": cert, "key": other.server_certificate.key},
            nngio.InvalidArgument,
            "the private key doesn't belong to the certificate",
        ),
        "a damaged key": ({"cert": cert, "key": key.replace(b"\nM", b"\nA", 1)}, nngio.InvalidArgument, "the private key is damaged"),
        "an encrypted key": ({"cert": cert, "key": locked}, nngio.InvalidArgument, "the private key is encrypted: pass password="),
        "a wrong password": ({"cert": cert, "key": locked, "password": "x"}, nngio.InvalidArgument, "password= is wrong"),
        "a password alone": ({"password": "x"}, nngio.InvalidArgument, "password= without a private key"),
        "a password that is none": ({**good, "password": 3}, TypeError, "password is str or bytes, not int"),
        "a password with NUL": ({"cert": cert, "key": locked, "password": "a\0"}, nngio.InvalidArgument, "NUL"),
        "a list alone": ({"crl": list_}, nngio.InvalidArgument, "crl= without ca="),
        "no list": ({"crl": cert, "ca": certs.ca_pem}, nngio.InvalidArgument, "crl= holds no revocation list, but CERTIFICATE"),
        "a damaged list": (
            {"crl": list_.replace(b"\nM", b"\nAAAA", 1), "ca": certs.ca_pem},
            nngio.InvalidArgument,
            "crl= holds a damaged revocation list",
        ),
        "a mode": ({"auth": "maybe"}, nngio.InvalidArgument, "auth is one of 'none', 'optional', 'required', not 'maybe'"),
        "a version": ({"min_version": 1.2}, nngio.InvalidArgument, "min_version is one of '1.0', .*, not 1.2"),
        "versions": ({"min_version": "1.3", "max_version": "1.2"}, nngio.InvalidArgument, "above max_version='1.2'; swap them"),
        "no name": ({"server_name": ""}, nngio.InvalidArgument, "server_name is 1 to 255 characters"),
        "a long name": ({"server_name": "a" * 256}, nngio.InvalidArgument, "server_name is 1 to 255 characters.*256"),
        "a name that is none": ({"server_name": b"host"}, TypeError, "server_name is text, not bytes"),
    }


@pytest.mark.parametrize("case", list(cases()))
def test_what_makes_no_sense_is_refused_with_the_fix(case: str) -> None:
    """Each wrong argument has an error that says what to pass instead."""
    arguments, error, words = cases()[case]
    with pytest.raises(error, match=words):
        TLSConfig(**arguments)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_endpoint_without_what_it_needs_is_refused(transport: str, address: Address) -> None:
    """A dialer that could trust nobody, a listener without a certificate, one that is to verify clients and can't."""
    certs = certificates()
    url = address(transport)
    with nngio.Pair0() as pair:
        for tls, words in (
            (None, r"TLS needs a certificate to show; pass tls=nngio.TLSConfig\(cert=..., key=...\)"),
            (plain_client(), "has no cert=: a listener needs a certificate"),
            (config(certs.server_certificate, auth="required"), "auth='required' without ca="),
        ):
            with pytest.raises(nngio.InvalidArgument, match=words) as caught:
                pair.listen(url, tls=tls)
            assert f"listen at {url}: " in str(caught.value)
        for tls, words in (
            (None, r"whom to trust; pass tls=nngio.TLSConfig\(ca=...\)"),
            (plain_server(), "has no ca=.*auth='none' trusts"),
        ):
            with pytest.raises(nngio.InvalidArgument, match=words) as caught:
                pair.dial(url.replace(":0", ":1"), tls=tls, timeout=SECONDS)
            assert f"dial {transport}://127.0.0.1:1" in str(caught.value)
        assert pair.listeners == pair.dialers == ()


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/x", "ipc:///tmp/x", "inproc://x"])
def test_tls_for_a_transport_without_it_is_refused(url: str) -> None:
    """A plain transport doesn't become a safe one in silence; a socket's own `tls` is for those of its endpoints that use it."""
    with nngio.Pair0(tls=certificates().server) as pair:
        with pytest.raises(nngio.InvalidArgument, match=r"takes no tls=.*(tls\+tcp|wss)://"):
            pair.listen(url, tls=certificates().server)
        with pytest.raises(nngio.InvalidArgument, match="takes no tls="):
            nngio.Dialer(pair, url, tls=certificates().client)
        with pytest.raises(TypeError, match="tls is a TLSConfig, not str"):
            pair.listen(url, tls="server.pem")  # type: ignore[arg-type]
        assert pair.tls is certificates().server
        assert nngio.Listener(pair, "inproc://plain").tls is None
        assert nngio.Listener(pair, "tls+tcp://127.0.0.1:0").tls is pair.tls
    with pytest.raises(TypeError, match="tls is a TLSConfig, not dict"):
        nngio.Pair0(tls={})  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_a_version_that_the_build_does_not_have_is_told(version: Any) -> None:
    """NNG before 1.9 has no TLS 1.3, and mbedTLS 3 none below 1.2. What the build has can be asked for."""
    cert, key = certificates().server_certificate
    tls = TLSConfig(cert=cert, key=key, min_version=version, max_version=version)
    with nngio.Pair0() as pair:
        if version == "1.2" or (version == "1.3" and HAS_TLS_1_3):
            pair.listen("tls+tcp://127.0.0.1:0", tls=tls)
        elif version == "1.3" or MBEDTLS_3:
            with pytest.raises(nngio.NotSupported, match=rf"listen at tls\+tcp.*has no TLS {version} to {version}.*docs/tls.md"):
                pair.listen("tls+tcp://127.0.0.1:0", tls=tls)


def test_a_pre_shared_key_works_or_says_what_it_needs(address: Address) -> None:
    """NNG has them from 1.9 on, and before that the reason is told at once."""
    if "nng_tls_config_psk" not in dir(lib):
        with pytest.raises(nngio.NotSupported, match=r"nng_tls_config_psk needs NNG 1\.9"):
            TLSConfig(psk={"me": b"0123456789abcdef"})
        return
    keys = {"me": b"0123456789abcdef", "you": b"fedcba9876543210"}
    works(address, TLSConfig(psk=keys), TLSConfig(psk={"you": keys["you"]}))
    for wrong in ({}, {"": b"x"}, {"a": b""}, {"a\0": b"x"}):
        with pytest.raises(nngio.InvalidArgument):
            TLSConfig(psk=wrong)
    with pytest.raises(TypeError):
        TLSConfig(psk={"a": "x"})  # type: ignore[dict-item]
    with nngio.Pair0() as pair, pytest.raises(nngio.InvalidArgument, match="one pre-shared key"):
        pair.dial("tls+tcp://127.0.0.1:1", tls=TLSConfig(psk=keys))


def test_a_key_that_nng_can_not_read_is_told_at_the_first_use() -> None:
    """An Ed25519 key is fine for OpenSSL, and not for mbedTLS."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    cert, key = self_signed(Ed25519PrivateKey.generate())
    with nngio.Pair0() as pair:
        with pytest.raises(nngio.CryptoError, match=r"listen at tls\+tcp.*can't read cert= or key=: make the key an RSA or an EC key"):
            pair.listen("tls+tcp://127.0.0.1:0", tls=TLSConfig(cert=cert, key=key))
        assert pair.listeners == ()


def self_signed(key: Any) -> Certificate:
    """A certificate for a key, signed with that."""
    from cryptography import x509
    from tls import DAY, NOW

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(key, None)
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(certificate.public_bytes(pem), private)


# NNG's side of it.


def test_many_endpoints_share_a_config_and_outlive_it(address: Address) -> None:
    """Twenty connections, each side in both roles; the configs are collected while they stand."""
    server, client = pickle.loads(pickle.dumps((certificates().server, certificates().client)))
    with nngio.Pull0(tls=server) as pull, nngio.Push0(tls=client) as push:
        for i in range(20):
            push.dial(pull.listen(address(TRANSPORTS[i % 2])).url, timeout=SECONDS)
        pull._tls = push._tls = None
        for endpoint in (*pull.listeners, *push.dialers):
            endpoint._tls = None
        del server, client
        gc.collect()
        for i in range(100):
            push.send(b"%d" % i, timeout=SECONDS)
        assert sorted(int(pull.recv(timeout=SECONDS)) for _ in range(100)) == list(range(100))


# Certificates for development.


def test_development_certificates_take_two_lines(address: Address) -> None:
    """The authority, a server for this machine, a client; mutual if asked for; more certificates for what is asked for."""
    certs = nngio.testing.certificates()
    works(address, certs.server, certs.client)
    mutual = nngio.testing.certificates("a.test", "127.0.0.1", client="me.test", mutual=True)
    works(address, mutual.server, mutual.client)
    works(address, config(mutual.issue("b.test")), TLSConfig(ca=mutual.ca_pem, server_name="b.test"))
    assert "PRIVATE" not in repr(mutual)


def test_development_certificates_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    """Five files; nobody else may read them."""
    files = certificates().write(tmp_path)
    assert [path.name for path in files] == ["ca.pem", "server.pem", "server.key", "client.pem", "client.key"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert files.server_key.read_bytes() == certificates().server_certificate.key


def test_without_trustme_the_error_names_the_extra() -> None:
    """`nngio.testing` can be imported without it."""
    program = "import nngio.testing\nsys.modules['trustme'] = None\nnngio.testing.certificates()"
    ended = subprocess.run([sys.executable, "-c", f"import sys; {program}"], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 1
    assert "ImportError: nngio.testing.certificates needs trustme: pip install nngio[testing]" in ended.stderr
