"""docs/images/status-desk.png and status-phone.png: python -m tests.pages.screenshots"""

import tempfile
from datetime import UTC
from pathlib import Path

from tests.pages.browser import browser
from tests.pages.statuses import sample
from vpc_openvpn.site.load import ROOT
from vpc_openvpn.status import page

IMAGES = ROOT / "docs/images"


def main() -> None:
    """The page of a site with four zones, one of them on a detour."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        file = Path(folder) / "status.html"
        file.write_text(page.html(sample(4), UTC), encoding="utf-8")
        chromium.open(file, 1000)
        chromium.picture(IMAGES / "status-desk.png", most=700)
        chromium.open(file, 390, dark=True)
        chromium.picture(IMAGES / "status-phone.png", most=840)


if __name__ == "__main__":
    main()
