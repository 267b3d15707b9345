"""The lab's site.yml. Pure: no I/O."""

from __future__ import annotations

from pathlib import Path

from lab import layout
from lab.layout import Layout, Zone

_HEAD = """\
# The lab's site, written by `python -m lab up`. The addresses come from lab/layout.py.
ssh:
  key: {key}
  known_hosts: {known_hosts}
office:
  ssh: {{host: {office}, user: root}}
  public_address: {office_public}
  lans: [{lan}]
vpc:
  network: {vpc}
strategy: per-zone
# An operator at the office reaches a NAT's public address with the office's own, a tunnel with his own.
operators: [{office_public}/32, {lan}]
zones:
"""

_ZONE = """\
  - name: {zone.name}
    subnets:
      public: [{zone.public}]
      private: [{zone.private}]
    nat:
      private_address: {zone.nat_address}
      public_address: {zone.nat_public_address}
      ssh: {{user: admin}}
    probe: {zone.app_address}
"""


def site_text(lab: Layout, key: Path, known_hosts: Path) -> str:
    """site.yml for `lab`, whose hosts accept the ssh key at `key`; both paths absolute."""
    head = _HEAD.format(
        key=key,
        known_hosts=known_hosts,
        office=layout.OFFICE_ADDRESS,
        office_public=layout.OFFICE_PUBLIC.ip,
        lan=layout.OFFICE_LAN,
        vpc=layout.VPC,
    )
    return head + "".join(_zone_text(zone) for zone in lab.zones)


def _zone_text(zone: Zone) -> str:
    return _ZONE.format(zone=zone)
