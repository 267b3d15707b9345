"""Keys, certificates and static keys: pure functions, no files, no age.

A certificate is a function of the key, the host's name and its role: serial number, dates and signature are
derived. So a lost certificate comes back from its key bit for bit, and the fingerprint that the peers pin
stays what it was.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from enum import Enum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Beside a pin, dates mean nothing: with `peer-fingerprint` OpenVPN 2.6.14 accepts an expired certificate
# (tried), and only warns about its own. So that it need not, they span all time: from before any clock that a
# host may wake up with, to what RFC 5280 (4.1.2.5) has for "no well-defined expiration date".
NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_STATIC_KEY = re.compile(
    r"-----BEGIN OpenVPN Static key V1-----\n(?:[0-9a-f]{32}\n){16}-----END OpenVPN Static key V1-----\n\Z"
)


# All that a key does in TLS 1.3; `remote-cert-tls` insists that the extension is there.
_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Role(Enum):
    """A host's side of the TLS handshake, as `remote-cert-tls` checks it."""

    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
    SERVER = ExtendedKeyUsageOID.SERVER_AUTH


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key on P-256: what every TLS library of the last decade has, and fast on a small NAT."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """PKCS 8, not encrypted: for the store to encrypt, and for the host."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def key_from_pem(pem: str) -> ec.EllipticCurvePrivateKey | None:
    """The key in `pem`, or None. No exception: its traceback would carry the text."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def certificate(key: ec.EllipticCurvePrivateKey, host: str, role: Role) -> x509.Certificate:
    """The certificate of `host`, signed by its own `key`."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    public = key.public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(int.from_bytes(hashlib.sha256(spki).digest()[:16]))
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS, critical=True)
        .add_extension(x509.ExtendedKeyUsage([role.value]), critical=False)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )


def certificate_from_pem(pem: str) -> x509.Certificate | None:
    """The certificate in `pem`, or None. What is asked of it later is read now: it is parsed as it is asked for."""
    try:
        cert = x509.load_pem_x509_certificate(pem.encode())
        common_name(cert)
        cert.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return None
    return cert


def certificate_to_pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint(cert: x509.Certificate) -> str:
    """SHA-256 of the certificate as `peer-fingerprint` takes it: AA:BB:…"""
    return cert.fingerprint(hashes.SHA256()).hex(":").upper()


def common_name(cert: x509.Certificate) -> str:
    """The name of the host that the certificate is for; empty if it has none."""
    names = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def belongs(key: ec.EllipticCurvePrivateKey, cert: x509.Certificate) -> bool:
    """Whether `cert` is a certificate of `key`."""
    return key.public_key() == cert.public_key()


def new_static_key() -> str:
    """A key for `tls-crypt`, 2048 bits, as `openvpn --genkey tls-crypt` of 2.6 writes it, and when it was made: nothing
    else of it says so. OpenVPN reads from the dashes on.
    """
    digits = secrets.token_hex(256)
    lines = [digits[start : start + 32] for start in range(0, len(digits), 32)]
    return "\n".join(
        [
            "#",
            "# 2048 bit OpenVPN static key",
            f"# created: {datetime.now(UTC):%Y-%m-%d}",
            "#",
            "-----BEGIN OpenVPN Static key V1-----",
            *lines,
            "-----END OpenVPN Static key V1-----",
            "",
        ]
    )


def is_static_key(text: str) -> bool:
    return _STATIC_KEY.search(text) is not None
