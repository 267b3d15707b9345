"""A run that is started ahead: it reads everything that it needs, and connects to nobody before it is told to go.

Whoever starts it sets WAIT in its environment and writes GO to its standard input, or closes that.
"""

import os
import sys

WAIT, GO = "VPC_OPENVPN_WAIT", "go"


def may_go() -> bool:
    """Waits for the word, where there is one to wait for. False: there will be none."""
    return not os.environ.get(WAIT) or sys.stdin.readline().strip() == GO
