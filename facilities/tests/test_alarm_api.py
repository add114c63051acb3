"""The alarm endpoints and pages as viewer, operator, supervisor and stranger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from facilities.alarms import engine
from facilities.models import (
    Alarm,
    AlarmEvent,
    AlarmRule,
    Asset,
    Delivery,
    Envelope,
    EscalationChain,
    LatestReading,
    MaintenanceWindow,
    NotificationChannel,
    Point,
    Shelf,
)

pytestmark = pytest.mark.django_db
PAGES = ["/alarms/", "/alarms/metrics/", "/alarms/rules/", "/alarms/maintenance/"]
BASE = "/api/v1"


def read(tag: str, value: float) -> None:
    now = timezone.now()
    LatestReading.objects.update_or_create(
        point=Point.objects.get(tag=tag),
        defaults={"ts": now, "value": value, "quality": 1, "received_at": now},
    )


@pytest.fixture
def alarms(small_facility) -> dict[str, Alarm]:
    """A tripped CRAC (high), a hot rack (critical) behind it, and one hidden consequence."""
    AlarmRule.objects.filter(name="Rack inlet high").update(delay_s=0)
    read("crac-a.fault", 1)
    read("rack-a.inlet_c", 33)
    engine.evaluate()
    rows = Alarm.objects.select_related("point", "rule")
    return {row.rule.name: row for row in rows}


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(f"{BASE}{path}", body or {}, "application/json")


class TestList:
    @pytest.mark.parametrize(
        ("query", "rules"),
        [
            ("", {"CRAC fault", "Rack inlet high", "Rack inlet critical"}),
            ("severity=critical,high", {"CRAC fault", "Rack inlet high", "Rack inlet critical"}),
            ("severity=critical", {"Rack inlet critical"}),
            ("suppressed=true", {"Rack inlet high"}),
            ("suppressed=false&open=true", {"CRAC fault", "Rack inlet critical"}),
            ("state=active_acknowledged", set()),
            ("state=active_unacknowledged&asset=crac-a", {"CRAC fault"}),
            ("hall=room-1&point=crac-a.fault", {"CRAC fault"}),
            ("hall=attic", set()),
            ("search=INLET%20critical", {"Rack inlet critical"}),
            ("rule=CRAC%20fault", {"CRAC fault"}),
            ("assignee=none&shelved=false&severity=critical", {"Rack inlet critical"}),
            ("assignee=me", set()),
            ("shelved=true", set()),
        ],
    )
    def test_it_filters(self, client_as, viewer, alarms, query, rules):
        page = client_as(viewer).get(f"{BASE}/alarms/?{query}").json()
        assert {row["rule"] for row in page["results"]} == rules

    def test_it_finds_a_group(self, client_as, viewer, alarms):
        root = alarms["CRAC fault"]
        page = client_as(viewer).get(f"{BASE}/alarms/?group={root.pk}").json()
        assert page["count"] == 3
        assert {row["group"] for row in page["results"]} == {root.pk}

    @pytest.mark.parametrize(
        "query", ["severity=loud", "state=asleep", "suppressed=maybe", "group=x", "search=%00"]
    )
    def test_it_names_a_wrong_parameter(self, client_as, viewer, small_facility, query):
        response = client_as(viewer).get(f"{BASE}/alarms/?{query}")
        assert response.status_code == 400
        assert response.json()["detail"].startswith(query.split("=")[0])

    def test_it_costs_four_queries(self, client_as, viewer, alarms, django_assert_num_queries):
        client = client_as(viewer)
        with django_assert_num_queries(4):
            client.get(f"{BASE}/alarms/?open=true&suppressed=false&hall=room-1")

    def test_it_shows_one_with_its_history(
        self, client_as, viewer, alarms, django_assert_num_queries
    ):
        client = client_as(viewer)
        with django_assert_num_queries(5):
            body = client.get(f"{BASE}/alarms/{alarms['CRAC fault'].pk}/").json()
        assert [line["event"] for line in body["history"]] == ["raised"]
        assert len(body["consequences"]) == 2
        assert client.get(f"{BASE}/alarms/999999/").status_code == 404


class TestActions:
    ACTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
        ("note", {"note": "on site"}),
        ("assign", {"assignee": "operator"}),
        ("shelve", {"minutes": 30, "reason": "known"}),
        ("unshelve", {}),
        ("acknowledge", {}),
    )

    @pytest.mark.parametrize(("action", "body"), ACTIONS)
    def test_it_lets_operators_and_nobody_below(
        self, client_as, viewer, operator, alarms, action, body
    ):
        path = f"/alarms/{alarms['CRAC fault'].pk}/{action}"
        assert post(client_as(viewer), path, body).status_code == 403
        assert post(Client(), path, body).status_code in (401, 403)
        response = post(client_as(operator), path, body)
        assert response.status_code == 200, response.content
        assert response.json()["rule"] == "CRAC fault"
        assert post(client_as(operator), f"/alarms/999999/{action}", body).status_code == 404

    def test_it_writes_the_history(self, client_as, operator, alarms):
        client, pk = client_as(operator), alarms["CRAC fault"].pk
        for action, body in self.ACTIONS:
            post(client, f"/alarms/{pk}/{action}", body)
        events = AlarmEvent.objects.filter(alarm=pk).order_by("pk")
        assert list(events.values_list("event", flat=True)) == [
            "raised",
            "noted",
            "assigned",
            "shelved",
            "unshelved",
            "acknowledged",
        ]
        assert set(events.values_list("actor__username", flat=True)) == {None, "operator"}

    def test_it_says_who_cannot_have_it(self, client_as, operator, viewer, alarms):
        path = f"/alarms/{alarms['CRAC fault'].pk}/assign"
        client = client_as(operator)
        for name, words in (("viewer", "name an operator"), ("ghost", "no active user")):
            response = post(client, path, {"assignee": name})
            assert response.status_code == 400
            assert words in response.json()["detail"]
        assert post(client, path, {"assignee": None}).json()["assignee"] is None

    @pytest.mark.parametrize(
        ("action", "body"),
        [
            ("shelve", {"minutes": 100000, "reason": "x"}),
            ("shelve", {"minutes": 10}),
            ("note", {"note": ""}),
            ("assign", {}),
        ],
    )
    def test_it_refuses_half_a_request(self, client_as, operator, alarms, action, body):
        response = post(client_as(operator), f"/alarms/{alarms['CRAC fault'].pk}/{action}", body)
        assert response.status_code == 400
        assert set(response.json()) >= {"code", "detail"}

    def test_it_acknowledges_a_group(self, client_as, operator, viewer, alarms):
        ids = [row.pk for row in alarms.values()]
        assert post(client_as(viewer), "/alarms/acknowledge", {"ids": ids}).status_code == 403
        done = post(client_as(operator), "/alarms/acknowledge", {"ids": [*ids, 999999]}).json()
        assert len(done) == 3
        assert not Alarm.objects.filter(acknowledged_at=None).exists()


class TestSupervision:
    def test_it_plans_and_ends_windows(self, client_as, operator, supervisor, small_facility):
        now = timezone.now()
        body = {
            "asset": "crac-a",
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(hours=1)).isoformat(),
            "reason": "belts",
        }
        assert post(client_as(operator), "/maintenance-windows/", body).status_code == 403
        client = client_as(supervisor)
        made = post(client, "/maintenance-windows/", body)
        assert made.status_code == 201, made.content
        assert (made.json()["scope"], made.json()["created_by"]) == ("crac-a", "supervisor")
        wrong = post(client, "/maintenance-windows/", {**body, "asset": None})
        assert "names an asset" in wrong.json()["detail"]
        wrong = post(client, "/maintenance-windows/", {**body, "ends_at": body["starts_at"]})
        assert "not after the start" in wrong.json()["detail"]
        for _ in range(2):
            assert post(client, f"/maintenance-windows/{made.json()['id']}/end").status_code == 200
        listed = client_as(operator).get(f"{BASE}/maintenance-windows/?over=true").json()
        assert listed["count"] == 1
        assert not MaintenanceWindow.objects.filter(ends_at__gt=timezone.now()).exists()

    def test_it_shows_a_secret_once(self, client_as, supervisor, small_facility):
        client = client_as(supervisor)
        body = {"name": "ops", "kind": "webhook", "url": "https://hooks.example.com/x"}
        secret = post(client, "/notification-channels/", body).json()["secret"]
        assert secret.startswith("whsec_")
        pk = NotificationChannel.objects.get().pk
        for path in ("", f"{pk}/"):
            text = client.get(f"{BASE}/notification-channels/{path}").content.decode()
            assert secret not in text
            assert NotificationChannel.objects.get().salt not in text
        bad = {**body, "name": "meta", "url": "http://169.254.169.254/"}
        response = post(client, "/notification-channels/", bad)
        assert (response.status_code, "metadata" in response.json()["detail"]) == (400, True)

    def test_it_writes_chains(self, client_as, supervisor, small_facility):
        client = client_as(supervisor)
        NotificationChannel.objects.create(name="ops", kind="webhook", url="https://h.example/")
        steps = [{"channel": "ops"}, {"role": "supervisor", "wait_s": 300}]
        made = post(client, "/escalation-chains/", {"name": "shift", "repeats": 2, "steps": steps})
        assert made.status_code == 201, made.content
        pk = made.json()["id"]
        assert [step["wait_s"] for step in made.json()["steps"]] == [0, 300]
        for wrong in ([], [{"wait_s": 5}], [{"channel": "ops", "role": "operator"}]):
            response = post(client, "/escalation-chains/", {"name": "x", "steps": wrong})
            assert response.status_code == 400
        assert (
            post(
                client, "/escalation-chains/", {"name": "y", "repeats": 6, "steps": steps}
            ).status_code
            == 400
        )
        changed = client.patch(
            f"{BASE}/escalation-chains/{pk}/", {"steps": steps[:1]}, "application/json"
        )
        assert len(changed.json()["steps"]) == 1
        channel = NotificationChannel.objects.get()
        refused = client.delete(f"{BASE}/notification-channels/{channel.pk}/")
        assert (refused.status_code, "chain shift" in refused.json()["detail"]) == (400, True)
        assert client.delete(f"{BASE}/escalation-chains/{pk}/").status_code == 204
        assert client.delete(f"{BASE}/notification-channels/{channel.pk}/").status_code == 204

    def test_it_keeps_addresses_from_operators(self, client_as, operator, small_facility):
        client = client_as(operator)
        for name in ("notification-channels", "escalation-chains", "deliveries"):
            assert client.get(f"{BASE}/{name}/").status_code == 403
            assert Client().get(f"{BASE}/{name}/").status_code in (401, 403)

    def test_it_logs_and_sends_again(self, client_as, supervisor, small_facility):
        client = client_as(supervisor)
        channel = NotificationChannel.objects.create(
            name="ops", kind="webhook", url="http://10.0.0.1/"
        )
        (row,) = post(client, f"/notification-channels/{channel.pk}/test").json()
        assert (row["state"], row["outcome"][:8]) == ("failed", "refused:")
        again = post(client, f"/deliveries/{row['id']}/resend")
        assert (again.status_code, again.json()["state"]) == (201, "pending")
        assert client.get(f"{BASE}/deliveries/?state=failed&channel=ops").json()["count"] == 1
        assert Delivery.objects.count() == 2
        assert post(client, "/deliveries/999999/resend").status_code == 404

    def test_it_changes_rules_and_envelopes(self, client_as, operator, supervisor, alarms):
        rule = alarms["CRAC fault"].rule
        path = f"{BASE}/alarm-rules/{rule.pk}/"
        off = {"enabled": False}
        assert client_as(operator).patch(path, off, "application/json").status_code == 403
        client = client_as(supervisor)
        assert client.patch(path, off, "application/json").status_code == 200
        assert engine.sweep().cleared == 1
        wrong = client.patch(path, {"clear_level": 9}, "application/json")
        assert "clear at once" in wrong.json()["detail"]
        assert "switch it off" in client.delete(path).json()["detail"]
        made = post(
            client,
            "/alarm-rules/",
            {
                "name": "Slow",
                "kind": "rate",
                "parameters": {"window_s": 1},
                "asset_kind": "rack",
                "quantity": "inlet_c",
                "comparator": "above",
                "raise_level": 1,
                "clear_level": 1,
                "severity": "low",
            },
        )
        assert "window_s 1 is not from 2" in made.json()["detail"]
        envelope = Envelope.objects.create(name="Z1", range="allowable", low_c=10, high_c=30)
        path = f"{BASE}/envelopes/{envelope.pk}/"
        assert client.patch(path, {"high_c": 33.5}, "application/json").json()["high_c"] == 33.5
        assert client.patch(path, {"high_c": 5}, "application/json").status_code == 400

    def test_it_measures_the_alarm_system(self, client_as, viewer, operator, alarms):
        body = client_as(viewer).get(f"{BASE}/alarms/metrics?hours=24").json()
        assert (body["total"], body["told"], body["suppressed"]) == (3, 2, 1)
        assert body["operators"] == 1
        assert body["per_10min"] == pytest.approx(2 / 144)
        assert body["by_severity"] == {"critical": 1, "high": 2, "medium": 0, "low": 0}
        assert body["bad_actors"][0]["share"] == pytest.approx(1 / 3)
        assert sum(slot["count"] for slot in body["slots"]) == 2
        assert client_as(viewer).get(f"{BASE}/alarms/metrics?hours=0").status_code == 400

    def test_it_counts_chattering_and_standing_alarms(self, client_as, viewer, alarms):
        now = timezone.now()
        base = {"severity": "low", "message": "m", "value": 1, "peak_value": 1}
        point = Point.objects.get(tag="rack-b.inlet_c")
        rule = AlarmRule.objects.get(name="Rack inlet high")
        for second in (0, 20, 40):
            at = now - timedelta(minutes=5, seconds=-second)
            Alarm.objects.create(point=point, rule=rule, raised_at=at, cleared_at=at, **base)
        old = now - timedelta(hours=25)
        Alarm.objects.create(point=point, rule=rule, raised_at=old, **base)
        body = client_as(viewer).get(f"{BASE}/alarms/metrics").json()
        assert (body["chattering"], body["standing"]) == (1, 1)


class TestPages:
    @pytest.mark.parametrize("path", PAGES)
    @pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
    def test_it_shows_everyone_who_is_signed_in(self, request, client_as, alarms, path, role):
        Shelf.objects.create(
            point=alarms["CRAC fault"].point,
            rule=alarms["CRAC fault"].rule,
            until=timezone.now() + timedelta(hours=1),
            reason="known",
        )
        MaintenanceWindow.objects.create(
            asset=Asset.objects.get(tag="crac-a"),
            starts_at=timezone.now(),
            ends_at=timezone.now() + timedelta(hours=1),
            reason="belts",
        )
        response = client_as(request.getfixturevalue(role)).get(path)
        assert response.status_code == 200
        body = response.content.decode()
        assert "<script>" not in body
        assert "style=" not in body.split("<main", 1)[1]

    @pytest.mark.parametrize("path", [*PAGES, "/alarms/notifications/"])
    def test_it_sends_strangers_to_the_log_in(self, small_facility, path):
        assert Client().get(path)["Location"].startswith("/login/")

    def test_it_shows_notifications_to_supervisors_only(
        self, client_as, viewer, operator, supervisor, small_facility
    ):
        channel = NotificationChannel.objects.create(
            name="ops-hook", kind="webhook", url="http://10.0.0.1/"
        )
        chain = EscalationChain.objects.create(name="night-chain")
        chain.steps.create(order=1, channel=channel)
        post(client_as(supervisor), f"/notification-channels/{channel.pk}/test")
        for user in (viewer, operator):
            assert client_as(user).get("/alarms/notifications/").status_code == 403
        body = client_as(supervisor).get("/alarms/notifications/").content.decode()
        assert "ops-hook" in body
        assert "night-chain" in body
        assert "given up" in body

    def test_it_needs_few_queries(
        self, client_as, supervisor, alarms, django_assert_max_num_queries
    ):
        client = client_as(supervisor)
        for path, most in (
            ("/alarms/", 9),
            ("/alarms/metrics/", 16),
            ("/alarms/rules/", 10),
            ("/alarms/maintenance/", 11),
            ("/alarms/notifications/", 13),
        ):
            client.get(path)
            with django_assert_max_num_queries(most):
                client.get(path)

    @pytest.mark.parametrize(
        "model",
        [
            "alarmpolicy",
            "envelope",
            "maintenancewindow",
            "shelf",
            "notificationchannel",
            "escalationchain",
            "escalation",
            "delivery",
        ],
    )
    def test_it_has_an_admin_page_for_each_model(self, client_as, admin, alarms, model):
        assert client_as(admin).get(f"/admin/facilities/{model}/").status_code == 200

    def test_it_says_what_is_wrong_with_a_filter(self, client_as, viewer, small_facility):
        response = client_as(viewer).get("/alarms/?severity=loud")
        assert response.status_code == 200
        assert "is not one of critical" in response.content.decode()
