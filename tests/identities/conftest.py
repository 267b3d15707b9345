from pathlib import Path

import pytest

from tests.identities.desk import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A desk with a site of two zones, a and b, and nothing else: no age identity, no store."""
    for variable in ("AGE_IDENTITY", "AGE_IDENTITY_FILE", "IDENTITIES"):
        monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "ann")
    site = tmp_path / "site" / "site.yml"
    site.parent.mkdir()
    monkeypatch.setenv("SITE", str(site))
    desk = Desk(site, site.parent / "identities", home / ".config/vpc-openvpn/age.key", capsys)
    desk.write_site("ab")
    return desk
