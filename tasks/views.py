"""Files of a host whose templates mirror where they land."""

from collections.abc import Sequence

from tasks import paths
from templates import render
from vpc_openvpn.remote.effects import Service
from vpc_openvpn.remote.files import File


def view(path: str, folder: str, mode: str = "644", **values: object) -> File:
    """The file `path`, from its template below `folder` of `templates/`: `any`, or a role."""
    return File(path, render(f"{folder}{path}.j2", **values), mode)


def daemon(unit: str, folder: str, inputs: Sequence[File], **values: object) -> tuple[Service, File]:
    """A unit of our own and its file, from the template below `folder`. It is started from `inputs` and from that file:
    where one of them is another, it has to be started anew.
    """
    path, record = f"{paths.UNITS}/{unit}", paths.record(unit)
    file = view(path, folder, "644", inputs=[*(each.path for each in inputs), path], record=record, **values)
    return Service(unit, (*inputs, file), record), file


def netfilter_sandbox() -> list[str]:
    """What a unit that changes netfilter has, as properties for systemd-run: such a unit has no file."""
    return [line for line in render("any/netfilter-sandbox.j2").splitlines() if not line.startswith("#")]
