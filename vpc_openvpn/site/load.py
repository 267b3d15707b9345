"""Finds, reads and checks the site file. The only module of `site` that does I/O.

    site, plans = this_run()   # SITE=path, or site.yml in the repository's root
    site = load(path)

Either a sound `Site` or a `SiteError`, whose text is the whole report: all errors together, in file order.
"""

import difflib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vpc_openvpn.site import document, rules
from vpc_openvpn.site.document import Data
from vpc_openvpn.site.model import Alerts, Office, Section, Site, Tunnels, Vpc, Zone, refuse
from vpc_openvpn.site.plan import HostPlan, plan
from vpc_openvpn.site.problem import KeyPath, Problem, report, shown
from vpc_openvpn.site.rules import Parts

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "site.example.yml"


class SiteError(Exception):
    """The site file cannot be used. The text is the report for the user; nothing need be added to it."""


@cache
def this_run() -> tuple[Site, dict[str, HostPlan]]:
    """The site that this process is about and every host's plan, by the host's name. Read and planned once.

    Raises SiteError.
    """
    site = load()
    return site, plan(site)


def site_path() -> Path:
    """The site file: the environment's SITE, relative to the current directory, or site.yml in the root."""
    if given := os.environ.get("SITE"):
        return Path(given)
    return _from_here(ROOT / "site.yml")


def _from_here(path: Path) -> Path:
    """As the user may type it: relative to the current directory if it is below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def load(path: Path | None = None) -> Site:
    """The site in the file at `path` (default: `site_path()`). File names in it are made absolute.

    Raises SiteError, and nothing else, for whatever is wrong with the file or in it.
    """
    path = path or site_path()
    parsed = document.parse(_read(path))
    problems = list(parsed.problems)
    site = None
    if not (problems and parsed.data is None):
        data, plural = _singular(parsed.data)
        if not plural and data != parsed.data:
            problems.append(Problem((_VPC, _NETWORKS), "", "is there, and vpc.network is, too", "keep one of them"))
        site, found = _check(data, problems, path.parent)
        problems += map(_plural, found) if plural else found
    if problems or site is None:
        raise SiteError(report(str(path), problems, parsed.lines))
    return site


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        copy = f"cp {_from_here(ROOT / EXAMPLE)} {path}"
        instead = f"make one from the example: {copy}\nor use another: SITE=path/to/site.yml"
        problem = Problem((), "", "there is no such file", instead)
    except IsADirectoryError:
        problem = Problem((), "", "is a directory", f"name the file in it: SITE={path}/site.yml")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem((), f"line {line}", "is not UTF-8 text", "save the file as UTF-8")
    except OSError as error:
        problem = Problem((), "", f"cannot be read: {error.strerror}")
    raise SiteError(report(str(path), [problem], {}))


# Two names of one key: `vpc.networks`, for a list, and the first, which takes one network as well.
_VPC, _NETWORK, _NETWORKS = "vpc", "network", "networks"


def _singular(data: Data) -> tuple[Data, bool]:
    """The data with the key's first name, and whether it has the other."""
    vpc = data.get(_VPC) if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(vpc, dict) or _NETWORKS not in vpc:
        return data, False
    rest = {key: value for key, value in vpc.items() if key != _NETWORKS}
    return {**data, _VPC: {_NETWORK: vpc[_NETWORKS], **rest}}, _NETWORK not in vpc


def _plural(problem: Problem) -> Problem:
    """The problem, in the words of a file that has the other name."""
    path = problem.path
    if path[:2] == (_VPC, _NETWORK):
        path = (_VPC, _NETWORKS, *path[2:])
    why, instead = (text.replace("vpc.network", "vpc.networks") for text in (problem.why, problem.instead))
    return Problem(path, problem.value, why, instead.replace("write network:", "write networks:"))


def _check(data: Data, known: list[Problem], folder: Path) -> tuple[Site | None, list[Problem]]:
    """The site if its parts are sound, and all problems of the parts and between those that are sound."""
    if data is None:
        return None, [Problem((), "", "is empty", f"start from the example: {EXAMPLE}")]
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        return None, [Problem((), "", f"is {kind} where keys and values belong", f"see {EXAMPLE}")]
    context = {"resolve": lambda file: _absolute(file, folder)}
    try:
        site = Site.model_validate(data, context=context)
    except ValidationError as error:
        site = None
        structural = list(_problems(error, data))
    else:
        structural = []
    parts = _sound_parts(data, [*known, *structural], context)
    return site, [*structural, *rules.check(parts)]


