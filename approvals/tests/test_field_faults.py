"""What can go wrong between a driver and a device, one fault at a time, against the field devices:
what is said, whether it may have been applied, and how often the device did it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from approvals.drivers.base import Driver, DriverError, Order
from approvals.drivers.modbus import ModbusDriver
from approvals.drivers.redfish import RedfishDriver
from approvals.drivers.webhook import WebhookDriver
from approvals.tests.field_devices import PASSWORD, SECRET
from approvals.tests.field_kit import Field

TAG = "crac-1.fan_speed_sp_pct"
ORDER = Order(TAG, 85.0, "hp-1-abc:0", fence=7)
FINE = {"kind": "fine"}
CONTROL = "/redfish/v1/Chassis/crac-1/Controls/fan_speed_sp_pct"
LEGACY = "/redfish/v1/Chassis/srv-1/Power"


def made(name: str, field: Field, **more: Any) -> Driver:
    """A driver whose point TAG holds 70 before."""
    if name == "webhook":
        return WebhookDriver(field.webhook(**more), SECRET)
    if name == "modbus":
        settings = field.modbus({TAG: {"register": 10, "scale": 10}}, **more)
        driver = ModbusDriver(settings)
        field.faults("modbus")
        driver.write(Order(TAG, 70.0, "before:0"))
        field.ask(do="reset")
        return driver
    field.put(CONTROL, {"SetPoint": 70, "SettingMax": 100})
    points = {TAG: {"path": CONTROL, "property": "/SetPoint"}}
    return RedfishDriver(field.redfish(points, **more), PASSWORD)


ALL = ("modbus", "redfish", "webhook")


@pytest.mark.parametrize(
    ("name", "faults", "said", "maybe", "times"),
    [
        # Lost before the device acted, or after: asked again, done once.
        *((name, [{"kind": "lost_before"}], "", False, 1) for name in ALL),
        *((name, [{"kind": "lost_after"}], "", False, 1) for name in ALL),
        *((name, [{"kind": "lost_before"}] * 4, "may or may not", True, 0) for name in ALL),
        # Busy: again after the time it names; for good: nothing was written.
        *((name, [{"kind": "busy", "after": 0}] * 2, "", False, 1) for name in ALL),
        *(
            (name, [{"kind": "busy", "after": 0}] * 4, "nothing was written", False, 0)
            for name in ALL
        ),
        # A refusal of a repeat says nothing of the try before it.
        (
            "webhook",
            [{"kind": "lost_after"}, {"kind": "status", "status": 409}],
            "refused .* 409.* earlier try .* may have been applied",
            True,
            1,
        ),
        (
            "webhook",
            [{"kind": "lost_before"}, {"kind": "status", "status": 403}],
            "refused .* 403.* earlier try .* may have been applied",
            True,
            0,
        ),
        (
            "redfish",
            [{"kind": "lost_before"}, {"kind": "status", "status": 403}],
            "403.* earlier try .* may have been applied",
            True,
            0,
        ),
        (
            "modbus",
            [{"kind": "lost_before"}, {"kind": "exception", "code": 3}],
            "exception 3 .* earlier try .* may have been applied",
            True,
            0,
        ),
        ("modbus", [{"kind": "exception", "code": 2}], r"2 \(illegal data address\)", False, 0),
        ("modbus", [{"kind": "exception", "code": 4}] * 3, "may or may not", True, 0),
        ("modbus", [{"kind": "exception", "code": 11}], "", False, 1),
        # A redirect is never followed: it would carry the secret elsewhere.
        *(
            (
                name,
                [{"kind": "status", "status": 307, "headers": {"Location": "http://evil.test/"}}],
                "307, a redirect to http://evil.test/, not followed",
                False,
                0,
            )
            for name in ("redfish", "webhook")
        ),
        (
            "webhook",
            [{"kind": "status", "status": 302, "headers": {"Location": "http://evil.test/"}}],
            "302, a redirect",
            True,
            0,
        ),
        # An answer without end: the webhook applies a key once, Redfish is read back.
        *((name, [{"kind": "huge"}], "", False, 1) for name in ("redfish", "webhook")),
        ("webhook", [{"kind": "status", "status": 500}] * 4, "answered 500 no, 4 tries", True, 0),
        (
            "redfish",
            [{"kind": "status", "status": 412}],
            "changed by somebody else .* nothing was written",
            False,
            0,
        ),
        ("redfish", [{"kind": "task", "polls": 2}], "", False, 1),
        (
            "redfish",
            [{"kind": "task", "polls": 1, "end": "error"}],
            r"Another limit is in force. \(Base.1.18.PropertyValueConflict\) Look again",
            False,
            0,
        ),
        (
            "redfish",
            [{"kind": "task", "polls": 0, "end": "exception"}],
            r"ended as Exception The fan board did not answer. \(Vendor.1.0.Fan\)",
            True,
            0,
        ),
        ("webhook", [{"kind": "accept", "polls": 2}], "", False, 1),
        (
            "webhook",
            [{"kind": "accept", "polls": 1, "end": "failed"}],
            "says of hp-1-abc:0: failed; nothing was written",
            False,
            1,
        ),
    ],
)
def test_it_settles_or_tells_of_a_fault(
    name: str, faults: list[dict[str, Any]], said: str, maybe: bool, times: int, field: Field
) -> None:
    driver = made(name, field)
    field.faults(name, *faults)
    if said:
        with pytest.raises(DriverError, match=f"(?s){said}") as failed:
            driver.write(ORDER)
        assert failed.value.maybe_applied is maybe, failed.value.detail
    else:
        result = driver.write(ORDER)
        assert result.value == 85.0
        assert result.read_back == (None if name == "webhook" else pytest.approx(85.0))
    assert len(field.log(name)) == times


@pytest.mark.parametrize("name", ALL)
def test_it_knows_that_nothing_went_out_when_nobody_listens(name: str, field: Field) -> None:
    away: dict[str, Any] = {"port": 1} if name == "modbus" else {"url": "http://127.0.0.1:1"}
    driver = made(name, field)
    driver.settings = {**driver.settings, **away}
    with pytest.raises(DriverError, match=r"cannot be reached.*nothing was written") as failed:
        driver.write(ORDER)
    assert not failed.value.maybe_applied
    assert driver.look(ORDER).applied is None


@pytest.mark.parametrize("name", ["modbus", "redfish"])
def test_it_names_both_values_when_a_device_clamps(name: str, field: Field) -> None:
    driver = made(name, field)
    field.faults(name, {"kind": "clamp", "to": [800] if name == "modbus" else 80})
    said = r"accepted 85 but holds 80 \(before: 70\)"
    with pytest.raises(DriverError, match=said) as failed:
        driver.write(ORDER)
    error = failed.value
    assert (error.maybe_applied, error.reads, error.previous) == (False, 80.0, 70.0)
    assert len(field.log(name)) == 1, "it is not forced again"


@pytest.mark.parametrize("name", ["modbus", "redfish"])
def test_it_does_not_call_a_slow_device_a_refusal(name: str, field: Field) -> None:
    driver = made(name, field)
    field.faults(name, {"kind": "ignore"})
    with pytest.raises(DriverError, match="took it and still reads 70") as failed:
        driver.write(ORDER)
    assert failed.value.maybe_applied
    seen = driver.look(ORDER)
    assert (seen.applied, "= 70, 85 was ordered" in seen.detail) == (False, True)


@pytest.mark.parametrize("name", ALL)
def test_it_stops_asking_when_somebody_stops_it(name: str, field: Field) -> None:
    """Before anything was taken: surely nothing. The answer comes long before the last try."""
    driver = made(name, field)
    field.faults(name, *([{"kind": "busy", "after": 30}] * 9))
    asked: list[int] = []

    def stop() -> str:
        asked.append(1)
        return "somebody asked to stop" if len(asked) > 1 else ""

    driver.asked_to_stop = stop
    begun = time.monotonic()
    with pytest.raises(DriverError, match=r"asked to stop, so it was not .*nothing was") as failed:
        driver.write(ORDER)
    assert time.monotonic() - begun < 3
    assert not failed.value.maybe_applied
    assert field.log(name) == []


def test_it_stops_waiting_for_a_task_and_does_not_claim_to_know(field: Field) -> None:
    driver = made("redfish", field)
    field.faults("redfish", {"kind": "task", "polls": 99})
    driver.asked_to_stop = lambda: "the gate is held"
    with pytest.raises(DriverError, match="TaskMonitors/1 and the gate is held") as failed:
        driver.write(ORDER)
    assert failed.value.maybe_applied
    assert driver.look(ORDER).applied is False


def test_it_gives_up_on_a_task_in_its_time(field: Field) -> None:
    driver = made("redfish", field, task_s=0.5)
    field.faults("redfish", {"kind": "task", "polls": 99})
    with pytest.raises(DriverError, match=r"still works on .* after 0.5 s") as failed:
        driver.write(ORDER)
    assert failed.value.maybe_applied
    assert len(field.ask(do="look", of="redfish", name="tasks")) == 1, "not ordered again meanwhile"


@pytest.mark.parametrize("name", ["redfish", "webhook"])
def test_it_cuts_an_answer_that_drips(name: str, field: Field) -> None:
    """Every byte comes in time, the whole never would."""
    driver = made(name, field, timeout_s=0.5)
    field.faults(name, {"kind": "drip"}, FINE)
    begun = time.monotonic()
    result = driver.write(ORDER)
    assert time.monotonic() - begun < 4
    assert result.attempts == 2
    assert len(field.log(name)) == 1


@pytest.mark.parametrize("name", ["redfish", "webhook"])
def test_it_speaks_to_a_certificate_that_it_can_verify_only(name: str, field: Field) -> None:
    url = field.at[f"{name}_tls"]
    driver = made(name, field, url=url)
    with pytest.raises(DriverError, match=r"CERTIFICATE_VERIFY_FAILED.*nothing was") as failed:
        driver.write(ORDER)
    assert not failed.value.maybe_applied
    if name == "redfish":
        assert field.ask(do="look", of="redfish", name="sessions") == 0, "no password was sent"
    driver = made(name, field, url=url, ca_file="/nowhere.pem")
    with pytest.raises(DriverError, match=r"no usable ca_file /nowhere\.pem"):
        driver.write(ORDER)
    assert made(name, field, url=url, ca_file=field.at["ca_file"]).write(ORDER).value == 85.0
    assert len(field.log(name)) == 1


@pytest.mark.parametrize("skew_s", [-900.0, 900.0])
def test_it_says_that_the_clocks_differ(skew_s: float, field: Field) -> None:
    field.ask(do="set", of="webhook", name="skew_s", value=skew_s)
    word = "ahead of" if skew_s > 0 else "behind"
    driver = made("webhook", field)
    with pytest.raises(DriverError, match=f"401.*its clock is [0-9]+ s {word} ours") as failed:
        driver.write(ORDER)
    assert not failed.value.maybe_applied
    assert f"s {word} ours" in driver.look(ORDER).detail


class TestStatusRequest:
    @pytest.mark.parametrize(
        ("fault", "applied", "words"),
        [
            ({"kind": "lost_after"}, True, "done"),
            ({"kind": "lost_before"}, False, "never received"),
            ({"kind": "accept", "polls": 5}, None, "unknown"),
            ({"kind": "accept", "polls": 0, "end": "failed"}, False, "failed"),
        ],
    )
    def test_it_asks_what_became_of_a_message(
        self, fault: dict[str, Any], applied: bool | None, words: str, field: Field,
        monkeypatch: Any,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("approvals.drivers.http.ATTEMPTS", 1)
        driver = made("webhook", field)
        field.faults("webhook", fault)
        if fault["kind"] == "accept":
            driver.asked_to_stop = lambda: "stop"  # it does not wait for the end
        with pytest.raises(DriverError) as failed:
            driver.write(ORDER)
        assert failed.value.maybe_applied
        seen = driver.look(ORDER)
        assert (seen.applied, words in seen.detail) == (applied, True), seen.detail

    def test_it_leaves_it_to_a_person_where_it_cannot_be_asked(self, field: Field) -> None:
        """A plain 404 is no `never_received`: it may be an address that does not exist."""
        field.ask(do="set", of="webhook", name="has_status", value=False)
        seen = made("webhook", field).look(ORDER)
        assert seen.applied is None
        assert "cannot be asked what became of crac-1.fan_speed_sp_pct = 85" in seen.detail

    def test_it_asks_at_the_address_of_the_binding(self, field: Field) -> None:
        url = field.at["webhook"]
        driver = made("webhook", field, status_url=f"{url}/what/became/of/{{key}}")
        driver.write(ORDER)
        assert driver.look(ORDER).applied is True
        other = made("webhook", field, status_url=f"{url}/fixed?id={{key}}")
        assert other.look(ORDER).applied is None, "an answer for another id tells nothing"

    def test_it_does_not_believe_an_unsigned_question(self, field: Field) -> None:
        wrong = WebhookDriver(field.webhook(), "whsec_AAAA")
        assert wrong.look(ORDER).applied is None


class TestRedfish:
    def test_it_changes_one_element_of_an_array(self, field: Field) -> None:
        """The deprecated Power resource: the other limits and the length stay."""
        limits = [{"PowerLimit": {"LimitInWatts": 700 + n, "LimitException": "NoAction"}}
                  for n in range(3)]  # fmt: skip
        field.put(LEGACY, {"PowerControl": limits})
        path = {"path": LEGACY, "property": "/PowerControl/1/PowerLimit/LimitInWatts"}
        settings = field.redfish({"srv-1-gpu-1.power_limit_w": path})
        driver = RedfishDriver(settings, PASSWORD)
        result = driver.write(Order("srv-1-gpu-1.power_limit_w", 500.0, "k:0"))
        assert (result.previous, result.read_back) == (701.0, 500.0)
        after = field.ask(do="get", path=LEGACY)["PowerControl"]
        assert [c["PowerLimit"]["LimitInWatts"] for c in after] == [700, 500, 702]
        assert {c["PowerLimit"]["LimitException"] for c in after} == {"NoAction"}
        assert field.log("redfish")[0]["body"]["PowerControl"][0] == {}

    def test_it_repeats_what_the_service_says(self, field: Field) -> None:
        driver = made("redfish", field)
        with pytest.raises(DriverError, match=r"out of range. \(Base.1.18.PropertyValueOutOf"):
            driver.write(ORDER._replace(value=120.0))

    @pytest.mark.parametrize("auth", ["session", "basic"])
    def test_it_logs_in_and_leaves_no_session(self, auth: str, field: Field) -> None:
        driver = made("redfish", field, auth=auth)
        assert driver.write(ORDER).read_back == 85.0
        assert field.ask(do="look", of="redfish", name="tokens") == []
        sessions = field.ask(do="look", of="redfish", name="sessions")
        assert sessions == (1 if auth == "session" else 0)
        wrong = RedfishDriver(driver.settings, "wrong")
        with pytest.raises(DriverError, match="answered 401") as failed:
            wrong.write(ORDER)
        assert not failed.value.maybe_applied

    def test_it_posts_only_what_an_action_allows(self, field: Field) -> None:
        [point] = field.resources(["srv-1.reset_cmd"]).values()
        point["parameters"] = {"1": {"ResetType": "PushPowerButton"}}
        driver = RedfishDriver(field.redfish({"srv-1.reset_cmd": point}), PASSWORD)
        order = Order("srv-1.reset_cmd", 1.0, "k:0", momentary=True)
        with pytest.raises(DriverError, match="takes ResetType On, ForceRestart, not PushPower"):
            driver.write(order)
        with pytest.raises(DriverError, match="none of 1 that the binding has parameters for"):
            driver.plan(order._replace(value=0.0))
        point["action"] = "#ComputerSystem.SetDefaultBootOrder"
        with pytest.raises(DriverError, match=r"has no action #ComputerSystem\.SetDefaultBoot"):
            driver.write(order)
        assert field.log("redfish") == []


def test_it_writes_over_a_register_that_holds_no_number(field: Field) -> None:
    """A float that was never set is NaN; before it there is nothing to say."""
    tag, settings = "a.nan", {"register": 200, "type": "uint32"}
    ModbusDriver(field.modbus({tag: settings})).write(Order(tag, float(0x7FC00000), "k:0"))
    driver = ModbusDriver(field.modbus({tag: {"register": 200, "type": "float32"}}))
    assert driver.look(Order(tag, 21.5, "k:1")).applied is None
    result = driver.write(Order(tag, 21.5, "k:1"))
    assert (result.previous, result.read_back) == (None, 21.5)


def test_it_keeps_units_types_and_word_orders_apart(field: Field) -> None:
    points: dict[str, dict[str, Any]] = {
        "a.one": {"register": 100, "type": "float32", "unit": 1},
        "a.two": {"register": 100, "type": "float32", "word_order": "little", "unit": 2},
        "a.three": {"register": 104, "type": "int32", "scale": 1000, "offset": -5},
        "a.four": {"register": 110, "type": "float64", "unit": 2},
        "a.five": {"register": 120, "type": "int16", "scale": -1},
    }
    driver = ModbusDriver(field.modbus(points))
    for tag in points:
        assert driver.write(Order(tag, 18.3 if tag != "a.five" else 18.0, "k:0")).attempts == 1
    log = {(e["unit"], e["register"]): e["values"] for e in field.log("modbus")}
    assert log[1, 100] == list(reversed(log[2, 100])) == [0x4192, 0x6666]
    assert log[1, 104] == [0, 18295]
    assert len(log[2, 110]) == 4
    assert log[1, 120] == [0x10000 - 18]
    assert len(field.log("modbus")) == 5
