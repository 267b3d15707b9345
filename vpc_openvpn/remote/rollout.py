"""A restart that goes from group to group of services: what it has found and done, across the hosts of one run."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Rollout:
    """`outdated`: by host's name, units that run from something else than is on disk; to ask again for each of them
    would cost a far operator a remote command each. `begun`: groups of which a unit was restarted in this run, and
    packets crossed before. `failed`: the group whose packets did not cross again, if any.
    """

    outdated: dict[str, set[str]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    failed: str = ""
