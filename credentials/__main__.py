"""The command line: `python -m credentials VERB`, about the site file that SITE names (default: site.yml).

Exit status 0; 1 with the reason on standard error; 2 for a command that does not exist.
"""

import argparse
import sys
from collections.abc import Sequence

from vpc_openvpn.identities import init
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.output import outlive_reader
from vpc_openvpn.site.load import SiteError, load, site_path
from vpc_openvpn.site.plan import plan


def _init() -> None:
    path = site_path()
    plans = plan(load(path))
    store = Store.from_environment(path)
    done = False
    for line in init.init(store, plans):
        print(line)
        done = True
    if done:
        print(f"Commit {store.folder} to git: its secrets are encrypted, the rest is public.")
    else:
        print(f"Nothing to do: {store.folder} has what the site's {len(plans)} hosts need.")


def _reencrypt() -> None:
    for line in init.reencrypt(Store.from_environment(site_path())):
        print(line)


def _fingerprints() -> None:
    store = Store.from_environment(site_path())
    hosts = store.hosts()
    if not hosts:
        raise CredentialsError(f"There are no certificates in {store.folder}.\nRun: python -m credentials init")
    width = max(map(len, hosts))
    for host in hosts:
        print(f"{host:{width}}  {store.fingerprint(host)}")


VERBS = {
    "init": (_init, "create the identities that the site's hosts lack; overwrites nothing"),
    "fingerprints": (_fingerprints, "print each host's fingerprint, which its peers trust"),
    "reencrypt": (_reencrypt, "encrypt the secrets anew, to everyone who is in recipients.txt now"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m credentials", description="The identities of the site's hosts.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, (_, summary) in VERBS.items():
        verbs.add_parser(verb, help=summary, description=summary)
    run, _ = VERBS[parser.parse_args(arguments).verb]
    try:
        run()
    except (CredentialsError, SiteError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
