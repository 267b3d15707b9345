"""Which release of the cookbook this is, by its change log."""

import re

from vpc_openvpn.site.load import ROOT

CHANGELOG = "CHANGELOG.md"


def version() -> str:
    """The newest release that the change log has; with `+` where there is something on top of it."""
    headings = re.findall(r"^## (\S+)", (ROOT / CHANGELOG).read_text(encoding="utf-8"), re.MULTILINE)
    released = [each for each in headings if each != "Unreleased"]
    latest = released[0] if released else "0"
    return f"{latest}+" if headings[:1] == ["Unreleased"] else latest
