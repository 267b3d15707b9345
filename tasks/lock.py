"""One deploy at a time: two that change the same host would each see the other's half."""

from tasks import paths
from vpc_openvpn.remote import operations


def acquire() -> None:
    """Hold every host of this run, or none."""
    operations.locked(name="No other deploy is under way", file=paths.DEPLOY_LOCK)
    operations.all_locked(name="Nor is one on the other hosts")
