"""Which zones are drained: a file for each, which outlives a reboot. It is empty if an operator has drained the zone.
Otherwise it has one word, what for: the program that has drained the zone gives it back, unless an operator has drained
it meanwhile.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from vpc_openvpn_monitor.site import Site, Tunnel

OPERATOR = ""


def drained(site: Site) -> list[Tunnel]:
    """The tunnels of drained zones."""
    return [tunnel for tunnel in site.tunnels if (site.drained / tunnel.zone).exists()]


def since(site: Site, zone: str) -> float | None:
    """When it was drained, in seconds since 1970; None if it is not."""
    try:
        return (site.drained / zone).stat().st_mtime
    except OSError:
        return None


def purpose(site: Site, zone: str) -> str | None:
    """What it is drained for; None if it is not. Raises OSError."""
    try:
        return (site.drained / zone).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def drain(site: Site, zone: str, what_for: str = OPERATOR) -> None:
    """Raises OSError. One that is drained stays so, with its date; an operator's drain takes the place of another."""
    place, began = site.drained / zone, since(site, zone)
    site.drained.mkdir(exist_ok=True)
    if what_for == OPERATOR or began is None:
        draft = site.drained / f".{zone}.{os.getpid()}"
        try:
            draft.write_text(f"{what_for}\n" if what_for else "")
            os.utime(draft, (began or time.time(),) * 2)
            if what_for == OPERATOR:
                draft.replace(place)
            else:
                with suppress(FileExistsError):  # an operator's, of this moment
                    place.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    _flush(site.drained)
    _flush(site.drained.parent)


def give_back(site: Site, zone: str, what_for: str | None = None) -> None:
    """Whatever it is drained for, or only if it is for that. Raises OSError."""
    if what_for is None or purpose(site, zone) == what_for:
        (site.drained / zone).unlink(missing_ok=True)
    try:
        site.drained.rmdir()
    except OSError:
        _flush(site.drained)
    _flush(site.drained.parent)


def restore(site: Site, zone: str, was: str | None) -> None:
    """What it was drained for, by `purpose`. Raises OSError."""
    if purpose(site, zone) != was:
        give_back(site, zone)
        if was is not None:
            drain(site, zone, was)


def _flush(folder: Path) -> None:
    """So that a power cut does not undo it."""
    if not folder.is_dir():
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
