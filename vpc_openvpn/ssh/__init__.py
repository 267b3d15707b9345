"""The operator's side of ssh: which of his keys can be used, which key a host must show, how pyinfra connects.

`ssh_keys` and `host_keys` judge files before anything connects, and take the place of pyinfra's own reading of them.
`acceptance` asks whether a new machine is the one that it should be; `connection` is a host's data in the inventory.
"""

import logging

# What paramiko's threads meet is raised as well; without a handler they print tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
