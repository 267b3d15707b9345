"""The page of `./vpc status --html`, as Chromium lays it out: on a phone and on a desk, of few zones and of many."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages.browser import Browser, browser
from tests.pages.statuses import names, sample
from vpc_openvpn.status import page

WIDTHS = {"phone": 390, "desk": 1280}
COLOURS = {"own": "rgb(26, 127, 55)", "detour": "rgb(154, 103, 0)", "lost": "rgb(207, 34, 46)"}
DARK = {"own": "rgb(63, 185, 80)", "detour": "rgb(210, 153, 34)", "lost": "rgb(248, 81, 73)"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def written(folder: Path, zones: int, *, well: bool = False) -> Path:
    file = folder / "status.html"
    file.write_text(page.html(sample(zones, well=well)), encoding="utf-8")
    return file


@pytest.mark.parametrize("zones", [1, 4, 16])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_it_fits_and_names_each_zone(chromium: Browser, tmp_path: Path, width: int, zones: int) -> None:
    chromium.open(written(tmp_path, zones), width)
    assert chromium.value("innerWidth") == width  # no page that the phone has made smaller
    assert chromium.value("document.documentElement.scrollWidth") <= width
    shown = chromium.value(
        "[...document.querySelectorAll('svg text.name, h3')].map(each => { const box = each.getBoundingClientRect();"
        " return [each.textContent, box.left, box.right, box.height] })"
    )
    assert all(0 <= left < right <= width and height >= 9 for _, left, right, height in shown), shown
    visible = [text for text, *_ in shown]
    assert all(visible.count(name) == 2 for name in names(zones)), visible  # in the picture and below it


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_names_and_words_stay_in_their_boxes(chromium: Browser, tmp_path: Path, width: int) -> None:
    chromium.open(written(tmp_path, 16), width)
    script = (
        "(() => { const boxes = [...document.querySelectorAll('rect.zone')].map(each => each.getBoundingClientRect());"
        " const texts = [...document.querySelectorAll('svg text')].filter(each => each.getAttribute('x') == '200');"
        " return texts.map(each => { const text = each.getBoundingClientRect(); return boxes.some(box => box.left <="
        " text.left && text.right <= box.right && box.top <= text.top + 1 && text.bottom <= box.bottom + 1) })})()"
    )
    inside = chromium.value(script)
    assert len(inside) == 32 and all(inside), inside


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_state_has_a_colour_and_a_pattern(chromium: Browser, tmp_path: Path, dark: bool) -> None:
    chromium.open(written(tmp_path, 16), 390, dark=dark)
    drawn = chromium.value(
        "[...document.querySelectorAll('path[data-zone]')].map(each => { const style = getComputedStyle(each);"
        " return [each.getAttribute('class').split(' ').pop(), style.stroke, style.strokeDasharray] })"
    )
    colours = DARK if dark else COLOURS
    patterns = {state: {dash for kind, _, dash in drawn if kind == state} for state in colours}
    assert {state: {colour for kind, colour, _ in drawn if kind == state} for state in colours} == {
        state: {colour} for state, colour in colours.items()
    }
    assert len({*map(frozenset, patterns.values())}) == 3  # they differ without colour, too
    background = chromium.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")


def test_a_detour_runs_along_the_tunnel_that_it_takes(chromium: Browser, tmp_path: Path) -> None:
    chromium.open(written(tmp_path, 4), 1280)
    first, second = names(4)[:2]
    box = "(each => { const box = each.getBoundingClientRect(); return [box.top, box.bottom] })"
    tunnel = chromium.value(f"{box}(document.querySelector('path.tunnel[data-zone=\"{first}\"]'))")
    top, bottom = chromium.value(f"{box}(document.querySelector('path.way[data-zone=\"{second}\"]'))")
    broken = chromium.value(f"{box}(document.querySelector('path.tunnel[data-zone=\"{second}\"]'))")
    assert abs(top - tunnel[0]) < 20 and top < bottom <= broken[1] + 5


def test_nothing_is_loaded_and_nothing_runs(chromium: Browser, tmp_path: Path) -> None:
    file = written(tmp_path, 1, well=True)
    hostile = "<script>document.title = 'ran'</script><img src='file:///etc/hostname' onerror='document.title = 1'>"
    file.write_text(file.read_text().replace("<h2>Zones", f"{hostile}<style>body {{ width: 9000px }}</style><h2>Zones"))
    chromium.open(file, 390)
    assert chromium.value("document.title") == "own – vpc-openvpn"
    assert chromium.value("document.images[0].naturalWidth") == 0
    assert chromium.value("document.documentElement.scrollWidth") <= 390
