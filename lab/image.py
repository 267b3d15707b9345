"""The hosts' base system and the packages that they can install, built once and kept in the cache.

A build is a directory `base-HASH` with `root` (a Debian or Ubuntu, of the machine's own release or another, like a
cloud image) and `packages` (an apt repository with what a cookbook may want to install and the base has not). The
hash covers the recipe below, so that a changed recipe is built anew. A build appears by a rename, so that a
half-built one is never used.

Packages come from where the machine's own apt gets its distribution's; its other sources are ignored.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from lab.layout import REPOSITORY_URL
from lab.state import CACHE, exclusive
from lab.system import LabError, run, wait_until

BASE_PACKAGES = (
    "apparmor",
    "ca-certificates",
    "chrony",
    "cloud-init",
    "dbus",
    "init",
    "iproute2",
    "iputils-ping",
    "kmod",
    "locales",
    "needrestart",
    "netbase",
    "netplan.io",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "udev",
    "unattended-upgrades",
)

# With their dependencies, as far as the base does not have them.
REPOSITORY_PACKAGES = (
    "bird2",
    "bsdextrautils",
    "conntrack",
    "curl",
    "ethtool",
    "iperf3",
    "iptables",
    "less",
    "mtr-tiny",
    "netcat-openbsd",
    "nftables",
    "openssl",
    "openvpn",
    "prometheus-node-exporter",
    "python3",
    "python3-apt",
    "python3-minimal",
    "rsync",
    "tcpdump",
    "traceroute",
)

# The same, but some of these refuse to be installed beside each other.
NEIGHBOUR_PACKAGES = ("firewalld", "iptables-persistent", "needrestart", "network-manager", "ufw")

# Units that cost boot time and do nothing for a host without hardware, or that act by the clock.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "motd-news.timer",
    "systemd-journal-flush.service",
    "systemd-resolved.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)

# dpkg's fsyncs guard against a crash of the machine, which the lab does not outlive anyway.
DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-include=/usr/share/locale/de/*",  # the office's language
)

APT_FILES = {
    "etc/apt/sources.list": f"deb [trusted=yes] {REPOSITORY_URL} ./\n",
    "etc/apt/apt.conf.d/90lab": 'Acquire::Languages "none";\nAcquire::Retries "0";\n',
}
FILES = {
    "etc/resolv.conf": "# the lab has no name server\n",
    "etc/sudoers.d/admin": "admin ALL=(ALL) NOPASSWD: ALL\n",
    "etc/hostname": "localhost\n",
    # Of cloud-init only its files are there: it would look for a data source, for seconds, at every boot.
    "etc/cloud/cloud-init.disabled": "",
}

KEPT = 24 * 3600  # seconds since a build was last used, after which the next build removes it

_ORIGINS = {"debian": "Debian", "ubuntu": "Ubuntu"}
# Those that hosts can have, beside the machine's own.
_RELEASES = {"debian": ("bookworm", "trixie"), "ubuntu": ("noble",)}
_KEYRINGS = {
    "debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}

# Downloads from outside of the new system, with the apt configuration that mmdebstrap made for it.
_DOWNLOAD_HOOK = (
    'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG";'
    " download() { apt-get --yes --no-install-recommends --download-only -q=2 install $*; };"
    f" download {' '.join(REPOSITORY_PACKAGES)} &&"
    f" for package in {' '.join(NEIGHBOUR_PACKAGES)}; do download $package || exit; done"
    ' && mkdir -p "$1/packages" && mv "$1"/var/cache/apt/archives/*.deb "$1/packages/"'
)
_ADMIN_HOOK = 'chroot "$1" useradd --create-home --shell /bin/bash admin'
_LOCALE_HOOK = 'chroot "$1" localedef -i de_DE -f UTF-8 de_DE.UTF-8'


@dataclass(frozen=True)
class Recipe:
    """What a build is made of, beside this module: `finish` makes of its directory, with `root`, what hosts boot."""

    source: Path  # the module that says so
    packages: tuple[str, ...]
    finish: Callable[[Path], None]
    hooks: tuple[str, ...] = ()  # shell commands of mmdebstrap's; $1 is the new root


def ensure(release: str | None = None, recipe: Recipe | None = None) -> Path:
    """The directory of the build for today's recipe, by default the containers', of this machine's own release or
    another of its distribution's; makes it when there is none (a minute or so).
    """
    recipe = recipe or CONTAINERS
    distribution, own = _machine_release()
    release = release or own
    if release not in (known := sorted({own, *_RELEASES[distribution]})):
        raise LabError(f"the lab has no hosts of {distribution} {release}; there are: {', '.join(known)}")
    target = CACHE / f"base-{_recipe_hash(recipe, distribution, release)}"
    if not target.exists():
        with exclusive("image", "another lab command is building the base image; waiting for it"):
            if not target.exists():
                _build(target, recipe, distribution, own, release)
    os.utime(target)  # says when it was last used
    return target


def remove_drafts() -> None:
    """Remove what builds that died left behind. Waits for a build that is going on."""
    with exclusive("image", "another lab command is building the base image; waiting for it"):
        for draft in CACHE.glob("base-*.draft"):
            _remove_draft(draft)


def _machine_release() -> tuple[str, str]:
    fields = platform.freedesktop_os_release()
    distribution, release = fields.get("ID", ""), fields.get("VERSION_CODENAME", "")
    if distribution not in _ORIGINS or not release:
        raise LabError("the lab runs on Debian 12 or Ubuntu 24.04, or later ones; this machine has neither")
    return distribution, release


def _recipe_hash(recipe: Recipe, distribution: str, release: str) -> str:
    modules = {Path(__file__), recipe.source}
    everything = (distribution, release, APT_FILES, [module.read_text() for module in sorted(modules)])
    return _sha256(repr(everything).encode())[:16]


def _sources(distribution: str, own: str, release: str) -> str:
    """sources.list lines for `release`, from where the machine's apt has the distribution's `own`.

    apt knows the origin of each list that it downloaded. Other repositories are recognised by it: their suites
    often have the same names as the distribution's.
    """
    listing = run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
            "Created-By: Packages",
        ]
    )
    signed_by = _KEYRINGS[distribution]
    option = f"[signed-by={signed_by}] " if Path(signed_by).exists() else ""
    suites = {f"{own}{pocket}": f"{release}{pocket}" for pocket in ("", "-updates", "-security")}
    lines = []
    for line in listing.splitlines():
        origin, uri, suite, component = line.split("|")
        if origin == _ORIGINS[distribution] and suite in suites and component in ("main", "universe"):
            lines.append(f"deb {option}{uri} {suites[suite]} {component}")
    if not any(f" {release} main" in line for line in lines):
        raise LabError(f"apt on this machine knows no {own} repository (yet). Try:\n  apt-get update")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _inherited_apt_options() -> str:
    """An apt.conf with the machine's own proxies and clock settings, which the build needs as much."""
    wanted = re.compile(r"Acquire::(https?::(.*::)?Proxy(-Auto-Detect)?(::.*)?|Check-Valid-Until|Check-Date) ", re.I)
    lines = run(["apt-config", "dump"]).splitlines()
    return "".join(f"{line}\n" for line in lines if wanted.match(line) and not line.endswith(' "";'))


