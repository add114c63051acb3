"""The gate in real browsers: decided by keyboard in one window and seen in another, two people for
high risk, and every page on a phone."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from ops_platform.tests.browser.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SignIn = Callable[[str], Page]
PHONE: ViewportSize = {"width": 390, "height": 844}
PAGES = (
    "/approvals/",
    "/approvals/propose/",
    "/approvals/history/",
    "/approvals/policy/",
    "/approvals/policy/who/",
    "/approvals/windows/",
    "/approvals/team/",
    "/approvals/handover/",
    "/approvals/reviews/",
    "/approvals/notifications/",
    "/approvals/security/",
    "/audit/",
)


def propose(stack: Stack, kind: str, target: str, params: dict[str, Any]) -> dict[str, Any]:
    """A proposal of the admin's, so that everybody else may sign it."""
    with stack.client("admin") as client:
        token = next(value for name, value in client.cookies.items() if "csrf" in name)
        answer = client.post(
            "/api/v1/proposals/",
            json={"kind": kind, "target": target, "params": params, "rationale": "A test."},
            headers={"X-CSRFToken": token, "Referer": stack.url},
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


def state_of(stack: Stack, proposal: dict[str, Any]) -> str:
    with stack.client("viewer") as client:
        return str(client.get(f"/api/v1/proposals/{proposal['id']}/").json()["state"])


def card(page: Page, proposal: dict[str, Any]) -> Locator:
    return page.locator(f"#proposal-{proposal['id']}")


def in_group(page: Page, name: str, proposal: dict[str, Any]) -> Locator:
    return page.locator(f"[data-group-of={name}] #proposal-{proposal['id']}")


def focus_by_keys(page: Page, proposal: dict[str, Any]) -> None:
    """Press K up to the first card, then J until the card has the focus."""
    for key in [*"k" * 25, *"j" * 25]:
        page.keyboard.press(key)
        if card(page, proposal).evaluate("node => node === document.activeElement"):
            return
    raise AssertionError(f"J does not reach proposal {proposal['id']}")


def test_it_is_decided_by_keyboard_and_seen_in_another_window(
    sign_in: SignIn, stack: Stack, shots
) -> None:
    operator, viewer = sign_in("operator"), sign_in("viewer")
    for page in (operator, viewer):
        page.goto(f"{stack.url}/approvals/")
        expect(page.locator("[data-link-state]")).to_have_text("Live")
    fan = propose(stack, "set_fan_speed", "crac-1", {"fan_speed_pct": 76.0})
    supply = propose(stack, "set_supply_setpoint", "crac-3", {"supply_c": 17.5})
    expect(in_group(operator, "needs_you", fan)).to_be_visible(timeout=10_000)
    expect(in_group(viewer, "waits", supply)).to_be_visible(timeout=10_000)
    assert viewer.locator("[data-decide]").count() == 0

    focus_by_keys(operator, fan)
    operator.keyboard.press("o")
    expect(card(operator, fan).get_by_text("and nothing else")).to_be_visible()
    operator.keyboard.press("a")
    dialog = operator.get_by_role("dialog", name=re.compile("Approve"))
    expect(dialog.get_by_text("crac-1.fan_speed_sp_pct = 76")).to_be_visible()
    operator.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    assert state_of(stack, fan) == "pending"
    focus_by_keys(operator, supply)
    operator.keyboard.press("r")
    operator.keyboard.type("Not tonight.")
    operator.keyboard.press("Control+Enter")
    expect(in_group(viewer, "ended", supply)).to_be_visible(timeout=10_000)
    expect(card(viewer, supply).get_by_text("Rejected", exact=True)).to_be_visible()

    focus_by_keys(operator, fan)
    operator.keyboard.press("a")
    operator.keyboard.press("Control+Enter")
    expect(in_group(viewer, "under_way", fan).or_(in_group(viewer, "ended", fan))).to_be_visible(
        timeout=15_000
    )
    stack.wait_until(
        lambda: (
            "crac-1.fan_speed_sp_pct"
            in {write["tag"] for write in stack.plant("GET", "/writes")["writes"]}
        ),
        what="the write",
        timeout_s=30,
    )
    tags = [write["tag"] for write in stack.plant("GET", "/writes")["writes"]]
    assert tags.count("crac-1.fan_speed_sp_pct") == 1
    assert "crac-3.supply_sp_c" not in tags
    operator.keyboard.press("?")
    expect(operator.get_by_role("dialog", name="Keys")).to_be_visible()
    if shots:
        operator.keyboard.press("Escape")
        operator.screenshot(path=shots / "queue.png", full_page=True)


def sign(page: Page, stack: Stack, proposal: dict[str, Any], role: str) -> None:
    card(page, proposal).get_by_role("button", name=re.compile("Approve")).click()
    dialog = page.get_by_role("dialog", name=re.compile("Approve"))
    dialog.get_by_label(re.compile("Reason")).fill("The breaker is near its rating.")
    dialog.get_by_label("Password").fill("wrong-" + stack.logins[role])
    dialog.get_by_role("button", name=re.compile("^Sign")).click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("Password").fill(stack.logins[role])
    dialog.get_by_role("button", name=re.compile("^Sign")).click()
    expect(dialog).not_to_be_visible(timeout=10_000)


def test_it_takes_two_people_of_two_roles_for_high_risk(
    sign_in: SignIn, stack: Stack, shots
) -> None:
    risky = propose(stack, "shed_rack_load", "rack-2-08", {"load_cap_pct": 95.0})
    operator, supervisor = sign_in("operator"), sign_in("supervisor")
    for page in (operator, supervisor):
        page.goto(f"{stack.url}/approvals/{risky['id']}/")
        expect(card(page, risky).get_by_text("2 signatures").first).to_be_visible()
    sign(operator, stack, risky, "operator")
    assert state_of(stack, risky) == "pending"
    expect(card(supervisor, risky).get_by_label("1 of 2 signatures")).to_be_visible(timeout=10_000)
    expect(card(operator, risky).get_by_role("button", name=re.compile("Approve"))).to_have_count(0)
    if shots:
        supervisor.screenshot(path=shots / "two-people.png", full_page=True)
    sign(supervisor, stack, risky, "supervisor")
    stack.wait_until(
        lambda: state_of(stack, risky) not in ("pending", "approved"), what="it", timeout_s=30
    )
    writes = [w for w in stack.plant("GET", "/writes")["writes"] if "rack-2-08" in w["tag"]]
    assert [(write["tag"], write["value"]) for write in writes] == [("rack-2-08.load_cap_pct", 95)]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_fits_a_phone(browser: Browser, stack: Stack, theme: str, shots) -> None:
    """No page is wider than the screen; what is wider scrolls in itself."""
    context = browser.new_context(viewport=PHONE, has_touch=True)
    context.add_init_script(f"localStorage.setItem('holdpoint-theme', '{theme}')")
    page = context.new_page()
    page.goto(f"{stack.url}/login/")
    page.get_by_label("User name").fill("supervisor")
    page.get_by_label("Password").fill(stack.logins["supervisor"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{stack.url}/")
    with stack.client("viewer") as client:
        newest = client.get("/api/v1/proposals/").json()["results"][:1]
    wide = {}
    for path in (*PAGES, *(one["url"] for one in newest)):
        answer = page.goto(f"{stack.url}{path}")
        assert answer is not None
        assert answer.status == 200, path
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            wide[path] = width
        if shots:
            name = path.strip("/").replace("/", "-")
            page.screenshot(path=shots / f"phone-{theme}-{name}.png", full_page=True)
    context.close()
    assert wide == {}
