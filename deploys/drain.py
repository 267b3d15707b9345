"""New connections to a zone go by a detour; `./vpc drain ZONE` says more.

pyinfra inventory.py deploys/drain.py --data zone=us-east-1b --limit office
"""

from pyinfra import host

from tasks import draining
from tasks.site import plan_of

draining.switch(plan_of(host.name), host.data.get("zone"), back=False)
