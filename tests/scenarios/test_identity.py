"""Trust is pinned: the listed certificate is accepted, whatever its dates, and no other is.

office ══ tunnel of us-east-1c ══ nat-us-east-1c 10.0.3.10 ── app-us-east-1c 10.0.23.10
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.scenarios.harness import Host, World

CLIENT = "openvpn-client@vpc-us-east-1c"
OFFICE_CONF = "/etc/openvpn/client/vpc-us-east-1c.conf"
NAT_CERTIFICATE = "/etc/vpc-openvpn/identity/host.crt"
APP = "10.0.23.10"
SITE = {"detour": "off"}  # a lost tunnel is a lost zone


def pin(office: Host, fingerprint: str) -> None:
    """Have the office expect another certificate of the NAT."""
    office.succeeds(f"""sed -i 's/^peer-fingerprint .*/peer-fingerprint "{fingerprint}"/' {OFFICE_CONF}""")


def certificate_of(key_pem: str, year: int) -> x509.Certificate:
    """A certificate for the key that was valid in `year` alone."""
    key = load_pem_private_key(key_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nat-us-east-1c")])
    return (
        x509.CertificateBuilder(name, name, key.public_key(), 1, datetime(year, 1, 1), datetime(year, 12, 31))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def test_a_certificate_that_is_not_pinned_is_refused(world: World, desk: Host, office: Host) -> None:
    desk.reaches(APP)
    pin(office, ":".join(["00"] * 32))
    office.succeeds(f"systemctl restart {CLIENT}")
    office.eventually(f"journalctl -u {CLIENT} -n 50 | grep -q 'certificate hash verification failed'")
    desk.cannot_reach(APP)
    planned = world.plan()
    assert "Tunnels are configured" in planned.pending["office"]
    world.deploy()
    desk.reaches(APP)


def test_an_expired_certificate_is_accepted_while_it_is_pinned(world: World, desk: Host, office: Host) -> None:
    nat = Host("nat-us-east-1c")
    expired = certificate_of(nat.succeeds("cat /etc/vpc-openvpn/identity/host.key"), year=2001)
    assert expired.not_valid_after_utc < datetime.now(UTC)
    nat.succeeds(f"cat > {NAT_CERTIFICATE} <<'PEM'\n{expired.public_bytes(Encoding.PEM).decode()}PEM")
    nat.succeeds("systemctl restart openvpn-server@office")
    # Not pinned yet: refused for what it is, not for its date.
    office.succeeds(f"systemctl restart {CLIENT}")
    office.eventually(f"journalctl -u {CLIENT} -n 50 | grep -q 'certificate hash verification failed'")
    desk.cannot_reach(APP)

    pin(office, expired.fingerprint(hashes.SHA256()).hex(":").upper())
    office.succeeds(f"systemctl restart {CLIENT}")
    desk.eventually(f"ping -q -c 1 -W 1 {APP}")
