"""New connections to a zone go through its own NAT again; `./vpc undrain ZONE`.

pyinfra inventory.py deploys/undrain.py --data zone=us-east-1b --limit office
"""

from pyinfra import host

from tasks import draining
from tasks.site import plan_of

draining.switch(plan_of(host.name), host.data.get("zone"), back=True)
