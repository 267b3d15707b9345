"""What every host of the site gets, in this order. `--limit` restricts it to a host, a role or a zone.

Each effect is a module of `tasks/`; what it takes is the host's plan, computed from the site file alone.
"""

from pyinfra import host

from tasks import firewall, forward_path, forwarding, identity, packages, tunnels
from tasks.site import plan_of, store_for

plan = plan_of(host.name)
store = store_for(plan)

packages.install(host.data.packages, host.data.minimum_versions)
identity.install(plan, store)
firewall.load(plan)
forwarding.enable(plan)
tunnels.configure(plan, store)
tunnels.run(plan, store)
forward_path.prove(plan)
