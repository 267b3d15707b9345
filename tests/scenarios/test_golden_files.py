"""The programs on a host accept what would be written to the hosts of each kind of site (tests/rendered).

office: bird, iptables-restore, openvpn, sh, systemd-analyze
"""

import base64
import io
import tarfile

from tasks import paths
from tests.rendered.cases import CASES, HERE
from tests.scenarios.flows import changed
from tests.scenarios.harness import Host, World, lab

FOLDER = "/root/golden"
# `accepts FILE`: the program that reads such a file finds no error in it; exits 0 for a file that none can check.
ACCEPTS = """
accepts() {
    case $1 in
        */bird.conf) bird -p -c $1 ;;
        */firewall.rules) iptables-restore --noflush --test $1 ;;
        */etc/openvpn/*.conf) openvpn --config $1 --show-tls > /dev/null ;;
        */systemd/system/*.service) systemd-analyze verify --man=no $1 ;;
        */usr/local/lib/*) [ "$(head -c 9 $1)" != "#!/bin/sh" ] || sh -n $1 ;;
    esac
}
"""
EACH = f"{ACCEPTS} find {FOLDER} -type f | while read -r file; do accepts $file 2>&1 || echo refused: $file; done"


def test_programs_accept_each_golden_file_and_refuse_a_damaged_one(world: World, office: Host) -> None:
    unpack = lab(
        "exec", office.name, "--", "sh", "-c", f"mkdir {FOLDER} && base64 -d | tar -C {FOLDER} -xz", stdin=packed()
    )
    assert unpack.status == 0, unpack.output
    # systemd looks for what a unit starts, and this site has no exporter.
    exporter = f"install -m 755 {FOLDER}/dynamic-two-lans/office{paths.EXPORTER} {paths.EXPORTER}"
    with changed(office, exporter, f"rm -r {FOLDER} {paths.EXPORTER}"):
        said = office.succeeds(EACH)
        assert "refused" not in said, said
        read = "-name bird.conf -o -name firewall.rules -o -path '*/etc/openvpn/*.conf' -o -path '*/lib/vpc-openvpn/*'"
        damaged = int(office.succeeds(f"find {FOLDER} -type f '(' {read} ')' | tee /root/damaged | wc -l"))
        office.succeeds("for file in $(cat /root/damaged); do echo 'byond (' >> $file; done; rm /root/damaged")
        assert damaged > 10 * len(CASES)
        assert office.succeeds(EACH).count("refused: ") == damaged


def packed() -> str:
    """The golden files, but for the site files, as an archive in base64."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for case in CASES:
            for host in (HERE / case).iterdir():
                if host.is_dir():
                    tar.add(host, arcname=f"{case}/{host.name}")
    return base64.b64encode(archive.getvalue()).decode()
