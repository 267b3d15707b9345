"""The proof: a deploy that says success has seen a packet cross every tunnel of the host, and the NAT forward it."""

from remote import operations
from tasks import paths, tunnels
from topology.plan import HostPlan, OfficePlan, Tunnel

PATIENCE = 20  # seconds for a tunnel that was just started; a pair takes 1 to 3


def prove(plan: HostPlan) -> None:
    """Send packets through each tunnel and wait for the far side's answers; what fails is named with its cause."""
    operations.proof(
        name="Packets cross every tunnel",
        script=script(plan, PATIENCE),
        quick_script=script(plan, 0),
        complaint="packets do not cross",
    )


def script(plan: HostPlan, patience: int) -> str:
    """A shell script that prints a line for each thing that keeps packets from crossing; nothing if they cross."""
    checks = [_CROSS.replace("PATIENCE", str(patience))]
    if isinstance(plan, OfficePlan):
        for tunnel in plan.tunnels:
            unit = f"openvpn-client@{tunnels.OFFICE_PREFIX}{tunnel.zone}"
            checks.append(
                _at_once(
                    f"cross {tunnel.office_interface} {tunnel.nat_address} {unit} {tunnel.nat_host}"
                    f" && forwards {tunnel.office_interface} {_inside(tunnel)} {tunnel.nat_host}"
                )
            )
    else:
        tunnel = plan.tunnel
        checks.append(f"cross {tunnel.nat_interface} {tunnel.office_address} openvpn-server@office the office")
        if plan.private_subnets:
            checks.append(_EGRESS)
    return "\n".join([*checks, "wait"])


def _at_once(check: str) -> str:
    """Run `check` beside the others, and print what it says in one piece."""
    return f'{{ said=$({check}); [ -z "$said" ] || echo "$said"; }} &'


def _inside(tunnel: Tunnel) -> str:
    """An address beyond the NAT. Nobody needs to have it: the packet ends at the NAT."""
    return str(tunnel.subnets[-1][4])


# `cross` sees a packet go and its answer come back. `forwards` sends one that may only make one hop: a host that
# forwards sends back "time to live exceeded", one that does not forward says nothing.
_CROSS = """
cross() {
    interface=$1 far=$2 unit=$3; shift 3
    deadline=$(( $(date +%s) + PATIENCE ))
    until ping -q -c 1 -W 1 -I "$interface" "$far" >/dev/null 2>&1; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "no answer from $far ($*) through $interface; $unit is $(systemctl is-active "$unit"), and says:"
            journalctl --unit "$unit" --identifier openvpn -n 8 --no-pager --output cat 2>/dev/null | sed 's/^/    /'
            return 1
        fi
        sleep 0.2
    done
}
forwards() {
    for attempt in 1 2 3; do
        LC_ALL=C ping -n -c 1 -W 1 -t 1 -I "$1" "$2" 2>/dev/null | grep -q 'Time to live exceeded' && return
    done
    echo "$3 answers through its tunnel but does not forward towards $2: is its net.ipv4.ip_forward 1?"
}
"""
_EGRESS = f"""
[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || echo "net.ipv4.ip_forward is not 1"
{paths.FIREWALL_LOADER} show | grep -q MASQUERADE || echo "no rule masquerades the private subnets towards the internet"
"""
