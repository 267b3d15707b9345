"""What operators have drained: a file for each zone, which outlives a reboot."""

import os
import time
from pathlib import Path

from vpc_openvpn_monitor.site import Site, Tunnel


def drained(site: Site) -> list[Tunnel]:
    """The tunnels of drained zones."""
    return [tunnel for tunnel in site.tunnels if (site.drained / tunnel.zone).exists()]


def since(site: Site, zone: str) -> float | None:
    """When it was drained, in seconds since 1970; None if it is not."""
    try:
        return (site.drained / zone).stat().st_mtime
    except OSError:
        return None


def drain(site: Site, zone: str) -> None:
    """Raises OSError. One that is drained keeps its date."""
    site.drained.mkdir(exist_ok=True)
    place = site.drained / zone
    if not place.exists():
        place.touch()
        os.utime(place, (time.time(),) * 2)
    _flush(site.drained)
    _flush(site.drained.parent)


def give_back(site: Site, zone: str) -> None:
    """Raises OSError."""
    (site.drained / zone).unlink(missing_ok=True)
    try:
        site.drained.rmdir()
    except OSError:
        _flush(site.drained)
    _flush(site.drained.parent)


def _flush(folder: Path) -> None:
    """So that a power cut does not undo it."""
    if not folder.is_dir():
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
