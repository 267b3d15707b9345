"""Does the office send new connections to these zones by their own tunnels? Waits for it; `./vpc rebuild` ends so.

pyinfra inventory.py deploys/verify_failback.py --data zones=us-east-1a,us-east-1b --limit office
"""

from pyinfra import host

from tasks import failback
from tasks.site import plan_of

failback.verify(plan_of(host.name), host.data.get("zones"))
