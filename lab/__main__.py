"""`python -m lab VERB`."""

import sys

from lab.cli import main
from vpc_openvpn.output import outlive_reader

outlive_reader()
sys.exit(main(sys.argv[1:]))