def _build(target: Path, recipe: Recipe, distribution: str, own: str, release: str) -> None:
    print(f"building the hosts' base image ({distribution} {release}); this happens once", flush=True)
    started = time.monotonic()
    draft = target.with_suffix(".draft")
    _remove_draft(draft)
    draft.mkdir(parents=True)
    _bootstrap(draft / "root", recipe, release, _sources(distribution, own, release))
    (draft / "root" / "packages").rename(draft / "packages")
    _index(draft / "packages")
    _blank(draft / "root")
    recipe.finish(draft)
    draft.rename(target)
    _remove_older_builds(target)
    print(f"base image built in {time.monotonic() - started:.0f} s", flush=True)


def _bootstrap(root: Path, recipe: Recipe, release: str, sources: str) -> None:
    """Run mmdebstrap, showing its progress.

    It and all that it starts have a pid and a mount namespace of their own, so that they end when we do, even by
    kill -9, and leave nothing mounted.
    """
    scratch = root.with_name("scratch")
    scratch.mkdir()
    scratch.chmod(0o1777)  # apt downloads as a user of its own
    apt_conf = scratch / "apt.conf"
    apt_conf.touch(mode=0o600)  # a proxy's address may hold a password
    apt_conf.write_text(_inherited_apt_options())
    command = ["setpriv", "--pdeathsig", "KILL"]
    command += ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    command += ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    command += [f"--include={','.join(recipe.packages)}"]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    command += [f"--aptopt={apt_conf}"]
    command += [f"--customize-hook={hook}" for hook in (_DOWNLOAD_HOOK, *recipe.hooks)]
    command += [release, str(root), "-"]
    environment = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run(command, input=sources, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise LabError("mmdebstrap could not build the base image; its own messages are above")
    shutil.rmtree(scratch)


def _blank(root: Path) -> None:
    """Turn what mmdebstrap left into a blank host's disk: no keys, no package lists, no proxies."""
    for pattern in ("etc/ssh/ssh_host_*", "etc/apt/sources.list.d/*", "etc/apt/apt.conf.d/99mmdebstrap"):
        for path in root.glob(pattern):
            path.unlink()
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    for folder in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in APT_FILES.items():
        (root / name).write_text(text)


def _finish_root(build: Path) -> None:
    """What a container needs beside: who it is, and units that it can do without."""
    root = build / "root"
    for name, text in FILES.items():
        path = root / name
        path.unlink(missing_ok=True)  # may be a link to somewhere
        path.write_text(text)
    (root / "etc/sudoers.d/admin").chmod(0o440)
    for unit in MASKED_UNITS:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


CONTAINERS = Recipe(Path(__file__), BASE_PACKAGES, _finish_root, hooks=(_ADMIN_HOOK, _LOCALE_HOOK))


def _index(packages: Path) -> None:
    """Make a directory of .deb files an apt repository: Packages, Packages.gz, Release."""
    entries = []
    for path in sorted(packages.glob("*.deb")):
        plain = path.rename(path.with_name(path.name.replace("%3a", "_")))
        control = run(["dpkg-deb", "--field", plain]).rstrip("\n")
        content = plain.read_bytes()
        place = f"Filename: ./{plain.name}\nSize: {len(content)}\nSHA256: {_sha256(content)}"
        entries.append(f"{control}\n{place}\n")
    index = "\n".join(entries).encode()
    files = {"Packages": index, "Packages.gz": gzip.compress(index, mtime=0)}
    for name, content in files.items():
        (packages / name).write_bytes(content)
    sums = "".join(f" {_sha256(text)} {len(text)} {name}\n" for name, text in files.items())
    release = f"Origin: vpc-openvpn lab\nSuite: lab\nDate: {formatdate(usegmt=True)}\nSHA256:\n{sums}"
    (packages / "Release").write_text(release)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove_older_builds(target: Path) -> None:
    """Builds that no lab uses, and none has been made from for a day, go: another checkout may want its own recipe."""
    in_use = set(_bases_in_use())
    for other in CACHE.glob("base-*"):
        if other != target and other.name not in in_use and time.time() - other.stat().st_mtime > KEPT:
            shutil.rmtree(other)


def _bases_in_use() -> Iterator[str]:
    for file in Path("/var/lib").glob("vpc-openvpn-lab*/lab.json"):
        yield from re.findall(r"base-[0-9a-f]+", file.read_text())


def _remove_draft(draft: Path) -> None:
    """Remove what a build left behind; if it was killed just now, its processes may be writing a moment longer."""

    def gone() -> bool:
        shutil.rmtree(draft, ignore_errors=True)
        return not draft.exists()

    wait_until(gone, 10, f"{draft} to go")
