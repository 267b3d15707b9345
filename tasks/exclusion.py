"""One deploy at a time: two that change the same host would each see the other's half."""

from remote import operations
from tasks import paths


def ensure() -> None:
    """Hold every host of this run, or none."""
    operations.held(name="No other deploy is under way", lock=paths.DEPLOY_LOCK)
    operations.all_held(name="Nor is one on the other hosts")
