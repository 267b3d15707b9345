"""Operations of pyinfra's: they ask a host, and have it changed where an effect says so.

Nothing here depends on what an earlier operation of the same run did, but for the answer to one question about all
effects, and for a rollout, which is one object (`rollout.Rollout`).
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, Protocol

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.api.arguments_typed import PyinfraOperation

from vpc_openvpn.remote.effects import Commands, Effect, Service, failure, remind, restart
from vpc_openvpn.remote.facts import HostState, Probe, State, UnansweredError, ask
from vpc_openvpn.remote.files import announce
from vpc_openvpn.remote.lock import Locks
from vpc_openvpn.remote.per_run import of_run
from vpc_openvpn.remote.rollout import Rollout

P = ParamSpec("P")


def careful(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """An operation that ends, before it changes anything, on a host that does not answer a question."""

    @operation()
    @wraps(function)
    def asking(*args: P.args, **kwargs: P.kwargs) -> Commands:
        changed = False
        try:
            for command in function(*args, **kwargs):
                changed = True
                yield command
        except UnansweredError as error:
            if state.is_executing:
                yield failure(str(error))
            elif host not in state.failed_hosts:
                host.log_styled(str(error), fg="red", log_func=logger.error)
                state.fail_hosts({host.inventory.get_host(host.name)})
        else:
            if not changed:
                host.noop("so already")

    return asking


@careful
def locked(file: str) -> Commands:
    """No other run works on this host: it is locked (by `file`) until this run ends, however it ends."""
    if state.is_executing and (complaint := of_run(Locks).hold(host, file)):
        yield failure(complaint)


@careful
def all_locked() -> Commands:
    """Nor does one on another host of this run. Follows `locked`: a run that is refused one host gives up them all."""
    locks = of_run(Locks)
    if state.is_executing and locks.refused:
        locks.give_way(host)
        yield failure(f"{locks.refused}, on another of these hosts. Nothing was changed")


class Known(dict[str, State]):
    """What hosts have answered, by name, in the phase of the run that goes on: planning or executing."""


def converge(*effects: Effect) -> None:
    """Bring each of the effects about, in order. A host is asked about all of them at once."""
    questions = [effect.question for effect in effects]
    of_run(Known).pop(host.name, None)
    for number, effect in host.loop(list(enumerate(effects))):
        brought_about(name=effect.name, effect=effect, ahead=questions[number + 1 :], first=number == 0)


@careful
def brought_about(effect: Effect, ahead: Sequence[HostState], first: bool) -> Commands:
    """One effect; `ahead` are the questions of those that follow. The first one asks anew: between a plan and what is
    done the host may have changed, and only now is it locked.
    """
    known = of_run(Known)
    if first:
        known.pop(host.name, None)
    if host.name not in known:
        known[host.name] = ask(effect.question.and_(ahead))
    changed = False
    for command in effect.commands(effect.question.of(known[host.name])):
        changed = True
        yield command
    if changed and effect.disturbs:
        known.pop(host.name, None)


@careful
def restarted(group: str, service: Service | None, crosses: str, answers: str, complaint: str) -> Commands:
    """Restart `service` if `Services` found that it runs something else than is on disk; go on when packets cross.

    Services of the same `group` are restarted one after the other, on whatever host: after each, if packets crossed
    before, the script `answers` waits until they cross again, and prints what keeps them from it. `crosses` is the
    same without the wait. The last one in the group waits for all; `answers` is empty for those that need not. Where
    packets do not cross again, nothing is restarted any more in this run, on any host.

    Call it on every host once per group, with no service where the host has none to restart: pyinfra runs operations in
    lock-step, so that hosts wait for each other.
    """
    rollout = of_run(Rollout)
    if service is not None and service.unit in rollout.outdated.get(host.name, ()):
        announce(f"Will restart {service.unit}")
        if rollout.failed:
            yield failure(f"{service.unit} was not restarted, because {rollout.failed} carries no packets since it was")
            return
        if state.is_executing and group not in rollout.begun and not ask(Probe(crosses)):
            rollout.begun.add(group)
        yield StringCommand(restart(service))
    if answers and group in rollout.begun:
        causes = ask(Probe(answers))
        if causes:
            rollout.failed = group
            yield failure(f"{complaint}:\n{causes.rstrip()}")
        else:
            rollout.begun.discard(group)


@careful
def switched(path: str, present: bool, command: str) -> Commands:
    """A state that a host keeps in the file `path`, and that `command` switches: there or not, as `present` says."""
    if (path in ask(HostState(files=[path])).files) == present:
        return
    yield StringCommand(command)


class Verdict(Protocol):
    """What a proof comes to: what is `wrong` fails the host, what is `unproved` is shown."""

    @property
    def wrong(self) -> Sequence[str]: ...
    @property
    def unproved(self) -> Sequence[str]: ...


@careful
def proof(script: str, quick_script: str, judge: Callable[..., Verdict], complaint: str) -> Commands:
    """Fail this host if what `script` prints, which waits for what needs time, means that something is wrong:
    `judge(output, patient=True)` says what. What it says is unproved is shown, and does not fail the host.

    A plan asks `quick_script` instead, which does not wait: what is broken now shows as work to be done.
    """
    patient = state.is_executing
    found = judge(ask(Probe(script if patient else quick_script)), patient=patient)
    for notice in found.unproved:
        remind(notice)
    if found.wrong:
        causes = "\n".join(found.wrong)
        announce(f"Fails now: {complaint}", causes.splitlines())
        yield failure(f"{complaint}:\n{causes}")
