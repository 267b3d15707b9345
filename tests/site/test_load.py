"""Finding and reading the site file: what is there, what is not, and what only looks like a site."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EXAMPLE_SITE
from tests.site.strategies import Data, sites
from vpc_openvpn.site.load import ROOT, SiteError, load, site_path
from vpc_openvpn.site.model import Alerts
from vpc_openvpn.site.plan import plan


def report_of(path: Path) -> str:
    with pytest.raises(SiteError) as refused:
        load(path)
    return str(refused.value)


def is_refused(path: Path) -> None:
    """With a report that names the file and at least one thing that is wrong with it."""
    header, *entries = report_of(path).splitlines()
    assert header.startswith(f"{path}: ")
    assert entries


def test_the_example_is_a_site() -> None:
    assert [zone.name for zone in load(EXAMPLE_SITE).zones] == ["us-east-1a", "us-east-1b"]


def test_a_list_of_networks_may_have_either_name(tmp_path: Path) -> None:
    sites = []
    for line in ("network: [10.0.0.0/16, 100.64.0.0/16]", "networks: [10.0.0.0/16, 100.64.0.0/16]"):
        site = tmp_path / "site.yml"
        text = EXAMPLE_SITE.read_text()
        site.write_text(re.sub(r"^  network: 10\.0\.0\.0/16", f"  {line}", text, flags=re.MULTILINE))
        sites.append(load(site))
    assert sites[0] == sites[1] and len(sites[0].vpc.network) == 2


def test_the_examples_optional_lines_are_the_defaults(tmp_path: Path) -> None:
    """Each may be uncommented as it stands, and says what holds without it."""
    optional = []
    for line in EXAMPLE_SITE.read_text().splitlines():
        before, mark, after = line.partition("# ")
        is_key = (
            mark and not before.strip() and after.split("#")[0].strip().partition(":")[0].replace("_", "").isalpha()
        )
        optional.append(before + after if is_key and ":" in after.split("#")[0] else line)
    full = tmp_path / "site.yml"
    full.write_text("\n".join(optional))

    given, default = load(full), load(EXAMPLE_SITE)

    assert given.ssh.key is not None
    assert given.vpc.resolver == default.vpc.network[0][2]
    assert given.tunnels == default.tunnels
    assert given.strategy == default.strategy
    assert given.metrics == default.metrics
    assert given.alerts is not None and default.alerts is None
    without = Alerts(command=given.alerts.command)
    assert (given.alerts.after, given.alerts.identities) == (without.after, without.identities)
    first, same = given.zones[0], default.zones[0]
    assert (first.number, first.interface, first.tunnel.port) == (
        same.number,
        same.interface,
        same.tunnel.port,
    )
    assert first.nat.ssh.host == str(same.nat.public_address)
    assert (first.nat.ssh.user, first.nat.ssh.port) == (same.nat.ssh.user, same.nat.ssh.port)


def test_the_variable_site_names_the_site_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SITE", "lab/site.yml")
    assert site_path() == Path("lab/site.yml")

    monkeypatch.setenv("SITE", "")
    assert site_path() == ROOT / "site.yml"

    monkeypatch.chdir(ROOT)
    assert site_path() == Path("site.yml")


def test_a_missing_site_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert report_of(Path("mine.yml")) == (
        "mine.yml: 1 error\n"
        "  there is no such file\n"
        "    make one from the example: cp site.example.yml mine.yml\n"
        "    or use another: SITE=path/to/site.yml"
    )


def test_a_directory_as_site_file_is_an_error(tmp_path: Path) -> None:
    assert report_of(tmp_path) == (
        f"{tmp_path}: 1 error\n  is a directory\n    name the file in it: SITE={tmp_path}/site.yml"
    )


def test_a_path_through_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be read: Not a directory" in report_of(tmp_path / "file" / "site.yml")


def test_values_keep_their_spelling(tmp_path: Path) -> None:
    """YAML 1.1 would read a zone `no` as false and a port 0o17 or 1_194 as a number."""
    example = EXAMPLE_SITE.read_text()
    site = tmp_path / "site.yml"
    site.write_text(example.replace("name: us-east-1a", "name: no").replace("us-east-1b", "1b"))
    assert [zone.name for zone in load(site).zones] == ["no", "1b"]

    site.write_text(example.replace("# strategy: per-zone", "tunnels: {mtu: 1_400}"))
    assert "tunnels.mtu: 1_400\n    is not a whole number" in report_of(site)


def test_file_names_are_relative_to_the_site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/operator")
    (tmp_path / "sites").mkdir()
    example = EXAMPLE_SITE.read_text()
    Path("sites/one.yml").write_text(example + "\nssh: {key: ~/.ssh/key}\n")

    ssh = load(Path("sites/one.yml")).ssh

    assert ssh.key == Path("/home/operator/.ssh/key")
    assert ssh.known_hosts == tmp_path / "sites/known_hosts"


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    site = tmp_path / "site.yml"
    site.write_bytes(b"\xef\xbb\xbf" + EXAMPLE_SITE.read_bytes())
    assert load(site)


# Drawn from all of Unicode, texts would take a second to prepare.
texts = st.text("aZ09-_./:~#*&!<>[]{},'\"|?%@` \n\t\\\0éß٣²\u2028\ufeff\U0001f512\ud800")
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "255.255.255.255/32", "10.200.0.0/31", "10.0.0.1", "us-east-1a"])
    | st.sampled_from(["~", "a:b:c", "é", "fe80::1%eth0", "1.2.3.4/-1", "\x00", "²", "٣", "0", "-", "nat-"])
    | st.dates()
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3))


@st.composite
def damaged(draw: st.DrawFn) -> Data:
    """A valid site of which one to four parts are gone, or are anything at all."""
    site = copy.deepcopy(draw(sites()))
    for _ in range(draw(st.integers(1, 4))):
        at: Any = site
        while True:
            key = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
            if not (isinstance(at[key], (dict, list)) and at[key] and draw(st.booleans())):
                break
            at = at[key]
        if draw(st.booleans()):
            at[key] = draw(values)
        else:
            del at[key]
        if not site:
            break
    return site


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site") / "site.yml"


@given(sites())
def test_valid_sites_are_accepted(file: Path, site: Data) -> None:
    file.write_text(yaml.safe_dump(site))
    assert [zone.name for zone in load(file).zones] == [zone["name"] for zone in site["zones"]]


@given(damaged())
def test_a_damaged_site_is_refused_or_can_be_planned(file: Path, site: Data) -> None:
    """It may have lost what is optional, and gained what is allowed."""
    file.write_text(yaml.safe_dump(site, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    try:
        loaded = load(file)
    except SiteError:
        is_refused(file)
    else:
        assert len(plan(loaded)) == 1 + len(loaded.zones)


@given(
    texts | st.lists(st.sampled_from([*"{}[]:,-&*!|>'\"%@`#?~ \n\ta", ": ", "\n  ", "- ", '"\\U', "<<"])).map("".join)
)
def test_text_without_a_site_is_refused(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    is_refused(file)


@pytest.mark.parametrize(
    "text", ["[" * 5000, "a: " * 3, '"\\UFFFFFFFF"', "&a [*a]", "!!int x", "!!timestamp x", "? [a]\n"]
)
def test_text_that_breaks_yaml_libraries_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    is_refused(file)
