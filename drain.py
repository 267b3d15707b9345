"""Take a zone's tunnel out of use before maintenance, and give it back.

    pyinfra inventory.py drain.py --data zone=us-east-1b
    pyinfra inventory.py drain.py --data zone=us-east-1b --data back=true

New connections go by a detour at once; those that began through the zone's own NAT stay there as long as they live. It
holds until the zone is given back: through reboots of the office router, and through deploys, which remind of it. A
zone whose detours do not work, or are all drained, is not drained. --limit office connects to no NAT.
"""

from pyinfra import host

from tasks import draining
from tasks.site import plan_of

draining.switch(plan_of(host.name), host.data.get("zone"), back=host.data.get("back", False))
