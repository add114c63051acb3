"""The gate's other pages in a real browser: policy, propose, drill, rollback, notes, hold points."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ops_platform.tests.browser.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SignIn = Callable[[str], Page]
SLOW_MS = 30_000

PLANT_A_DRILL = """
from approvals.honesty.planting import drill_plant
planted = drill_plant(flaw="wrong_direction")
print("DRILL", planted.pk)
"""
RECORD_NOTES = """
window.notes = [];
window.Notification = class extends EventTarget {
  static permission = "granted";
  constructor(title, options) { super(); window.notes.push([title, options.tag]); }
};
Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
"""


def send(stack: Stack, role: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST as one of the accounts; the answer's JSON."""
    with stack.client(role) as client:
        token = next(value for name, value in client.cookies.items() if "csrf" in name)
        headers = {"X-CSRFToken": token, "Referer": stack.url}
        answer = client.post(f"/api/v1/{path}", json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())


def read(stack: Stack, number: int) -> dict[str, Any]:
    with stack.client("viewer") as client:
        return dict(client.get(f"/api/v1/proposals/{number}/").json())


def point(stack: Stack, tag: str) -> float:
    with stack.client("viewer") as client:
        return float(client.get(f"/api/v1/points/{tag}/").json()["latest"]["value"])


def written(stack: Stack, tag: str) -> int:
    """How often the plant itself noted a write of this point."""
    return [write["tag"] for write in stack.plant("GET", "/writes")["writes"]].count(tag)


def propose(stack: Stack, kind: str, target: str, params: dict[str, Any]) -> dict[str, Any]:
    body = {"kind": kind, "target": target, "params": params, "rationale": "A test."}
    return send(stack, "admin", "proposals/", body)


def approve(stack: Stack, role: str, proposal: dict[str, Any]) -> None:
    body = {
        "digest": proposal["digest"],
        "reason": "Looked at it.",
        "password": stack.logins[role],
    }
    send(stack, role, f"proposals/{proposal['id']}/approve", body)


def in_force(stack: Stack) -> int:
    with stack.client("viewer") as client:
        return int(client.get("/api/v1/policy").json()["number"])


def test_a_weaker_policy_is_simulated_and_waits_for_a_second_person(
    sign_in: SignIn, stack: Stack
) -> None:
    before = in_force(stack)
    page = sign_in("supervisor")
    page.goto(f"{stack.url}/approvals/policy/")
    page.locator("#general summary").filter(has_text="Break-glass").click()
    page.get_by_label("Reviews needed afterwards").fill("1")
    expect(page.locator("#check")).to_contain_text("reviews 2 → 1")
    page.get_by_role("button", name="Simulate").click()
    expect(page.locator("#simulation")).to_contain_text(re.compile(r"\d+ proposals? in 30 days"))
    page.locator("#save textarea").fill("One reviewer at night.")
    page.locator("#save [name=password]").fill(stack.logins["supervisor"])
    expect(page.locator("#consequence")).to_contain_text("somebody else has accepted it")
    page.get_by_role("button", name="Ask a second person").click()
    expect(page.get_by_text("Somebody else has to accept your change.")).to_be_visible()
    assert in_force(stack) == before

    admin = sign_in("admin")
    admin.goto(f"{stack.url}/approvals/policy/")
    change = admin.locator("[data-change]")
    expect(change).to_contain_text("One reviewer at night.")
    change.get_by_role("button", name="Accept").click()
    expect(change.get_by_role("alert")).to_be_visible()  # no proof of who it is
    assert in_force(stack) == before
    change.locator("[name=password]").fill(stack.logins["admin"])
    change.get_by_role("button", name="Accept").click()
    expect(admin.get_by_role("heading", name=f"Policy {before + 1} in force")).to_be_visible()
    assert in_force(stack) == before + 1


def test_an_action_is_proposed_with_the_twins_prediction(sign_in: SignIn, stack: Stack) -> None:
    page = sign_in("operator")
    page.goto(f"{stack.url}/approvals/propose/?kind=set_supply_setpoint&target=crac-1")
    value = page.locator("[data-params] input")
    expect(page.locator("[data-params]")).to_contain_text(re.compile(r"now \d+\.\d °C, 14 to"))
    expect(page.get_by_role("button", name="Propose")).to_be_disabled()
    value.fill("19.5")
    expect(page.locator("#answer")).to_contain_text("One signature")
    page.get_by_role("button", name="Ask the twin").click()
    plot = page.locator("#answer .prediction__plot svg")
    expect(plot).to_be_visible(timeout=SLOW_MS)
    expect(plot.locator(".line--acting")).to_have_attribute("points", re.compile(r"\d+\.\d,"))
    expect(page.locator("#answer")).to_contain_text("doing nothing")
    page.get_by_label("Why").fill("Save compressor work.")
    page.get_by_role("button", name="Propose").click()
    page.wait_for_url(re.compile(r"/approvals/\d+/$"))
    expect(page.locator(".proposal")).to_contain_text("operator asks")
    # Whoever asked finds no button to sign, and is told why.
    expect(page.locator("[data-decide=approve]")).to_have_count(0)
    page.keyboard.press("a")
    expect(page.locator(".toast").filter(has_text="somebody else has to sign")).to_be_visible()
    expect(page.locator("#decision")).not_to_be_visible()
    made = int(page.url.rstrip("/").rsplit("/", 1)[1])
    assert read(stack, made)["state"] == "pending"
    send(stack, "admin", f"proposals/{made}/reject", {"reason": "Only a test."})


