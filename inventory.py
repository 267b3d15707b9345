"""The site as pyinfra sees it: a group each for the office and the NATs, and one for every zone.

Reads `site.yml`, or the file that the environment variable SITE names. Nothing here connects anywhere: a site with
errors ends the run with a report of all of them.
"""

import sys as _sys
from pathlib import Path as _Path

# pyinfra looks for modules in the current directory, which need not be this one.
_sys.path.insert(0, str(_Path(__file__).parent))

from vpc_openvpn import session as _run
from vpc_openvpn.remote import shell as _shell
from vpc_openvpn.site import load as _load
from vpc_openvpn.site import plan as _plan
from vpc_openvpn.ssh import connection as _connection

try:
    _site = _load.load()
    _connection.check(_site)
    _plans = _plan.plan(_site)
except _load.SiteError as _error:
    _sys.exit(str(_error))

_run.check([*_plans, *{_group for _host in _plans.values() for _group in _host.groups}])
_shell.install()
_connection.adapt_messages(_plans[_plan.OFFICE].ssh.known_hosts)

# pyinfra takes a module-level list for a group of hosts. A zone's name is no Python name, hence globals().
for _host in _plans.values():
    for _group in _host.groups:
        globals().setdefault(_group, []).append((_host.host, _connection.data(_host.ssh)))
