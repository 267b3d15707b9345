"""Operations of pyinfra's: they ask a host, and have it changed where an effect says so.

Nothing here depends on what an earlier operation of the same run did, but for the answer to one question about all
effects, and for a rollout, which is one object (`rollout.Rollout`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from hashlib import sha256
from typing import ParamSpec, Protocol

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.exceptions import DeployError

from vpc_openvpn.remote.effects import Commands, Effect, Service, failure, remind, restart
from vpc_openvpn.remote.facts import HostState, Probe, State, UnansweredError, ask, made_of
from vpc_openvpn.remote.files import announce
from vpc_openvpn.remote.lock import Locks, RefusedError
from vpc_openvpn.remote.per_run import of_run
from vpc_openvpn.remote.rollout import Rollout
from vpc_openvpn.text import printable

P = ParamSpec("P")


def careful(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """An operation that ends, before it changes anything, on a host that does not answer a question, or that was locked
    and is no more.
    """

    @operation()
    @wraps(function)
    def asking(*args: P.args, **kwargs: P.kwargs) -> Commands:
        if state.is_executing and (complaint := of_run(Locks).lost(host)):
            yield failure(complaint)
            return
        changed = False
        try:
            for command in function(*args, **kwargs):
                changed = True
                yield command
        except UnansweredError as error:
            if state.is_executing:
                yield failure(str(error))
            elif host not in state.failed_hosts:
                host.log_styled(printable(str(error)), fg="red", log_func=logger.error)
                state.fail_hosts({host.inventory.get_host(host.name)})
        else:
            if not changed:
                host.noop("so already")

    return asking


class Known(dict[str, State]):
    """What hosts have answered, by name, and still holds."""


def look(lock: str, effects: Sequence[Effect]) -> State:
    """How the host is, as far as `effects` ask: what `converge` then starts from.

    A run that shows no plan and asks for no consent locks the host at once (by the file `lock`), so that what it sees
    holds when it acts. Raises DeployError, which ends the run before any host is changed, where another run has the
    host, or where it does not answer.
    """
    question = _all_of(effects)
    try:
        now = ask(question) if state.should_check_for_changes() else of_run(Locks).hold(host, lock, question)
    except RefusedError as error:
        raise DeployError(f"{host.name}: {error}") from None
    of_run(Known)[host.name] = now
    return now


def converge(lock: str, effects: Sequence[Effect]) -> None:
    """Bring each of the effects about, in order, on a host that `look` has looked at, while it is locked."""
    locked(name="No other deploy is under way", file=lock, question=_all_of(effects))
    all_locked(name="Nor is one on the other hosts")
    for number, effect in host.loop(list(enumerate(effects))):
        brought_about(name=effect.name, effect=effect, ahead=effects[number + 1 :])


@careful
def locked(file: str, question: HostState) -> Commands:
    """No other run works on this host: it is locked until this run ends, however it ends. It may have changed while the
    plan was read, so it is asked again.
    """
    locks = of_run(Locks)
    if not state.is_executing or host.name in locks.held:
        return
    try:
        of_run(Known)[host.name] = locks.hold(host, file, question)
    except RefusedError as error:
        yield failure(str(error))


@careful
def all_locked() -> Commands:
    """Nor does one on another host of this run. Follows `locked`: a run that is refused one host gives up them all."""
    locks = of_run(Locks)
    if state.is_executing and locks.refused:
        locks.give_way(host)
        yield failure(f"{locks.refused}, on another of these hosts. Nothing was changed")


@careful
def brought_about(effect: Effect, ahead: Sequence[Effect]) -> Commands:
    """One effect; `ahead` are those that follow. Where it disturbs what is known of the host, that is asked again."""
    known = of_run(Known)
    if host.name not in known:
        known[host.name] = ask(_all_of([effect, *ahead]))
    changed = False
    for command in effect.commands(effect.question.of(known[host.name])):
        changed = True
        yield command
    if changed and effect.disturbs:
        known.pop(host.name, None)


def _all_of(effects: Sequence[Effect]) -> HostState:
    return HostState().and_(effect.question for effect in effects)


@careful
def left(file: str, line: str) -> Commands:
    """What a run that has come this far leaves on the host, which it has locked: `line`, in `file`. It is no change."""
    if state.is_executing:
        of_run(Locks).leave(host, file, line)
    yield from ()


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
def beside(
    group: str,
    units: Mapping[str, str] | None,
    script: str,
    question: str = "",
    objection: Callable[[str], str] | None = None,
    always: bool = False,
) -> Commands:
    """Around the restarts of a `group`: run the shell script `script`, which prints what is wrong, where one of
    `units`, by host's name, is restarted in this run; where there are none, in any run.

    It is not run where `objection` finds a reason against it in what the commands `question` print. Where something is
    wrong this host fails, and nothing is restarted any more in this run, on any host; then, too, a script runs that is
    to run `always`. Call it on every host, with an empty script where the host has no part in it.
    """
    rollout = of_run(Rollout)
    concerned = units is None or any(unit in rollout.outdated.get(name, ()) for name, unit in units.items())
    if not script or not state.is_executing or not concerned or (rollout.failed and not always):
        return
    wrong = objection(ask(Probe(question))) if objection else ""
    wrong = wrong or ask(Probe(script)).strip()
    if wrong:
        rollout.failed = rollout.failed or group
        yield failure(f"{group}: {wrong}")


@careful
def switched(path: str, present: bool, command: str, passing: str = "") -> Commands:
    """A state that a host keeps in the file `path`, and that `command` switches: there or not, as `present` says. With
    the text `passing` the file is there for a while; `command` makes it one that is there to stay.
    """
    found = ask(HostState(files=[path])).files.get(path)
    stays = found is not None and not (passing and found.sha256 == sha256(passing.encode()).hexdigest())
    if stays if present else found is None:
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
    said = ask(Probe(script if patient else quick_script))
    found = made_of(lambda: judge(said, patient=patient))
    for notice in found.unproved:
        remind(notice)
    if found.wrong:
        causes = "\n".join(found.wrong)
        announce(f"Fails now: {complaint}", printable(causes).splitlines())
        yield failure(f"{complaint}:\n{causes}")
