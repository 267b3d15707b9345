"""A name of the last release, until the next."""

import sys

sys.exit("This is a verb now. Type: ./vpc identities init (or show, or reencrypt)")
