"""Templates: views of a plan, in folders that mirror where they land (`any/` on every host, then one per role).

`render(template, **values)` gives the text of one file. An unknown name in a template is an error, never an empty one.
"""

from pathlib import Path

import jinja2

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # configuration files, not HTML
)


def render(template: str, **values: object) -> str:
    """The text of `template` (a path below `templates/`), whose first lines say where it came from.

    Raises `jinja2.TemplateError` where a template is missing or asks for a value that it was not given.
    """
    header = f"Managed by vpc-openvpn from templates/{template}; changes made here are lost."
    return _ENVIRONMENT.get_template(template).render(header=header, **values)


def text(path: str) -> str:
    """A file below `templates/` as it is."""
    return (Path(__file__).parent / path).read_text(encoding="utf-8")
