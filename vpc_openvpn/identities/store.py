"""The folder that holds the identities: its layout, and reading from it. Writing is in `identities.writing`.

    store = Store.from_environment(site_path())
    store.check(plans)                      # names all that is missing, at once, before anything is deployed
    store.pins("nat-us-east-1a")            # what the office pins: one fingerprint, in a rotation two
    store.certificate("office")             # PEM
    store.private_key("office")             # PEM; decrypted now, kept in memory
    store.tls_crypt("us-east-1a")           # OpenVPN static key

Every method raises CredentialsError, whose text says what to do. Secrets are decrypted when asked for, no
sooner: a run that needs none needs no age identity.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from shlex import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from vpc_openvpn.identities import age, files, lock, material, recipients
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.recipients import Recipient
from vpc_openvpn.site.plan import OFFICE, HostPlan

VARIABLE = "IDENTITIES"
NEXT, OLD = "next", "old"  # in a file's name: of an identity that is to come, and of one that was (identities.rotation)
DEFAULT_FOLDER = "identities"  # beside the site file

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_INIT = "Type: ./vpc identities init"
_SET = f"Set {VARIABLE} to this site's folder, or SITE to that site's file."
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)
_CREATED = re.compile(r"^Created: *(\d{4}-\d\d-\d\d)$", re.MULTILINE)
_FINGERPRINT = re.compile(r"^Fingerprint: *(\S+)", re.MULTILINE)


class Store:
    """The identities in one folder. Holds decrypted secrets in memory and shows only the folder's path.

    `site`, once it has been claimed: the public addresses of the site's NATs, for recipients.lock; those of a zone that
    left stay until another comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site: tuple[str, ...] = ()
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

    @property
    def lock_path(self) -> Path:
        return self.folder / lock.NAME

    def certificate_path(self, host: str, which: str = "") -> Path:
        return self.folder / f"{_named(host, which)}.crt"

    def key_path(self, host: str, which: str = "") -> Path:
        return self.folder / f"{_named(host, which)}.key.age"

    def tls_crypt_path(self, zone: str, which: str = "") -> Path:
        return self.folder / f"{_named(f'tunnel-{zone}', which)}.key.age"

    def check(self, plans: Mapping[str, HostPlan]) -> None:
        """Raise one CredentialsError that lists every file that the hosts of `plans`, keyed by name, lack.

        A host needs its own key and, of each of its tunnels, the certificates of both ends and the tls-crypt
        key; so a run that is limited to one host asks for no more than that.
        """
        files.check_directory(self.folder)
        absent = sorted(path.name for path in self.needed(plans) if not path.exists())
        if absent:
            raise CredentialsError(
                f"Missing in {self.folder}: {', '.join(absent)}.\n"
                "Type: ./vpc identities init (or fetch them, if a colleague has made them)"
                + (f"\n{other}" if (other := self._by_name(plans)) else "")
            )

    def needed(self, plans: Mapping[str, HostPlan]) -> set[Path]:
        """The files that the hosts of `plans` need."""
        return {path for plan in plans.values() for path in self._needed_by(plan)}

    def claim(self, plans: Mapping[str, HostPlan], *, ours: bool = False) -> "Store":
        """This, as the folder of the site that has `plans`, all of them: what writes to it from now on notes that.

        Raises CredentialsError where it is another site's, unless the operator says that it is `ours`. Two sites may
        have zones of the same names, and offices behind one address; no two NATs have one public address.
        """
        own = {str(tunnel.remote) for plan in plans.values() for tunnel in plan.tunnels}
        noted = self._noted()
        if noted and not own & {*noted}:
            another = (
                f"{self.folder} has the identities of another site: its NATs have the public addresses"
                f" {', '.join(noted)}, and this site's have {', '.join(sorted(own))}.\n{_SET}"
            )
        else:
            another = "" if noted else self._by_name(plans)
        if another and not ours:
            raise CredentialsError(
                f"{another}\nIf it is this site's, whose NATs all have other addresses or names now:"
                " ./vpc identities init --this-site"
            )
        self.site = noted if own <= {*noted} else tuple(sorted(own))
        return self

    def _noted(self) -> tuple[str, ...]:
        with suppress(CredentialsError):  # of a lock that is damaged others say so
            return self.lock().site
        return ()

    def _by_name(self, plans: Mapping[str, HostPlan]) -> str:
        """What to type where the folder has NATs and none of them is in `plans`; else empty."""
        nats = [host for host in self.hosts() if host != OFFICE]
        known = {*plans, *(tunnel.nat_host for plan in plans.values() for tunnel in plan.tunnels)}
        if not nats or known & {*nats}:
            return ""
        return f"{self.folder} has the identities of another site: {', '.join(nats)}.\n{_SET}"

    def fingerprint(self, host: str, which: str = "") -> str:
        """The SHA-256 fingerprint of the host's certificate: AA:BB:…"""
        return material.fingerprint(self._certificate(host, which))

    def pins(self, host: str) -> tuple[str, ...]:
        """The fingerprints that the host's peers accept: its own and, while it is given another, that as well."""
        others = [which for which in (NEXT, OLD) if self.certificate_path(host, which).exists()]
        return tuple(sorted({self.fingerprint(host), *(self.fingerprint(host, which) for which in others)}))

    def certificate(self, host: str) -> str:
        """The host's certificate as PEM, without the lines for people above it."""
        return material.certificate_to_pem(self._certificate(host))

    def private_key(self, host: str) -> str:
        """The host's private key as PEM (PKCS 8), decrypted. Refused if it is not its certificate's.

        A rotation gives the host its next certificate in one step, and the key of it in another: between the two the
        key is still the next one.
        """
        certificate = self._certificate(host)
        for which in ("", NEXT):
            path = self.key_path(host, which)
            if (not which or path.exists()) and material.belongs(self.key(host, which), certificate):
                return self._decrypt(path)
        path = self.key_path(host)
        raise CredentialsError(
            f"{path} is not the key of {self.certificate_path(host)}.\n"
            f"Restore both from one commit: git restore --source COMMIT {quote(str(path))} "
            + quote(str(self.certificate_path(host)))
        )

    def key(self, host: str, which: str = "") -> ec.EllipticCurvePrivateKey:
        """The host's private key, decrypted, whether it has a certificate yet or not."""
        path = self.key_path(host, which)
        key = material.key_from_pem(self._decrypt(path))
        if key is None:
            raise CredentialsError(f"{path} holds no private key.\nRestore it: git restore {quote(str(path))}")
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
            raise CredentialsError(f"{path} holds no OpenVPN static key.\nRestore it: git restore {quote(str(path))}")
        self.refuse_twins()
        return self._decrypt(path)

    def refuse_twins(self) -> None:
        """Refuse two tunnels with one tls-crypt key, as far as their files are decrypted."""
        same = defaultdict(list)
        for path, secret in self._secrets.items():
            if path.name.startswith(self.tls_crypt_path("").name.partition(".")[0]):
                same[hashlib.sha256(secret.encode()).digest()].append(path)
            del secret
        for twins in same.values():
            if are_twins(twins):
                raise CredentialsError(one_key(twins))

    def recipients(self) -> list[Recipient]:
        """Those who are to read the secrets, by recipients.txt."""
        files.check_directory(self.folder)
        if not os.path.lexists(self.recipients_path):
            raise CredentialsError(
                f"{self.recipients_path} does not exist.\n"
                + ("Restore it: git restore " + quote(str(self.recipients_path)) if self.folder.exists() else _INIT)
            )
        return recipients.read(self.recipients_path)

    def lock(self) -> lock.Lock:
        """What recipients.lock says; an empty one where there is none. Refused if it is damaged."""
        if not os.path.lexists(self.lock_path):
            return lock.Lock()
        data = files.read(self.lock_path)
        found = lock.parse(data.decode(errors="replace"))
        if found is None:
            what = "is two versions that git could not merge" if files.has_conflict(data) else "is damaged"
            raise CredentialsError(
                f"{self.lock_path} {what}.\n"
                f"Restore it: git restore {quote(str(self.lock_path))}; or, if the other files are right, have it "
                "written anew: ./vpc identities reencrypt --accept"
            )
        return found.settled(self.sums())

    def sums(self) -> dict[str, str]:
        """What recipients.lock keeps of each file that is here, by its name."""
        sums = {path.name: sum_of(files.read(path)) for path in self.secret_paths()}
        certificates = [path.name.removesuffix(".crt").partition(".") for path in self._files(".crt")]
        return sums | {
            self.certificate_path(host, which).name: self.fingerprint(host, which)
            for host, _, which in certificates
            if which in ("", NEXT, OLD)
        }

    def identity(self) -> age.AgeIdentity:
        """The operator's identity, read once. Raises CredentialsError."""
        self._identity = self._identity or age.identity()
        return self._identity

    def hosts(self) -> list[str]:
        """Every host that has a certificate here."""
        return sorted(path.stem for path in self._files(".crt") if path.suffixes == [".crt"])

    def secret_paths(self) -> list[Path]:
        """Every encrypted file that is here."""
        return sorted(self._files(".age"))

    def _files(self, ending: str) -> list[Path]:
        """Those that are here. Refused where a name is none that we give: it may be meant for a terminal or a shell."""
        try:
            names = [name for name in os.listdir(self.folder) if name.endswith(ending) and not name.startswith(".")]  # noqa: PTH208
        except FileNotFoundError:
            return []
        except OSError as error:
            raise files.problem(error, self.folder) from None
        for name in names:
            if not _NAME.fullmatch(name):
                raise CredentialsError(
                    f"{self.folder} has a file that is none of ours: {name!a}.\n"
                    f"Look who put it there: git log --stat -- {quote(str(self.folder))}; then remove it."
                )
        return [self.folder / name for name in names]

    def unlock(self, paths: Sequence[Path]) -> None:
        """Decrypt these secrets, so that none can fail later."""
        for path in paths:
            self._decrypt(path)
        self.refuse_twins()

    def ask_passphrases(self, plans: Mapping[str, HostPlan]) -> None:
        """Ask now for the passphrases that the secrets of these hosts need."""
        for path in sorted(self.needed(plans) & {*self.secret_paths()}):
            if self.identity().has_passphrase:
                self._decrypt(path)

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

    def _certificate(self, host: str, which: str = "") -> x509.Certificate:
        """The host's certificate. Refused if the lines above it, which people review, say otherwise."""
        path = self.certificate_path(host, which)
        if not path.exists():
            raise _absent(path)
        data = files.read(path)
        if files.has_conflict(data):
            raise CredentialsError(
                f"{path} is two versions that git could not merge.\n"
                f"Take one, and the same of {self.key_path(host).name}: "
                f"git checkout --theirs {quote(str(path))} (or --ours)"
            )
        text = data.decode(errors="replace")
        pem = _PEM.search(text.replace("\r\n", "\n"))
        cert = material.certificate_from_pem(pem.group()) if pem else None
        if cert is None:
            raise CredentialsError(f"{path} holds no certificate.\nRestore it: git restore {quote(str(path))}")
        if material.common_name(cert) != host:
            raise CredentialsError(
                f"{path} is the certificate of {material.common_name(cert)!r}, not of {host!r}.\n"
                f"Restore it: git restore {quote(str(path))}"
            )
        written = _FINGERPRINT.search(text)
        if written is None or written.group(1) != material.fingerprint(cert):
            raise CredentialsError(
                f"{path}: its line `Fingerprint:` is not the certificate's, {material.fingerprint(cert)}.\n"
                f"The file was edited. Look: git log --patch {quote(str(path))}"
            )
        return cert


def sum_of(data: bytes) -> str:
    """The sum of a secret's file, whose ends of lines git may have written in the way of another system."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def are_twins(paths: Sequence[Path]) -> bool:
    """Whether these files, which hold the same, are of more than one tunnel or host: a switch that was cut short leaves
    one key under two names.
    """
    return len({path.name.partition(".")[0] for path in paths}) > 1


def one_key(twins: Sequence[Path]) -> str:
    """What to say of tunnels whose files hold the same tls-crypt key."""
    names = " and ".join(str(path) for path in sorted(twins))
    return (
        f"{names} hold one and the same tls-crypt key, and each zone has its own.\n"
        "Restore them: git restore, or the one that was copied: rm FILE, ./vpc identities reencrypt --accept, "
        "./vpc identities init, then one deploy"
    )


def _named(name: str, which: str) -> str:
    return f"{name}.{which}" if which else name


def _absent(path: Path) -> CredentialsError:
    return CredentialsError(f"{path} does not exist.\n{_INIT}")
