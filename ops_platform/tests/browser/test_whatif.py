"""The what-if workbench in a real browser: by preset, by keyboard, by link, and with a worker."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from ops_platform.tests.browser.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SignIn = Callable[[str], Page]


def test_it_shows_both_courses_and_keeps_the_question_in_the_link(
    sign_in: SignIn, stack: Stack
) -> None:
    page = sign_in("viewer")
    page.goto(f"{stack.url}/whatif/")
    page.get_by_label("Start from a preset").select_option(label="A CRAC trips")
    headline = page.locator(".whatif__headline")
    expect(headline).to_contain_text("trips, the hottest rack inlet", timeout=30_000)
    expect(headline).to_contain_text("doing nothing it")
    plots = page.locator(".pair").first.locator(".pair__plot")
    expect(plots).to_have_count(2)
    expect(plots.locator("canvas")).to_have_count(2)
    expect(plots.nth(1).locator("[data-read]")).to_have_text(re.compile(r"\d+\.\d °C \["))
    expect(page.get_by_role("cell", name="CRAC fault crac-1.fault")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?q="))
    expect(page.locator("[data-monte]")).to_be_disabled()  # a viewer starts no runs
    page.reload()
    expect(headline).to_contain_text("trips, the hottest rack inlet", timeout=30_000)


def test_it_is_built_by_keyboard_and_run_by_a_worker(sign_in: SignIn, stack: Stack) -> None:
    page = sign_in("operator")
    page.goto(f"{stack.url}/whatif/?asset=crac-1")
    what = page.locator("select[name=what]")
    expect(what).to_be_focused(timeout=15_000)
    what.select_option("what:crac_fan")
    value = page.get_by_label("Value, %")
    value.fill("20")
    value.press("Enter")
    expect(page.locator("[data-sequence] li")).to_have_count(0)  # below the point's write limit
    value.fill("95")
    value.press("Enter")
    expect(page.locator("[data-sequence]")).to_contain_text("Set fan speed 95 %")
    page.keyboard.press("Control+Enter")
    headline = page.locator(".whatif__headline")
    expect(headline).to_contain_text("goes to 95 %", timeout=30_000)
    page.get_by_role("button", name="100 draws").click()
    expect(page).to_have_url(re.compile(r"\?run=\d+"), timeout=90_000)
    expect(page.locator(".whatif__answer .card__head").first).to_contain_text("100 draws")
    expect(page.locator(".runs li").first).to_contain_text("Done")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".toast").last).to_contain_text("is deleted")
