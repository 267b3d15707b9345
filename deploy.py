"""What every host of the site gets, in this order. `--limit` restricts it to a host, a role or a zone.

Each effect is a module of `tasks/`; what it takes is the host's plan, computed from the site file alone.
"""

from pyinfra import host

from tasks import exclusion, firewall, forward_path, forwarding, identity, ownership, packages, routing, tunnels
from tasks.site import plan_of, plans, store_for, zone_names

plan = plan_of(host.name)
store = store_for(plan)
record = ownership.check(plan, plans(), store)

exclusion.ensure()
packages.install(host.data.packages, host.data.minimum_versions, host.data.idle_services)
own = identity.of(plan, store)
identity.install(own, record)
firewall.load(plan)
forwarding.enable(plan)
ends = tunnels.ends(plan, own)
tunnels.configure(ends)
routing.run(plan)
tunnels.run(plan, ends, zone_names())
if host.data.get("proof") != "no":  # a rebuild sees to the office while a NAT is not there yet
    forward_path.prove(plan)