def _absolute(file: Path, folder: Path) -> Path:
    try:
        return folder.absolute() / file.expanduser()
    except RuntimeError:
        raise refuse(f"is in a home directory that is not there: {file.parts[0]}", "write a full path") from None


# --- what pydantic found, in the words of the site file -----------------------------------------------------


def _problems(error: ValidationError, data: Data) -> Iterator[Problem]:
    errors = error.errors(include_url=False)
    misspelt = {_nearest(entry["loc"], data) for entry in errors if entry["type"] == "extra_forbidden"}
    for entry in errors:
        if entry["type"] == "missing" and entry["loc"] in misspelt:
            continue  # said already: did you mean …?
        yield _problem(entry, data)


def _problem(entry: ErrorDetails, data: Data) -> Problem:
    path = entry["loc"]
    if entry["type"] == "missing":
        state = "has no value" if path[-1] in _at(path[:-1], data) else "is missing"
        description = _section(path[:-1]).model_fields[str(path[-1])].description
        return Problem(path, "", f"{state}: {description}", _example(path))
    if entry["type"] == "extra_forbidden":
        meant = _nearest(path, data)
        hint = f"did you mean `{meant[-1]}`?" if meant else f"the keys here are {_section(path[:-1]).keys()}"
        return Problem(path, "", "is not a known key", hint)
    context: dict[str, Any] = entry.get("ctx", {})
    path = (*path, *context.get("at", ()))
    if isinstance(path[-1], int) and not isinstance(_at(path[:-1], data), list):
        path = path[:-1]  # one value where a list may stand: the model made a list of it
    return Problem(path, shown(_at(path, data)), entry["msg"], context.get("instead") or _example(path))


def _example(path: KeyPath) -> str:
    """What the value of a key may look like; empty for an item of a list."""
    field = _section(path[:-1]).model_fields.get(str(path[-1]))
    return f"write {path[-1]}: {field.examples[0]}" if field and field.examples else ""


def _at(path: KeyPath, data: Any) -> Any:
    """The value at a key path; None where there is nothing."""
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _section(path: KeyPath) -> type[Section]:
    """The model of the mapping at a key path: `("zones", 1, "nat")` → Nat."""
    section: type[Section] = Site
    for key in path:
        if isinstance(key, str):
            annotation = section.model_fields[key].annotation
            section = next(kind for kind in (annotation, *get_args(annotation)) if _is_section(kind))
    return section


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _nearest(path: KeyPath, data: Data) -> KeyPath:
    """The key that was probably meant by the unknown one at `path`: alike, and not given beside it."""
    *parent, key = path
    free = [name for name in _section(tuple(parent)).model_fields if name not in _at(tuple(parent), data)]
    matches = difflib.get_close_matches(str(key), free, n=1)
    return (*parent, matches[0]) if matches else ()


# --- rules on what is sound ---------------------------------------------------------------------------------


def _sound_parts(data: dict[str, Data], problems: list[Problem], context: dict[str, Any]) -> Parts:
    """The parts of the file that no problem touches, for the rules to compare.

    A part counts as touched when a key of the top level may be a misspelling of it.
    """
    touched = {problem.path[: 2 if problem.path[:1] == ("zones",) else 1] for problem in problems}
    touched |= {_nearest((key,), data) for key in data if key not in Site.model_fields}

    def sound(key: str) -> Data:
        return None if (key,) in touched else data.get(key)

    zones = sound("zones")
    listed = zones if isinstance(zones, list) else []
    return Parts(
        office=Office.model_validate(office, context=context) if (office := sound("office")) else None,
        vpc=Vpc.model_validate(vpc, context=context) if (vpc := sound("vpc")) else None,
        tunnels=None if ("tunnels",) in touched else Tunnels.model_validate(data.get("tunnels") or {}),
        zones={
            index: Zone.model_validate(zone, context=context)
            for index, zone in enumerate(listed)
            if ("zones", index) not in touched
        },
        alerts=Alerts.model_validate(alerts, context=context) if (alerts := sound("alerts")) else None,
        strategy=str(sound("strategy") or ""),
        zone_names=[str(zone["name"]) for zone in listed if isinstance(zone, dict) and zone.get("name")],
    )
