"""The folder that holds the identities: its layout, and reading from it. Writing is in `identities.init`.

    store = Store.from_environment(site_path())
    store.check(plans)                      # names all that is missing, at once, before anything is deployed
    store.fingerprint("nat-us-east-1a")     # what the office pins
    store.certificate("office")             # PEM
    store.private_key("office")             # PEM; decrypted now, kept in memory
    store.tls_crypt("us-east-1a")           # OpenVPN static key

Every method raises CredentialsError, whose text says what to do. Secrets are decrypted when asked for, no
sooner: a run that needs none needs no age identity.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from vpc_openvpn.identities import age, files, material, recipients
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.recipients import Recipient
from vpc_openvpn.site.plan import OFFICE, HostPlan

VARIABLE = "IDENTITIES"
DEFAULT_FOLDER = "identities"  # beside the site file

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)
_CREATED = re.compile(r"^Created: *(\d{4}-\d\d-\d\d)$", re.MULTILINE)
_FINGERPRINT = re.compile(r"^Fingerprint: *(\S+)", re.MULTILINE)


class Store:
    """The identities in one folder. Holds decrypted secrets in memory and shows only the folder's path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._identity: age.AgeIdentity | None = None
        self._secrets: dict[Path, str] = {}

    @classmethod
    def from_environment(cls, site_path: Path) -> "Store":
        """The folder that IDENTITIES names, or else `identities` beside the site file. It need not exist."""
        chosen = os.environ.get(VARIABLE)
        return cls(Path(chosen).expanduser() if chosen else site_path.parent / DEFAULT_FOLDER)

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    @property
    def recipients_path(self) -> Path:
        return self.folder / "recipients.txt"

    def certificate_path(self, host: str) -> Path:
        return self.folder / f"{host}.crt"

    def key_path(self, host: str) -> Path:
        return self.folder / f"{host}.key.age"

    def tls_crypt_path(self, zone: str) -> Path:
        return self.folder / f"tunnel-{zone}.key.age"

    def check(self, plans: Mapping[str, HostPlan]) -> None:
        """Raise one CredentialsError that lists every file that the hosts of `plans`, keyed by name, lack.

        A host needs its own key and, of each of its tunnels, the certificates of both ends and the tls-crypt
        key; so a run that is limited to one host asks for no more than that.
        """
        needed = {path for plan in plans.values() for path in self._needed_by(plan)}
        absent = sorted(path.name for path in needed if not path.exists())
        if absent:
            raise CredentialsError(
                f"Missing in {self.folder}: {', '.join(absent)}.\n"
                "Type: ./vpc identities init (or fetch them, if a colleague has made them)"
            )

    def fingerprint(self, host: str) -> str:
        """The SHA-256 fingerprint of the host's certificate, which its peers pin: AA:BB:…"""
        return material.fingerprint(self._certificate(host))

    def certificate(self, host: str) -> str:
        """The host's certificate as PEM, without the lines for people above it."""
        return material.certificate_to_pem(self._certificate(host))

    def private_key(self, host: str) -> str:
        """The host's private key as PEM (PKCS 8), decrypted. Refused if it is not its certificate's."""
        if not material.belongs(self.key(host), self._certificate(host)):
            key, certificate = self.key_path(host), self.certificate_path(host)
            raise CredentialsError(
                f"{key} is not the key of {certificate}.\n"
                f"Restore both from one commit: git restore --source COMMIT {key} {certificate}"
            )
        return self._decrypt(self.key_path(host))

    def key(self, host: str) -> ec.EllipticCurvePrivateKey:
        """The host's private key, decrypted, whether it has a certificate yet or not."""
        path = self.key_path(host)
        key = material.key_from_pem(self._decrypt(path))
        if key is None:
            raise CredentialsError(f"{path} holds no private key.\nRestore it: git restore {path}")
        return key

    def created(self, host: str) -> int | None:
        """When the host's identity was created, by the lines for people: midnight UTC, in seconds since 1970. None
        where they do not say.
        """
        path = self.certificate_path(host)
        said = _CREATED.search(files.read(path).decode(errors="replace")) if path.exists() else None
        try:
            return int(datetime.fromisoformat(f"{said.group(1)}T00:00:00+00:00").timestamp()) if said else None
        except ValueError:
            return None

    def tls_crypt(self, zone: str) -> str:
        """The OpenVPN static key that hides the handshake of the zone's tunnel, decrypted."""
        path = self.tls_crypt_path(zone)
        if not material.is_static_key(self._decrypt(path)):
            raise CredentialsError(f"{path} holds no OpenVPN static key.\nRestore it: git restore {path}")
        return self._decrypt(path)

    def hosts(self) -> list[str]:
        """Every host that has a certificate here."""
        return sorted(path.stem for path in self.folder.glob("*.crt"))

    def secret_paths(self) -> list[Path]:
        """Every encrypted file that is here."""
        return sorted(self.folder.glob("*.age"))

    def unlock(self) -> list[Path]:
        """Decrypt every secret that is here, so that none can fail later; their files."""
        for path in self.secret_paths():
            self._decrypt(path)
        return self.secret_paths()

    def recipients(self) -> list[Recipient]:
        """Those who are to read the secrets, by recipients.txt."""
        return recipients.read(self.recipients_path)

    def identity(self) -> age.AgeIdentity:
        """The operator's identity, read once. Raises CredentialsError."""
        self._identity = self._identity or age.identity()
        return self._identity

    def encrypted(self, path: Path, to: Sequence[Recipient]) -> str:
        """The secret in `path`, encrypted to other recipients."""
        return age.encrypt(self._decrypt(path), to)

    def _needed_by(self, plan: HostPlan) -> Iterator[Path]:
        yield self.key_path(plan.host)
        for tunnel in plan.tunnels:
            yield self.certificate_path(OFFICE)
            yield self.certificate_path(tunnel.nat_host)
            yield self.tls_crypt_path(tunnel.zone)

    def _decrypt(self, path: Path) -> str:
        if path not in self._secrets:
            if not path.exists():
                raise _absent(path)
            self._secrets[path] = self.identity().decrypt(path)
        return self._secrets[path]

    def _certificate(self, host: str) -> x509.Certificate:
        """The host's certificate. Refused if the lines above it, which people review, say otherwise."""
        path = self.certificate_path(host)
        if not path.exists():
            raise _absent(path)
        text = files.read(path).decode(errors="replace")
        pem = _PEM.search(text)
        try:
            cert = x509.load_pem_x509_certificate(pem.group().encode()) if pem else None
        except ValueError:
            cert = None
        if cert is None:
            raise CredentialsError(f"{path} holds no certificate.\nRestore it: git restore {path}")
        if material.common_name(cert) != host:
            raise CredentialsError(
                f"{path} is the certificate of {material.common_name(cert)!r}, not of {host!r}.\n"
                f"Restore it: git restore {path}"
            )
        written = _FINGERPRINT.search(text)
        if written is None or written.group(1) != material.fingerprint(cert):
            raise CredentialsError(
                f"{path}: its line `Fingerprint:` is not the certificate's, {material.fingerprint(cert)}.\n"
                f"The file was edited. Look: git log --patch {path}"
            )
        return cert


def _absent(path: Path) -> CredentialsError:
    return CredentialsError(f"{path} does not exist.\nType: ./vpc identities init")
