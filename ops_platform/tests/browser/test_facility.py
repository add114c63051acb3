"""The facility's pages in a real browser: hall map, alarm console, point chart, sources."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from ops_platform.tests.browser.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SignIn = Callable[[str], Page]

FAULT = "leak-hall-1"
"""Raises one alarm within seconds and moves nothing else."""


@pytest.fixture
def leak(stack: Stack) -> Iterator[None]:
    """Water under the floor, until the test is over."""
    stack.plant("POST", "/faults", {"fault": FAULT})
    with stack.client("viewer") as client:
        stack.wait_until(
            lambda: client.get("/api/v1/alarms/?open=true&search=leak-1").json()["count"],
            what="the alarm",
            timeout_s=40,
        )
    yield
    stack.plant("DELETE", f"/faults/{FAULT}")


def test_it_draws_the_hall_live_and_in_four_layers(sign_in: SignIn, stack: Stack, shots) -> None:
    page = sign_in("viewer")
    page.goto(f"{stack.url}/hall/")
    expect(page).to_have_url(re.compile("/hall/hall-1/"))
    rack = page.locator("[data-unit='rack-1-03']")
    expect(rack.locator(".value")).to_have_text(re.compile(r"\d\d\.\d"), timeout=15_000)
    expect(page.locator("[data-kind].badge")).to_have_text("Live")
    layers = page.get_by_role("radiogroup", name="Layer")
    layers.get_by_text("Power", exact=True).click()
    expect(page.locator("[data-unit='pdu-a1'] .value")).to_have_text(re.compile(r"\d+"))
    assert page.locator(".feed").first.is_visible()
    layers.get_by_text("Network", exact=True).click()
    expect(page.locator(".link__text").first).to_have_text(re.compile(r"\d+ %"))
    assert not page.locator(".feed").first.is_visible()
    layers.get_by_text("Airflow", exact=True).click()
    expect(page).to_have_url(re.compile("layer=air"))
    expect(page.locator(".flow--cold").first).to_have_attribute(
        "stroke-width", re.compile(r"0\.[0-9]*[1-9]"), timeout=20_000
    )
    layers.get_by_text("Heat", exact=True).click()
    rack.click()
    panel = page.locator("[data-panel]")
    expect(panel.get_by_role("link", name="Rack page")).to_have_attribute(
        "href", "/racks/rack-1-03/"
    )
    expect(panel.get_by_role("row").filter(has_text="Inlet")).to_contain_text("°C")
    if shots:
        page.screenshot(path=shots / "hall.png")


def test_it_goes_back_in_time_and_on_into_the_prediction(
    sign_in: SignIn, stack: Stack, shots
) -> None:
    page = sign_in("viewer")
    page.goto(f"{stack.url}/hall/hall-1/")
    kind, clock = page.locator("[data-kind].badge"), page.locator("[data-time]")
    value = page.locator("[data-unit='rack-1-03'] .value")
    expect(value).to_have_text(re.compile(r"\d\d\.\d"), timeout=15_000)
    slider = page.get_by_role("slider", name="Time")
    page.locator("body").press("ArrowLeft")
    page.locator("body").press("ArrowLeft")
    expect(kind).to_have_text("Past")
    expect(value).to_have_text(re.compile(r"\d\d\.\d"))
    before = clock.inner_text()
    page.locator("[data-speed]").select_option("300")
    page.get_by_role("button", name="Play").click()
    expect(clock).not_to_have_text(before)
    # It plays on past now: from there on it is the twin's prediction, and says so.
    expect(kind).to_have_text(re.compile("Prediction"), timeout=20_000)
    page.get_by_role("button", name="Pause").click()
    expect(value).to_have_text(re.compile(r"\d\d\.\d"), timeout=20_000)
    page.locator("body").press("End")
    expect(kind).to_have_text(re.compile(r"Prediction, (29|30) min"))
    assert slider.input_value() == slider.get_attribute("max")
    if shots:
        page.screenshot(path=shots / "hall-ahead.png")
    page.locator("body").press("Home")
    expect(kind).to_have_text("Past")
    assert slider.input_value() == "0"
    page.locator("body").press("l")
    expect(kind).to_have_text("Live")


def test_it_plays_back_an_incident_on_the_map(
    sign_in: SignIn, stack: Stack, leak: None, shots
) -> None:
    page = sign_in("operator")
    page.goto(f"{stack.url}/hall/hall-1/")
    unit = page.locator("[data-unit='leak-1']")
    expect(unit).to_have_attribute("data-alarm", "critical", timeout=20_000)
    chosen = page.locator("[data-incidents] option").filter(has_text="Water leak").first
    page.locator("[data-incidents]").select_option(chosen.get_attribute("value"))
    expect(page.locator("[data-kind].badge")).to_have_text("Past")
    # It begins before the alarm: all was well then.
    expect(unit).not_to_have_attribute("data-alarm", "critical")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    event = page.locator("[data-events] li").filter(has_text="Water leak").first
    event.get_by_role("button").click()
    expect(unit).to_have_attribute("data-alarm", "critical")
    assert page.locator(".ribbon .bar[data-tone=critical]").count() >= 1
    if shots:
        page.screenshot(path=shots / "hall-incident.png")


def test_it_works_an_alarm_from_the_keyboard(
    sign_in: SignIn, stack: Stack, leak: None, shots
) -> None:
    page = sign_in("operator")
    page.goto(f"{stack.url}/alarms/")
    page.get_by_role("searchbox").fill("leak-1")
    rows = page.locator("#rows tr").filter(has_text="leak-1")
    expect(rows.first).to_be_visible(timeout=10_000)
    page.get_by_role("searchbox").blur()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    detail = page.locator("#detail")
    expect(detail).to_be_visible()
    expect(detail).to_contain_text("leak-1.wet")
    expect(detail.get_by_role("link", name="Play back on the hall map")).to_have_attribute(
        "href", re.compile(r"/hall/hall-1/\?incident=\d+")
    )
    if shots:
        page.screenshot(path=shots / "alarm-detail.png")
    page.keyboard.press("Escape")
    expect(detail).not_to_be_visible()
    page.keyboard.press("a")
    dialog = page.locator("#acknowledge")
    if dialog.is_visible():
        dialog.get_by_role("button", name=re.compile("Acknowledge")).click()
    expect(rows.first).to_contain_text(re.compile(r"acknowledged \S+ by operator"), timeout=10_000)


def test_it_zooms_into_a_chart_and_asks_what_moved_with_it(
    sign_in: SignIn, stack: Stack, shots
) -> None:
    page = sign_in("viewer")
    page.goto(f"{stack.url}/points/rack-1-03.inlet_c/")
    card = page.locator("[data-point-chart]")
    plot = card.locator("[data-part=plot] .u-over")
    expect(plot).to_be_visible(timeout=15_000)
    expect(card.locator("[data-part=level]")).not_to_have_text("…")
    card.get_by_role("button", name="15 min").click()
    box = plot.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.85, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.98, y, steps=8)
    page.mouse.up()
    expect(card.locator("[data-part=live]")).to_have_attribute("aria-pressed", "false")
    expect(page).to_have_url(re.compile(r"#span=\d+&end=\d+"))
    link = card.get_by_role("link", name=re.compile("Moved with it"))
    expect(link).to_have_attribute("href", re.compile(r"start=.+&end=.+"))
    card.locator("[data-part=plot]").press("Escape")
    expect(page).to_have_url(re.compile("#span=3600$"))
    if shots:
        page.screenshot(path=shots / "point.png")
    page.goto(f"{stack.url}/points/rack-1-03.inlet_c/correlated/?minutes=15")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    match = page.locator(".match__tag a").first
    if match.count():  # a hall at rest may have nothing to tell
        expect(match).to_have_attribute("href", re.compile(r"/points/.+/#span=\d+&end=\d+"))


def test_it_creates_a_source_shows_its_token_once_and_takes_its_readings(
    sign_in: SignIn, stack: Stack, shots
) -> None:
    page = sign_in("admin")
    page.goto(f"{stack.url}/sources/")
    page.get_by_label("Name of a new source").fill("browser-test")
    page.get_by_role("button", name="Create source").click()
    token = page.locator(".token code").inner_text()
    assert len(token) >= 20
    row = page.get_by_role("row").filter(has_text="browser-test")
    expect(row).to_contain_text("Never heard")
    answer = page.request.post(
        f"{stack.url}/api/v1/readings",
        headers={"Authorization": f"Token {token}"},
        data={"readings": [{"point": "no.such_point", "ts": "2026-01-01T00:00:00Z", "value": 1}]},
    )
    assert answer.status in (200, 207, 400), answer.text()
    assert answer.json()["rejected"][0]["code"]
    page.goto(f"{stack.url}/sources/")
    expect(page.locator(".token")).to_have_count(0)
    row.get_by_role("link", name="browser-test").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("browser-test")
    expect(page.locator("body")).not_to_contain_text(token)
    viewer = sign_in("viewer")
    viewer.goto(f"{stack.url}/sources/")
    expect(viewer.get_by_role("button", name="Create source")).to_have_count(0)
    if shots:
        page.screenshot(path=shots / "source.png")
