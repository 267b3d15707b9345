"""What the operator's command hears of, and when, in simulated time."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from vpc_openvpn_monitor import alerts
from vpc_openvpn_monitor.alerts import DAY, FACTS, GRACE, MOST, TRIES, Memory, Seen
from vpc_openvpn_monitor.metrics import Repair

AFTER = 30.0
BEAT = 0.5


def zone(state: str, via: str = "", why: str = "") -> dict[str, Any]:
    """As the monitor writes one."""
    says = {"own": "by its own tunnel", "detour": f"by a detour over {via}: {why}", "lost": f"lost: {why}"}[state]
    return {"state": state, "via": via or None, "why": why or None, "since": 1795766190.5, "says": says}


OWN, LOST = zone("own", "a"), zone("lost", "", "its NAT is silent")
DETOUR = zone("detour", "b", "its NAT is silent")


@dataclass
class Router:
    """Its clock, what the monitor sees, and what the command has heard: `heard` has (seconds, event, subject)."""

    now: float = 1000.0
    zones: dict[str, dict[str, Any]] = field(default_factory=lambda: {"a": OWN, "b": OWN})
    works: bool = True  # the command
    known: bool = True  # what the monitor sees
    repairs: list[Repair] = field(default_factory=list)
    heard: list[tuple[float, str, str]] = field(default_factory=list)
    memory: Memory = field(default_factory=lambda: Memory(1000.0 - GRACE))

    def runs(self, seconds: float, **now: Any) -> None:
        """For so long, with these zones from now on."""
        self.zones = self.zones | now
        until = self.now + seconds
        while self.now < until:
            seen = alerts.zones({"zones": self.zones}, AFTER) if self.known else {}
            seen |= alerts.repairs(self.repairs)
            self.memory = alerts.step(self.memory, seen, () if self.known else ("zone",), self.now, "office")
            if first := alerts.due(self.memory, self.now):
                facts = first.facts
                subject = facts["VPC_OPENVPN_ZONE"] or facts["VPC_OPENVPN_WHAT"]
                self.heard.append((self.now - 1000.0, facts["VPC_OPENVPN_EVENT"], subject))
                self.memory = alerts.taken(self.memory, self.now, succeeded=self.works)
            self.now += BEAT

    def events(self) -> list[tuple[str, str]]:
        return [(event, subject) for _, event, subject in self.heard]


def test_a_detour_and_the_way_back_are_said_once_each() -> None:
    router = Router()
    router.runs(10)
    router.runs(100, a=DETOUR)
    router.runs(100, a=OWN)
    assert router.heard == [(40.0, "detour", "a"), (140.0, "back", "a")]


def test_a_restart_is_no_news() -> None:
    router = Router()
    for _ in range(5):
        router.runs(AFTER - 1, a=DETOUR)
        router.runs(3, a=OWN)
        router.runs(3, a=LOST)
        router.runs(20, a=OWN)
    assert router.heard == []


def test_a_lost_zone_is_said_soon() -> None:
    router = Router()
    router.runs(10, a=LOST)
    router.runs(60, a=DETOUR)
    router.runs(60, a=OWN)
    assert router.heard == [(5.0, "lost", "a"), (40.0, "detour", "a"), (100.0, "back", "a")]


def test_what_is_so_for_a_moment_is_not_said_on_the_way_to_something_else() -> None:
    router = Router()
    router.runs(27, a=DETOUR)
    router.runs(4, a=LOST)
    router.runs(60, a=DETOUR)
    assert router.heard == [(36.0, "detour", "a")]


def test_after_a_boot_nothing_is_said_until_tunnels_had_the_time_to_come_up() -> None:
    router = Router(memory=Memory(1000.0))
    router.runs(GRACE - 10, a=LOST, b=LOST)
    router.runs(100, b=OWN)
    assert router.heard == [(GRACE, "lost", "a")]


def test_a_restart_of_the_alerts_forgets_nothing_and_says_nothing_twice() -> None:
    router = Router()
    router.runs(20, a=DETOUR)
    router.memory = alerts.recalled(alerts.kept(router.memory), router.now)
    router.runs(20)
    router.memory = alerts.recalled(alerts.kept(router.memory), router.now)
    router.runs(100)
    assert router.heard == [(30.0, "detour", "a")]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"began": 1}'])
def test_a_memory_that_cannot_be_read_is_a_boot(text: str) -> None:
    assert alerts.recalled(text, 5.0) == Memory(5.0)


def test_while_the_monitor_is_silent_its_zones_are_as_they_were() -> None:
    router = Router()
    router.runs(40, a=DETOUR)
    router.known = False
    router.runs(500)
    router.known = True
    router.runs(100)
    assert router.heard == [(30.0, "detour", "a")]


def test_a_zone_that_leaves_the_site_is_forgotten() -> None:
    router = Router()
    router.runs(40, a=DETOUR)
    del router.zones["a"]
    router.runs(1)
    assert list(router.memory.subjects) == ["zone b"]


@pytest.mark.parametrize(("age", "event"), [(10.0, ""), (61.0, "monitor-silent")])
def test_a_monitor_that_says_nothing_is_said_to_be_silent(age: float, event: str) -> None:
    memory = alerts.step(Memory(0.0), alerts.monitor(age), ("zone",), 1000.0, "office")
    assert [each.facts["VPC_OPENVPN_EVENT"] for each in memory.waiting] == ([event] if event else [])
    back = alerts.step(memory, alerts.monitor(1.0), (), 1001.0, "office")
    assert [each.facts["VPC_OPENVPN_EVENT"] for each in back.waiting[1:]] == (["monitor-back"] if event else [])


def test_a_repair_that_does_not_last_is_said_and_so_is_its_end() -> None:
    router = Router(repairs=[Repair("firewall", 3, False, 5.0, "x")])
    router.runs(10)
    router.repairs = [Repair("firewall", 9, True, 9.0, "-A vpc-openvpn-input")]
    router.runs(10)
    router.repairs = [Repair("firewall", 12, False, 9.0)]
    router.runs(10)
    assert router.heard == [(10.0, "repair-loop", "firewall"), (20.0, "repair-over", "firewall")]


def test_a_repair_that_fails_is_said_unless_it_succeeds_soon() -> None:
    fails, done = Repair("firewall", 0, False, 5.0, "", "firewall load: no"), Repair("firewall", 1, False, 6.0)
    router = Router(repairs=[])
    router.runs(5)
    router.repairs = [fails]
    router.runs(1)
    router.repairs = [done]
    router.runs(60)
    assert router.heard == []
    router.repairs = [fails]
    router.runs(60)
    router.repairs = [done]
    router.runs(60)
    assert [event for _, event, _ in router.heard] == ["repair-failed", "repair-over"]


def test_an_identity_is_said_to_be_due_once() -> None:
    memory = Memory(0.0)
    for days in (364, 365, 366, 367):
        seen = alerts.identities({"office": 5 * DAY, "nat-a": days * DAY}, 365, (5 + days) * DAY)
        memory = alerts.step(memory, seen, (), 1000.0 + days, "office")
    [event] = memory.waiting
    assert event.facts["VPC_OPENVPN_TEXT"] == "office: its identity is 366 days old, more than 365"
    assert event.facts["VPC_OPENVPN_WHAT"] == "office"


def test_a_command_that_fails_is_tried_again_and_then_given_up() -> None:
    router = Router(works=False)
    router.runs(300, a=DETOUR)
    first = 30.0
    assert router.heard == [(first + wait, "detour", "a") for wait in (0.0, TRIES[1], TRIES[1] + TRIES[2])]
    assert (router.memory.runs, router.memory.failures, router.memory.waiting) == (3, 3, ())
    router.works = True
    router.runs(100, a=OWN)
    assert router.events()[3:] == [("back", "a")]


def test_events_come_in_order_and_do_not_pile_up() -> None:
    router = Router(works=False)
    router.runs(40, a=DETOUR, b=LOST)
    assert router.events()[:1] == [("lost", "b")]
    assert len(router.memory.waiting) == 2
    loops = [Repair(f"tun-{number}", 1, True) for number in range(3 * MOST)]
    many = alerts.step(Memory(0.0), alerts.repairs(loops), (), 1000.0, "office")
    assert len(many.waiting) == MOST


def test_each_fact_is_set_printable_and_short() -> None:
    seen = {"zone a": Seen("lost", 0.0, {"ZONE": "a", "WHY": "x" * 1000, "TEXT": "two\nlines\x1b[0m"})}
    memory = alerts.step(Memory(0.0), seen, (), 1000.0, "office")
    facts = memory.waiting[0].facts
    assert facts.keys() == {f"VPC_OPENVPN_{name}" for name in FACTS}
    assert len(facts["VPC_OPENVPN_WHY"]) == 500 and facts["VPC_OPENVPN_TEXT"] == "two lines [0m"
    assert facts["VPC_OPENVPN_SITE"] == "office" and facts["VPC_OPENVPN_WHAT"] == ""


def test_facts_of_a_detour() -> None:
    facts = alerts.zones({"zones": {"a": DETOUR}}, AFTER)["zone a"].facts
    assert facts == {
        "ZONE": "a",
        "STATE": "detour",
        "WAY": "b",
        "SINCE": "1795766190",
        "WHY": "its NAT is silent",
        "TEXT": "a: by a detour over b: its NAT is silent",
    }
    assert alerts.zones({"zones": {"a": OWN}}, AFTER)["zone a"].facts["TEXT"] == "a: by its own tunnel again"


def test_a_memory_is_kept_whole() -> None:
    router = Router(works=False)
    router.runs(35, a=DETOUR, b=LOST)
    assert alerts.recalled(json.dumps(json.loads(alerts.kept(router.memory))), 5.0) == router.memory