def test_a_drill_looks_real_until_it_is_decided(sign_in: SignIn, stack: Stack) -> None:
    said = stack.manage("shell", "-c", PLANT_A_DRILL)
    number = int(said.rsplit("DRILL", 1)[1])
    writes = len(stack.plant("GET", "/writes")["writes"])
    page = sign_in("operator")
    page.goto(f"{stack.url}/approvals/{number}/")
    card = page.locator(f"#proposal-{number}")
    expect(card).to_contain_text("agent asks")
    expect(page.get_by_text("This was a drill")).to_have_count(0)
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog", name=re.compile("Approve"))
    dialog.get_by_role("textbox", name=re.compile("Reason")).fill("Looks right.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".drill")).to_contain_text("It was signed", timeout=SLOW_MS)
    assert read(stack, number)["state"] == "superseded"
    assert len(stack.plant("GET", "/writes")["writes"]) == writes
    page.goto(f"{stack.url}/approvals/team/")
    expect(page.locator("tr").filter(has_text=f"#{number} ")).to_contain_text("signed")


def test_what_was_written_can_be_undone_by_another_signature(sign_in: SignIn, stack: Stack) -> None:
    first = propose(stack, "set_supply_setpoint", "crac-3", {"supply_c": 18.5})
    page = sign_in("operator")
    page.goto(f"{stack.url}/approvals/{first['id']}/")
    expect(page.locator("[data-roll-back]")).to_have_count(0)
    approve(stack, "operator", first)
    stack.wait_until(
        lambda: point(stack, "crac-3.supply_sp_c") == 18.5, what="the read-back", timeout_s=30
    )
    page.get_by_role("button", name="Propose to undo").click(timeout=SLOW_MS)
    page.wait_for_url(lambda url: not url.endswith(f"/{first['id']}/"))
    expect(page.locator(".proposal")).to_contain_text(f"It undoes #{first['id']}")
    undo = int(page.url.rstrip("/").rsplit("/", 1)[1])
    [write] = read(stack, undo)["writes"]
    [done] = read(stack, first["id"])["execution"]["writes"]
    assert (write["tag"], write["value"]) == ("crac-3.supply_sp_c", done["previous"])
    send(stack, "admin", f"proposals/{undo}/reject", {"reason": "Only a test."})


def test_a_note_reaches_an_open_page_and_leads_to_the_proposal(
    sign_in: SignIn, stack: Stack
) -> None:
    body = {"channel": "browser", "events": ["proposal.pending"], "least_risk": "low"}
    rule = send(stack, "operator", "notifications/rules", body)
    page = sign_in("operator")
    page.add_init_script(RECORD_NOTES)
    page.goto(f"{stack.url}/points/")
    expect(page.locator("[data-link-state]")).to_have_text("Live")
    order = {"title": "Filter noise", "text": "Heard on the round.", "priority": "low"}
    made = propose(stack, "open_work_order", "crac-1", order)
    toast = page.locator("a.toast").filter(has_text="Filter noise")
    expect(toast).to_be_visible(timeout=SLOW_MS)
    notes = page.evaluate("window.notes")
    assert len(notes) == 1, json.dumps(notes)
    assert "Filter noise" in notes[0][0]
    toast.click()
    page.wait_for_url(re.compile(rf"/approvals/{made['id']}/$"))
    page.keyboard.press("r")
    page.keyboard.type("Only a test.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".proposal .badge").first).to_have_text("Rejected", timeout=SLOW_MS)
    assert rule["channel"] == "browser"


def test_a_procedure_holds_for_a_person_and_goes_on_when_released(
    sign_in: SignIn, stack: Stack
) -> None:
    before = written(stack, "chwp-1.run_cmd")
    params = {"document": "mop-chw-03", "revision": 1}
    made = propose(stack, "run_procedure", "chiller-1", params)
    approve(stack, "supervisor", made)
    if read(stack, made["id"])["state"] == "pending":
        approve(stack, "operator", made)
    page = sign_in("operator")
    page.goto(f"{stack.url}/approvals/")
    card = page.locator(f"[data-group-of=needs_you] #proposal-{made['id']}")
    expect(card).to_contain_text("Holds at step 2", timeout=2 * SLOW_MS)
    card.get_by_role("button", name="Release…").click()
    release = page.get_by_role("button", name="Release", exact=True)
    expect(release).to_be_focused(timeout=SLOW_MS)
    assert written(stack, "chwp-1.run_cmd") == before
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=re.compile("Step 2"))
    expect(dialog).to_contain_text("chwp-1.run_cmd = 0")
    dialog.get_by_role("textbox").first.fill("chwp-2 shows flow.")
    if dialog.get_by_label("Password").is_visible():
        dialog.get_by_label("Password").fill(stack.logins["operator"])
    dialog.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Released by operator")).to_be_visible(timeout=SLOW_MS)
    stack.wait_until(
        lambda: written(stack, "chwp-1.run_cmd") == before + 1,
        what="the write after the hold",
        timeout_s=60,
    )
    send(stack, "operator", f"proposals/{made['id']}/stop", {"reason": "Only a test."})
