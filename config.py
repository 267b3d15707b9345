"""pyinfra's settings for this cookbook, and what each of its runs begins with. pyinfra reads this file first."""

import sys
from pathlib import Path

from pyinfra import config

sys.path.insert(0, str(Path(__file__).parent))  # pyinfra does not look for modules beside its files

from vpc_openvpn import session

config.REQUIRE_PYINFRA_VERSION = "==3.10.0"  # what its facts, exit codes and diffs were tested with
config.CONNECT_TIMEOUT = 10  # seconds: a dead host costs the others no longer than this
session.begin()
