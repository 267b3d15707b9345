"""The page as text: whole, alone, and what hosts say in it is not read as HTML. tests/pages lays it out in Chromium."""

import re
from base64 import b64encode
from datetime import UTC
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.command.typing import Type
from tests.status.reports import DEAD, NOW, PLANS, A, B, away, status, zone
from vpc_openvpn.status import model, page
from vpc_openvpn.status.gather import Hosts

VOID = {"meta", "path", "rect"}


class Read(HTMLParser):
    """A page's elements, with their attributes, and what is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def test_it_is_whole_alone_and_says_when_it_was_written() -> None:
    text = page.html(status({B: away(B, A, "its NAT is silent")}, nat_us_east_1b=DEAD), UTC)
    found = Read(text)
    assert found.open == []
    assert {tag for tag, _ in found.elements} & {"script", "link", "img", "iframe", "form", "a", "object"} == set()
    assert not re.search(r"(?i)url\(|@import|https?:|\bsrc=|\bhref=|\bon\w+=|\bstyle=", text)
    assert "As it was at 1970-01-12 13:46:40 UTC, when this page was written." in found.said
    assert 'datetime="1970-01-12T13:46:40+00:00"' in text
    for said in (A, B, "nat-us-east-1b", "./vpc rebuild us-east-1b", "no answer from 198.51.100.12 port 22"):
        assert said in found.said


def test_its_policy_admits_its_own_style_and_nothing_else() -> None:
    text = page.html(status())
    [style] = re.findall(r"<style>(.*)</style>", text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = next(each["content"] for _, each in Read(text).elements if "http-equiv" in each)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"


@given(
    st.text(min_size=1, max_size=40) | st.sampled_from(["<script>x</script>", '"><img src=x>', "</style>", "{{ 7*7 }}"])
)
def test_what_hosts_say_is_text(said: str) -> None:
    repair = {"what": said, "count": 1, "gone": said, "looping": True}
    hostile: dict[str, Any] = {"stopped": [said], "repairs": [repair], "deploy": {"by": said, "at": NOW, "release": 1}}
    found = status({A: zone(A, why=said, via=said), B: zone(B, state="lost", why=said)}, nat_us_east_1b=hostile)
    plain = status({A: zone(A, why="x", via="x"), B: zone(B, state="lost", why="x")}, nat_us_east_1b=hostile)
    read = Read(page.html(found))
    assert read.open == []
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in Read(page.html(plain)).elements]


def drawn(**changes: Any) -> page.Picture:
    found = status({B: away(B, A, changes.pop("why"), **changes)}, nat_us_east_1b=DEAD)
    return page.draw(found)


def test_a_detour_is_drawn_as_it_runs() -> None:
    picture = drawn(why="its NAT is silent")
    assert [(row.tunnel, row.home, row.nat) for row in picture.rows] == [("own", "own", ""), ("lost", "", "dead")]
    [way] = picture.ways
    assert (way.zone, way.state) == (B, "detour") and way.path.startswith(f"M60 {picture.rows[0].y + 5}H")


def test_a_drained_tunnel_is_not_drawn_as_dead() -> None:
    assert [row.tunnel for row in drawn(why="drained", drained_since=NOW).rows] == ["own", "drained"]


def test_nothing_is_drawn_through_a_zone_that_the_site_has_not() -> None:
    assert page.draw(status({B: away(B, "frankfurt", "its NAT is silent")})).ways == ()


def test_single_is_drawn_as_one_connection() -> None:
    one = model.Status(NOW, "single", "own", tuple(model.Zone(name, "own", A) for name in (A, B)), status().hosts)
    picture = page.draw(one)
    assert [row.tunnel for row in picture.rows] == ["own", "reserve"]
    assert [(way.zone, way.state) for way in picture.ways] == [(B, "own")]


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host is asked: nothing answers."""
    monkeypatch.setattr(Hosts, "answers", lambda _hosts: dict.fromkeys(PLANS, DEAD))
    monkeypatch.setattr("vpc_openvpn.ssh.host_keys.adopt", lambda: None)


def test_the_command_writes_it_in_one_piece(vpc: Type, unanswered: None, tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    file.write_text("before")
    said = vpc("status", "--html", str(file))
    assert said.status == 1 and said.out.startswith("It is unknown how both zones are reached: ")
    assert file.read_text().startswith("<!doctype html>") and [*tmp_path.iterdir()] == [file]


def test_a_page_that_cannot_be_written_is_an_error(vpc: Type, unanswered: None, tmp_path: Path) -> None:
    said = vpc("status", "--html", str(tmp_path / "nowhere" / "status.html"))
    assert (
        said.status == 1 and "cannot be written. " in said.err and "status.html: No such file or directory" in said.err
    )
