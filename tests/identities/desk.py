"""An operator's desk: a site, a home, the command line; and a nose for secrets where none may be."""

import re
import stat
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyrage import x25519

from vpc_openvpn import identities, terminal
from vpc_openvpn.command.__main__ import main
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import load, this_run
from vpc_openvpn.site.plan import HostPlan, plan

PACKAGE = Path(identities.__file__).parent

SITE = """\
office: {ssh: {host: 192.168.50.1}, public_address: 198.51.100.10, lans: [192.168.50.0/24]}
vpc: {network: 10.0.0.0/16}
operators: [203.0.113.0/24]
zones:
"""
ZONE = """\
  - name: us-east-1%(letter)s
    subnets: {public: [10.0.%(number)d.0/24]}
    nat: {private_address: 10.0.%(number)d.10, public_address: 198.51.100.1%(number)d}
"""


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """`folder` is the store, `age_key` the file that the first `init` makes."""

    site: Path
    folder: Path
    age_key: Path
    capture: pytest.CaptureFixture[str]

    def write_site(self, zones: str) -> None:
        """A site with a zone for each letter of `zones`."""
        blocks = (ZONE % {"letter": letter, "number": ord(letter) - ord("a") + 1} for letter in zones)
        self.site.write_text(SITE + "".join(blocks))

    def plans(self) -> dict[str, HostPlan]:
        return plan(load(self.site))

    def store(self) -> Store:
        return Store.from_environment(self.site)

    def vpc(self, *words: str) -> Answer:
        """Type `./vpc identities WORDS`. That it prints no secret is checked every time."""
        self.capture.readouterr()
        this_run.cache_clear()
        vars(terminal).update(_typed=terminal._Typed())  # what was typed for another line
        status = main(["identities", *words])
        answer = Answer(status, *self.capture.readouterr())
        self.assert_no_secret(answer.out + answer.err)
        return answer

    def files(self) -> dict[str, tuple[bytes, int, int]]:
        """Every file of the store by name: content, mode, time of modification."""
        return {
            path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime_ns)
            for path in self.folder.iterdir()
        }

    @contextmanager
    def refused(self, *secrets: str) -> Iterator[list[str]]:
        """The block must raise a CredentialsError, whose text is put into the list that this yields.

        Nothing that an error reporter could collect on the way may hold a secret: texts, causes, and what the
        variables of the package's functions hold. Nor one of `secrets`, such as a passphrase.
        """
        text: list[str] = []
        with pytest.raises(CredentialsError) as raised:
            yield text
        text.append(str(raised.value))
        traces = [traceback.TracebackException.from_exception(raised.value, capture_locals=True)]
        for trace in traces:
            self.assert_no_secret(str(trace), *secrets)
            for frame in trace.stack:
                if Path(frame.filename).parent == PACKAGE:
                    self.assert_no_secret(str(frame.locals), *secrets)
            traces += [other for other in (trace.__cause__, trace.__context__) if other]

    def assert_no_secret(self, text: str, *others: str) -> None:
        """Whatever looks like an age key, a private key (its PEM or its content), an ssh key or a static key is one."""
        for secret in (
            "AGE-SECRET-KEY-1[A-Z0-9]",
            "BEGIN PRIVATE KEY",
            "BEGIN OPENSSH PRIVATE KEY",
            "b3BlbnNzaC1rZXktdjE",
            "MIGHAgEAMBMGByqGSM49",
            r"\b[0-9a-f]{32}\b",
            *map(re.escape, others),
        ):
            assert not re.search(secret, text, re.IGNORECASE)


def new_identity(path: Path) -> str:
    """Write a new age identity to `path`; its public key."""
    key = x25519.Identity.generate()
    path.write_text(f"{key}\n")
    path.chmod(0o600)
    return str(key.to_public())
