"""The proof: what a desk needs, seen on each host before a deploy says success. docs/proof.md says what that comes to.

A host is asked in one remote command: its role's questions (`templates/*/proof.sh`), one call each. `diagnosis` says
what its answers mean.
"""

from functools import partial
from shlex import quote

from tasks import paths
from tasks.firewall import ROUTE_PROTOCOLS
from templates import text
from vpc_openvpn.diagnosis import nat, office
from vpc_openvpn.diagnosis.findings import Findings
from vpc_openvpn.remote import operations
from vpc_openvpn.site.plan import SINGLE, Connection, HostPlan, NatPlan, OfficePlan, Tunnel

PATIENCE = 20  # seconds for a tunnel that was just started; a pair takes 1 to 3


def prove(plan: HostPlan) -> None:
    """Send packets as a desk would and wait for their answers; what fails is named with its cause."""
    operations.proof(
        name="Packets cross every tunnel",
        script=script(plan, PATIENCE),
        quick_script=script(plan, 0),
        judge=partial(judge, plan),
        complaint="packets do not cross",
    )


def judge(plan: HostPlan, output: str, *, patient: bool) -> Findings:
    """What the answers to `script` mean. `patient`: the script has waited for what needs time."""
    if isinstance(plan, OfficePlan):
        return office.judge(plan, output, ROUTE_PROTOCOLS, patient=patient)
    return nat.judge(plan, output, ROUTE_PROTOCOLS)


def script(plan: HostPlan, patience: int) -> str:
    """The shell script that asks all that there is to ask of a host; for at most so many seconds where it may wait."""
    calls = _office_calls(plan) if isinstance(plan, OfficePlan) else _nat_calls(plan)
    return "\n".join([_asking(plan, patience), *calls, "wait", "holds"])


def crossing(plan: HostPlan, zone: str, patience: int) -> str:
    """A shell script that prints why packets do not cross the tunnel of one zone; nothing if they cross."""
    if isinstance(plan, NatPlan):
        call = _cross_nat(plan) if plan.strategy != SINGLE else "true"
    else:
        call = _cross_office(plan.connection_to(zone))
    return f"{_asking(plan, patience)}\n{call} | sed 's/^wrong //'"


def _asking(plan: HostPlan, patience: int) -> str:
    return f"patience={patience}\n{text('any/proof.sh')}\n{text(f'{plan.role}/proof.sh')}"


def _call(*words: object) -> str:
    return " ".join(quote(str(word)) for word in words)


# --- the office router ----------------------------------------------------------------------------------------------


def _office_calls(plan: OfficePlan) -> list[str]:
    # A desk has one of the last addresses of its network; the router has at most two of them.
    lans = [
        _call("lan", lan, *(lan[-2 - each] for each in range(3) if lan.num_addresses > each + 1)) for lan in plan.lans
    ]
    names = f"drained={paths.DRAINED} monitor={paths.MONITOR} socket={paths.BIRD_SOCKET}"
    return [names, *lans, *(_connection(plan, connection) for connection in plan.connections)]


def _connection(plan: OfficePlan, connection: Connection) -> str:
    """Its tunnel is asked first, and then each of its zones, beside the other connections."""
    first = connection.tunnels[0]
    own = "" if plan.strategy == SINGLE else first.office_address
    tunnel = _call(
        "tunnel",
        *_ends(connection),
        first.mtu,
        # Under `single` whichever NAT is active answers, as it would for any zone.
        *(first.nat_host, own, first.beyond),
        *(tunnel.nat_address for tunnel in connection.tunnels),
    )
    zones = " ".join(f"at_once {_zone(plan, connection, each)};" for each in connection.tunnels)
    return f"asks() {{ {tunnel} || return; {zones} wait; }}\nat_once asks"


def _zone(plan: OfficePlan, connection: Connection, tunnel: Tunnel) -> str:
    single = plan.strategy == SINGLE
    others = [check.others for check in plan.health_checks if check.tunnel == tunnel]
    return _call(
        "zone",
        *(tunnel.zone, connection.interface),
        "" if single else tunnel.office_address,
        tunnel.beyond,
        plan.probes.get(tunnel.zone, ""),
        *(other.office_address for each in others for other in each),
    )


def _ends(connection: Connection) -> tuple[str, str, str]:
    who = connection.tunnel.nat_host if len(connection.tunnels) == 1 else "any NAT"
    return connection.interface, f"openvpn-client@{connection.name}", who


def _cross_office(connection: Connection) -> str:
    return _call("cross", *_ends(connection), *(tunnel.nat_address for tunnel in connection.tunnels))


# --- a NAT ----------------------------------------------------------------------------------------------------------


def _nat_calls(plan: NatPlan) -> list[str]:
    # Under `single` the office is connected to one of the NATs, and not to the others.
    calls = [] if plan.strategy == SINGLE else [f"at_once {_cross_nat(plan)}"]
    calls.append(_call("forwarding"))
    desk, there = plan.lans[0][-2], plan.tunnel.beyond
    calls.append(_call("way", "desk", desk, there, plan.tunnel.nat_interface))
    if plan.private_subnets:
        calls.append(_call("way", "private", plan.private_subnets[0][4], nat.OUTSIDE))
        calls.append(f"at_once {_call('leaves', *plan.office_addresses)}")
    return calls


def _cross_nat(plan: NatPlan) -> str:
    tunnel = plan.tunnel
    return _call("cross", tunnel.nat_interface, "openvpn-server@office", "the office", tunnel.office_address)
