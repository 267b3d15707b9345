"""The proof: a deploy that says success has seen a packet cross every tunnel of the host, and the NAT forward it."""

from remote import operations
from tasks import paths
from topology.plan import SINGLE, Connection, HostPlan, NatPlan, OfficePlan

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
    checks = [_functions(patience)]
    if isinstance(plan, OfficePlan):
        for connection in plan.connections:
            # Under `single` whichever NAT is active answers, as it would for any zone.
            tunnel = connection.tunnels[0]
            forwards = f"forwards {connection.interface} {tunnel.beyond} {tunnel.nat_host}"
            checks.append(_at_once(f"{_cross_office(connection)} && {forwards}"))
    else:
        # Under `single` the office is connected to one of the NATs, and not to the others.
        checks += [_cross_nat(plan)] if plan.strategy != SINGLE else []
        checks += [_EGRESS] if plan.private_subnets else []
    return "\n".join([*checks, "wait"])


def crossing(plan: HostPlan, zone: str, patience: int) -> str:
    """The same, for the tunnel of one zone alone, and whether packets cross it, not what becomes of them then."""
    if isinstance(plan, NatPlan):
        return f"{_functions(patience)}\n{_cross_nat(plan) if plan.strategy != SINGLE else 'true'}"
    return f"{_functions(patience)}\n{_cross_office(plan.connection_to(zone))}"


def _functions(patience: int) -> str:
    return _CROSS.replace("PATIENCE", str(patience))


def _cross_nat(plan: NatPlan) -> str:
    tunnel = plan.tunnel
    return f'cross {tunnel.nat_interface} openvpn-server@office "the office" {tunnel.office_address}'


def _cross_office(connection: Connection) -> str:
    who = connection.tunnel.nat_host if len(connection.tunnels) == 1 else "any NAT"
    addresses = " ".join(str(tunnel.nat_address) for tunnel in connection.tunnels)
    return f'cross {connection.interface} openvpn-client@{connection.name} "{who}" {addresses}'


def _at_once(check: str) -> str:
    """Run `check` beside the others, and print what it says in one piece."""
    return f'{{ said=$({check}); [ -z "$said" ] || echo "$said"; }} &'


# `cross` sees a packet go and its answer come back. `forwards` sends one that may only make one hop: a host that
# forwards sends back "time to live exceeded", one that does not forward says nothing. Nor does one that has just told
# too many, or that is short of CPU: hence its patience, too.
_CROSS = """
cross() {
    interface=$1 unit=$2 who=$3; shift 3
    patiently 1 PATIENCE one_answers "$@" && return
    echo "no answer from $* ($who) through $interface; $unit is $(systemctl is-active "$unit"), and says:"
    journalctl --unit "$unit" --identifier openvpn -n 8 --no-pager --output cat 2>/dev/null | sed 's/^/    /'
    return 1
}
one_answers() {
    for far in "$@"; do
        ping -q -c 1 -W 1 -I "$interface" "$far" >/dev/null 2>&1 && return
    done
    return 1
}
forwards() {
    patiently 3 $((PATIENCE / 2)) one_hop_is_told "$1" "$2" ||
        echo "$3 answers through its tunnel but does not forward towards $2: is its net.ipv4.ip_forward 1?"
}
one_hop_is_told() {
    LC_ALL=C ping -n -c 1 -W 1 -t 1 -I "$1" "$2" 2>/dev/null | grep -q 'Time to live exceeded'
}
patiently() { # patiently TRIES SECONDS COMMAND…: so many tries at least, and for so long, until it succeeds
    tries=$1 deadline=$(( $(date +%s) + $2 )); shift 2
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}
"""
_EGRESS = f"""
[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || echo "net.ipv4.ip_forward is not 1"
{paths.FIREWALL_LOADER} show | grep -q MASQUERADE || echo "no rule masquerades the private subnets towards the internet"
"""
