"""Keys, certificates and static keys: what OpenVPN and its TLS library will find in them."""

import re
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from vpc_openvpn.identities import material
from vpc_openvpn.identities.material import Role


def test_a_certificate_is_a_function_of_key_host_and_role() -> None:
    key = material.new_key()
    first = material.certificate(key, "office", Role.CLIENT)
    assert first == material.certificate(key, "office", Role.CLIENT)
    assert first != material.certificate(key, "office", Role.SERVER)
    assert first != material.certificate(key, "nat-us-east-1a", Role.CLIENT)
    assert first != material.certificate(material.new_key(), "office", Role.CLIENT)


@pytest.mark.parametrize(
    ("role", "usage"),
    [(Role.CLIENT, ExtendedKeyUsageOID.CLIENT_AUTH), (Role.SERVER, ExtendedKeyUsageOID.SERVER_AUTH)],
)
def test_a_certificate_says_what_remote_cert_tls_checks(role: Role, usage: x509.ObjectIdentifier) -> None:
    certificate = material.certificate(material.new_key(), "nat-us-east-1a", role)
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_certificate_is_self_signed_and_valid_until_9999() -> None:
    key = material.new_key()
    certificate = material.certificate(key, "nat-us-east-1a", Role.SERVER)
    assert certificate.subject.rfc4514_string() == certificate.issuer.rfc4514_string() == "CN=nat-us-east-1a"
    certificate.verify_directly_issued_by(certificate)
    assert (certificate.not_valid_before_utc.year, certificate.not_valid_after_utc.year) == (2000, 9999)
    assert material.belongs(key, certificate)
    assert not material.belongs(material.new_key(), certificate)


def test_a_private_key_is_pkcs8_on_p256_and_comes_back() -> None:
    key = material.new_key()
    pem = material.key_to_pem(key)
    assert isinstance(key.curve, ec.SECP256R1)
    assert pem.startswith("-----BEGIN PRIVATE KEY-----\n") and pem.endswith("-----END PRIVATE KEY-----\n")
    again = material.key_from_pem(pem)
    assert again is not None and again.public_key() == key.public_key()
    assert material.key_from_pem("no key") is None


def test_a_fingerprint_is_of_the_certificates_der_form() -> None:
    certificate = material.certificate(material.new_key(), "office", Role.CLIENT)
    der = ssl.PEM_cert_to_DER_cert(material.certificate_to_pem(certificate))
    fingerprint = material.fingerprint(certificate)
    assert re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", fingerprint)
    assert fingerprint == material.fingerprint(x509.load_der_x509_certificate(der))


def test_a_static_key_is_what_openvpn_genkey_writes() -> None:
    # Line by line what OpenVPN 2.6.14 wrote, and a line that says when: 4 comments, BEGIN, 16 lines of 16 bytes, END.
    text = material.new_static_key()
    lines = text.splitlines()
    assert text.endswith("-----END OpenVPN Static key V1-----\n")
    assert lines[:2] == ["#", "# 2048 bit OpenVPN static key"] and lines[2].startswith("# created: 20")
    assert lines[3:5] == ["#", "-----BEGIN OpenVPN Static key V1-----"]
    assert len(lines) == 22
    assert all(re.fullmatch("[0-9a-f]{32}", line) for line in lines[5:21])
    assert len(set(lines[5:21])) == 16
    assert material.is_static_key(text)
    assert text != material.new_static_key()


@pytest.mark.parametrize("cut", [0, 100, 300, 600])
def test_a_damaged_static_key_is_noticed(cut: int) -> None:
    text = material.new_static_key()
    assert not material.is_static_key(text[:cut])
    assert not material.is_static_key(text.replace("-----END", "00\n-----END"))
