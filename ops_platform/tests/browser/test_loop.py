"""The main job in a real browser: fault, alarm, proposal, signature, write, recovery."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from ops_platform.tests.browser.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SignIn = Callable[[str], Page]


def test_it_shows_live_readings_on_the_overview(sign_in: SignIn, shots) -> None:
    page = sign_in("operator")
    expect(page.locator("#it-power")).to_have_text(re.compile(r"\d+\.\d kW"), timeout=15_000)
    expect(page.locator("#hall .unit")).to_have_count(20)
    expect(page.locator("[data-link-state]")).to_have_text("Live")
    page.wait_for_timeout(2500)
    if shots:
        page.screenshot(path=shots / "overview.png")


def test_it_goes_from_fault_to_approved_action_to_recovered_temperature(
    sign_in: SignIn, stack: Stack, shots
) -> None:
    supervisor = sign_in("supervisor")
    supervisor.goto(f"{stack.url}/plant/")
    row = supervisor.get_by_role("row").filter(has_text="crac-2-trip")
    row.get_by_role("button", name="Inject").click()
    expect(row.get_by_text("on", exact=True)).to_be_visible()

    operator = sign_in("operator")
    operator.goto(f"{stack.url}/approvals/")
    card = operator.locator("[data-proposal]").filter(has_text=re.compile("CRAC 4|crac-4"))
    expect(card.first).to_be_visible(timeout=60_000)
    assert stack.plant("GET", "/writes")["writes"] == []  # nothing moved before the signature
    if shots:
        operator.screenshot(path=shots / "approvals.png")
        operator.goto(f"{stack.url}/")
        operator.wait_for_timeout(2500)
        operator.screenshot(path=shots / "overview-alarm.png")
        operator.goto(f"{stack.url}/approvals/")
    card.first.get_by_role("button", name=re.compile("Approve")).click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("EOP-CRAC-01, step checked")
    dialog.get_by_role("button", name="Sign and execute").click()

    stack.wait_until(
        lambda: stack.plant("GET", "/writes")["writes"], what="the write", timeout_s=30
    )
    writes = stack.plant("GET", "/writes")["writes"]
    assert [(write["tag"], write["value"]) for write in writes] == [("crac-4.run_cmd", 1.0)]
    with stack.client("viewer") as client:
        stack.wait_until(
            lambda: client.get("/api/v1/points/crac-4.running/").json()["latest"]["value"] == 1,
            what="CRAC 4 running",
            timeout_s=30,
        )

        def proposals() -> list[dict]:
            return client.get("/api/v1/proposals/?kind=start_standby_crac").json()["results"]

        stack.wait_until(
            lambda: proposals()[0]["state"] in {"verified", "no_effect"},
            what="the measured effect",
            timeout_s=180,
        )
        assert proposals()[0]["state"] == "verified"
        overview = client.get("/api/v1/facility/overview").json()
        assert overview["max_inlet_c"] < 27
        events = {entry["event"] for entry in client.get("/api/v1/audit/").json()["results"]}
        assert client.get("/api/v1/audit/verify").json()["ok"] is True
    assert len(events) >= 5
    if shots:
        operator.goto(f"{stack.url}/approvals/{proposals_id(stack)}/")
        operator.wait_for_timeout(2000)
        operator.screenshot(path=shots / "proposal.png", full_page=True)


def proposals_id(stack: Stack) -> str:
    with stack.client("viewer") as client:
        page = client.get("/api/v1/proposals/?kind=start_standby_crac").json()
        return str(page["results"][0]["id"])


def test_it_answers_a_question_with_citations(sign_in: SignIn, stack: Stack, shots) -> None:
    page = sign_in("operator")
    page.goto(f"{stack.url}/chat/")
    page.get_by_role("textbox").fill("What do I do when a CRAC unit has failed?")
    page.keyboard.press("Enter")
    citation = page.locator("a[href*='/library/'][href*='#']").filter(visible=True)
    expect(citation.first).to_be_visible(timeout=90_000)
    if shots:
        page.wait_for_timeout(4000)
        page.screenshot(path=shots / "chat.png")
    href = citation.first.get_attribute("href")
    assert href is not None
    page.goto(f"{stack.url}{href}")
    anchor = href.split("#")[1]
    expect(page.locator(f"[id='{anchor}']")).to_be_visible()
    if shots:
        page.screenshot(path=shots / "document.png")


PAGES = (
    "/",
    "/alarms/",
    "/approvals/",
    "/chat/",
    "/points/",
    "/library/",
    "/audit/",
    "/engine/",
    "/plant/",
)


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_every_page_opens_for_every_role_without_errors(
    sign_in: SignIn, stack: Stack, role: str
) -> None:
    page = sign_in(role)
    for path in PAGES:
        answer = page.goto(f"{stack.url}{path}")
        assert answer is not None
        assert answer.status == 200, path
        expect(page.get_by_role("heading", level=1)).to_be_visible()
