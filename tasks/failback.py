"""The last proof of a rebuild: what a desk sends to a zone crosses the zone's own tunnel again, not a detour."""

from pyinfra.api.exceptions import DeployError

from tasks import paths
from vpc_openvpn.diagnosis.findings import printed
from vpc_openvpn.remote import operations
from vpc_openvpn.site.plan import SINGLE, HostPlan, OfficePlan, Tunnel

PATIENCE = 90  # seconds; a NAT that has failed again and again has to prove itself for longer


def verify(plan: HostPlan, zones: object) -> None:
    """Wait until the office sends new connections to each of `zones`, a comma-separated list, by its own tunnel."""
    if not isinstance(plan, OfficePlan):
        return
    names = str(zones or "").split(",")
    tunnels = [tunnel for tunnel in plan.tunnels if tunnel.zone in names]
    if len(tunnels) != len(names):
        listed = ", ".join(tunnel.zone for tunnel in plan.tunnels)
        raise DeployError(f"which zones? Write: --data zones={plan.tunnels[0].zone} (the zones are {listed})")
    if plan.strategy == SINGLE:
        raise DeployError("with the strategy `single` no zone has a tunnel of its own")
    operations.proof(
        name="Each zone is reached by its own tunnel",
        script=script(tunnels, PATIENCE),
        quick_script=script(tunnels, 0),
        judge=printed,
        complaint="a zone is not reached by its own tunnel",
    )


def script(tunnels: list[Tunnel], patience: int) -> str:
    """A shell script that prints a line for each zone whose packets take another way."""
    return "\n".join(
        [
            _HOME.replace("PATIENCE", str(patience)).replace("MONITOR", paths.MONITOR),
            *(f"home {tunnel.zone} {tunnel.beyond} {tunnel.nat_address} &" for tunnel in tunnels),
            "wait",
        ]
    )


# A packet with TTL 1, routed as a new connection: the first NAT answers with Time exceeded, its kernel once a second at
# most.
_HOME = """
home() {
    deadline=$(( $(date +%s) + PATIENCE ))
    until said=$(LC_ALL=C ping -n -c 1 -W 1 -t 1 "$2" 2>&1); echo "$said" | grep -q "^From $3 .*Time to live"; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            hop=$(echo "$said" | sed -n 's/^From \\([0-9.]*\\) .*Time to live.*/\\1/p')
            echo "$1: new connections go through ${hop:-no tunnel}, not through $3, its own NAT." \
                "Type on the office router: MONITOR show; for a drained zone: ./vpc undrain $1"
            return
        fi
        sleep 0.5
    done
}
"""
