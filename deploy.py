"""What every host of the site gets, in this order. `--limit` restricts it to a host, a role or a zone.

Each effect is a module of `tasks/`; what it takes is the host's plan, computed from the site file alone.
"""

from pyinfra import host

from tasks import (
    firewall,
    forward_path,
    forwarding,
    identity,
    monitor,
    ownership,
    packages,
    paths,
    routing,
    tunnels,
    watching,
)
from tasks.site import plan_of, plans, store_for, zone_names
from vpc_openvpn.remote.effects import Effect
from vpc_openvpn.remote.operations import converge, look
from vpc_openvpn.site.plan import OFFICE

plan = plan_of(host.name)
store = store_for(plan)
own = identity.of(plan, store)
ends = tunnels.ends(plan, own)
owner = ownership.record(plan, plans(), store.fingerprint(OFFICE))
wanted = [*host.data.packages, *watching.packages(plan, host.data.metrics_packages)]
effects: list[Effect] = [
    packages.installed(wanted, host.data.minimum_versions, host.data.idle_services),
    ownership.Recorded(identity.in_place(own), owner, own.trusted),
    monitor.installed(plan),
    firewall.loaded(plan),
    forwarding.enabled(plan),
    tunnels.configured(ends),
    routing.running(plan),
    tunnels.running(ends),
    *watching.running(plan, store),
]

now = look(paths.DEPLOY_LOCK, effects)
ownership.check(plan, plans(), owner, now)
identity.check(plan, own, now)
watching.check(plan, now)
converge(paths.DEPLOY_LOCK, effects)
tunnels.restart(plan, ends, zone_names())
if host.data.get("proof") != "no":  # a rebuild sees to the office while a NAT is not there yet
    forward_path.prove(plan)
ownership.sign(owner)
