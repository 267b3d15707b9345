"""Files of a host whose templates mirror where they land."""

from templates import render
from vpc_openvpn.remote.files import File


def view(path: str, folder: str, mode: str = "644", **values: object) -> File:
    """The file `path`, from its template below `folder` of `templates/`: `any`, or a role."""
    return File(path, render(f"{folder}{path}.j2", **values), mode)
