"""The ssh_config that is printed from a site, read back by ssh itself."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given

from tests.command.typing import Type
from tests.conftest import EXAMPLE_SITE
from tests.site.strategies import Data, sites
from vpc_openvpn.command.ssh_config import text
from vpc_openvpn.site.load import SiteError, load
from vpc_openvpn.site.model import Site
from vpc_openvpn.site.plan import plan


def read_by_ssh(config: Path, *words: str) -> dict[str, str]:
    done = subprocess.run(["ssh", "-F", config, "-G", *words], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_ssh_finds_every_host_and_jumps_over_any_nat(tmp_path: Path) -> None:
    config = tmp_path / "vpc.config"
    config.write_text(text(plan(load(EXAMPLE_SITE))))

    nat = read_by_ssh(config, "nat-us-east-1b")
    assert (nat["hostname"], nat["user"], nat["port"]) == ("198.51.100.12", "admin", "22")
    assert nat["userknownhostsfile"] == str(EXAMPLE_SITE.parent / "known_hosts")
    assert read_by_ssh(config, "office")["hostname"] == "192.168.50.1"
    [advice] = [line for line in config.read_text().splitlines() if line.endswith(" 10.0.21.10")]
    words = advice.partition(": ssh ")[2].split()
    assert read_by_ssh(config, *words)["proxyjump"] == "nat-us-east-1b"


@pytest.mark.attack
@pytest.mark.parametrize("folder", ["my site", "a\\b", "100%h #1", "it's $(touch pwned) $HOME `id`", "Büro"])
def test_a_folder_of_any_name_is_one_word(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    place.mkdir()
    site = place / "site.yml"
    site.write_text("ssh: {key: the key}\n" + EXAMPLE_SITE.read_text())
    config = tmp_path / "vpc.config"
    config.write_text(text(plan(load(site))))
    nat = read_by_ssh(config, "nat-us-east-1b")
    assert nat["userknownhostsfile"].replace("%%", "%") == str(place / "known_hosts")
    assert nat["identityfile"].replace("%%", "%") == str(place / "the key")
    assert "proxycommand" not in nat


@pytest.mark.attack
@pytest.mark.parametrize("folder", ['a"b', "a\nProxyCommand touch pwned", "${HOME}", "a\tb"])
def test_a_folder_that_ssh_cannot_name_is_refused(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    place.mkdir()
    (place / "site.yml").write_text(EXAMPLE_SITE.read_text())
    with pytest.raises(SiteError, match="No ssh_config can name the file"):
        text(plan(load(place / "site.yml")))


@given(sites())
def test_every_site_has_an_ssh_config(data: Data) -> None:
    assert "Host office\n" in text(plan(Site.model_validate(data)))


def test_the_ssh_config_of_the_site_is_printed(vpc: Type) -> None:
    assert vpc("ssh-config").out == text(plan(load(EXAMPLE_SITE)))


def test_a_wrong_site_is_reported(vpc: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", str(tmp_path / "nowhere.yml"))
    said = vpc("ssh-config")
    assert said.status == 1
    assert "there is no such file" in said.err
