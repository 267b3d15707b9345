"""Take a zone's tunnel out of use before maintenance, and give it back.

    pyinfra inventory.py drain.py --data zone=us-east-1b
    pyinfra inventory.py drain.py --data zone=us-east-1b --data back=true

What is new goes by a detour at once; what began through the zone's own NAT stays there as long as it lives. It holds
until the zone is given back: through reboots of the office router, and through deploys, which remind of it.
"""

from pyinfra import host

from tasks import draining
from tasks.site import plan_of

draining.switch(plan_of(host.name), host.data.get("zone"), back=host.data.get("back", False))
