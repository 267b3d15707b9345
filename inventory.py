"""The site as pyinfra sees it: a group each for the office and the NATs, and one for every zone.

Reads `site.yml`, or the file that the environment variable SITE names. Nothing here connects anywhere: a site with
errors ends the run with a report of all of them.
"""

import sys as _sys
from pathlib import Path as _Path

# pyinfra does not look for modules beside its files.
_sys.path.insert(0, str(_Path(__file__).parent))

from vpc_openvpn import session as _session
from vpc_openvpn import system as _system
from vpc_openvpn.site import load as _load
from vpc_openvpn.ssh import connection as _connection

try:
    _site, _plans = _load.this_run()
    _connection.check(_site)
    _session.check({_host.host: _host.groups for _host in _plans.values()})
    _connection.check_trust({_name: _plans[_name] for _name in _session.concerned(_plans)}, _plans)
except (_load.SiteError, _connection.UntrustedError) as _error:
    _sys.exit(str(_error))
except OSError as _error:
    _sys.exit(_system.refusal(_error))

# pyinfra takes a module-level list for a group of hosts. A zone's name is no Python name, hence globals().
for _host in _plans.values():
    for _group in _host.groups:
        globals().setdefault(_group, []).append((_host.host, _connection.data(_host.ssh)))
