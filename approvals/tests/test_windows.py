"""Freezes and maintenance windows: when they stand, also when the clock changes, and who wins."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.models import AuditEntry, ChangeWindow
from approvals.policy.clock import weekly_spans
from approvals.policy.default import DOCUMENT
from approvals.policy.document import policy_of
from approvals.policy.evaluate import denials, denials_of
from approvals.policy.requirement import Subject
from approvals.policy.windows import Window

SignIn = Callable[[Any], Client]
PASSWORD = "correct-horse-battery"
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday
RACK = Subject("shed_rack_load", "rack-1-03", "rack", "hall-1", "high", "agent", {})


def window(**changes: Any) -> Window:
    row = {
        "pk": 1,
        "name": "w",
        "kind": "freeze",
        "starts_at": NOON - timedelta(days=1),
        "ends_at": NOON + timedelta(days=1),
        "reason": "quarter end",
        "made_at": NOON,
        **changes,
    }
    return Window.of(ChangeWindow(**row))


def denied(*windows: Window, at: datetime = NOON, step: str = "execute", only: bool = False) -> Any:
    rules = [{"name": "r", "require": {"maintenance_only": only, "execute_within_s": 3600}}]
    return denials_of(
        policy=policy_of({**DOCUMENT, "rules": rules}, 1),
        windows=windows,
        history=list,
        subject=RACK,
        at=at,
        step=step,
    )


class TestClock:
    def spans(self, start: str, end: str, day: str, wide: bool = True) -> list[str]:
        after = datetime.fromisoformat(day).replace(tzinfo=UTC)
        found = weekly_spans(
            days=[6],
            start=start,
            end=end,
            zone="Europe/Berlin",
            after=after,
            before=after + timedelta(days=2),
            wide=wide,
        )
        return [f"{s.start:%H:%M}-{s.end:%H:%M}" for s in found]

    def test_it_keeps_local_time_when_the_clock_changes(self) -> None:
        assert self.spans("08:00", "10:00", "2026-03-22") == ["07:00-09:00"]  # CET
        assert self.spans("08:00", "10:00", "2026-03-29") == ["06:00-08:00"]  # CEST
        assert self.spans("00:00", "06:00", "2026-03-28") == ["23:00-04:00"]  # five hours
        assert self.spans("00:00", "06:00", "2026-10-24") == ["22:00-05:00"]  # seven hours

    def test_it_reads_a_doubtful_hour_in_favour_of_caution(self) -> None:
        # On 2026-10-25 the hour from 02:00 to 03:00 comes twice (00:00 and 01:00 UTC).
        assert self.spans("02:30", "02:45", "2026-10-25") == ["00:30-01:45"]
        assert self.spans("02:30", "02:45", "2026-10-25", wide=False) == []
        assert self.spans("01:00", "02:30", "2026-10-24") == ["23:00-01:30"]
        assert self.spans("01:00", "02:30", "2026-10-24", wide=False) == ["23:00-00:30"]
        # On 2026-03-29 it does not come at all.
        assert self.spans("02:30", "04:00", "2026-03-29") == ["00:30-02:00"]
        assert self.spans("02:30", "04:00", "2026-03-29", wide=False) == ["01:30-02:00"]

    @given(
        days=st.lists(st.integers(0, 6), min_size=1, unique=True),
        start=st.integers(0, 1439),
        length=st.integers(1, 1440),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
        offset_h=st.integers(0, 24 * 366),
    )
    @settings(max_examples=40, deadline=None)
    def test_it_has_ordered_spans_that_touch_what_was_asked(
        self, days: list[int], start: int, length: int, zone: str, offset_h: int
    ) -> None:
        after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=offset_h)
        before = after + timedelta(days=8)
        end = (start + length) % 1440
        clock = [f"{m // 60:02}:{m % 60:02}" for m in (start, end)]
        wide, narrow = (
            list(
                weekly_spans(
                    days=days,
                    start=clock[0],
                    end=clock[1],
                    zone=zone,
                    after=after,
                    before=before,
                    wide=how,
                )
            )
            for how in (True, False)
        )
        assert wide == sorted(wide) and len(wide) >= len(days)
        for span in wide:
            assert span.start < span.end and span.end > after and span.start < before
            assert span.end - span.start <= timedelta(hours=26)
        for inner in narrow:
            assert any(s.start <= inner.start and inner.end <= s.end for s in wide)


class TestFreeze:
    def test_it_holds_up_what_it_covers_until_it_ends(self) -> None:
        freeze = window(match={"halls": ["hall-1"]})
        [found] = denied(freeze)
        assert (found.code, found.until, found.can_break_glass) == (
            "freeze",
            freeze.ends_at,
            True,
        )
        assert "“w”" in found.sentence and "Thu 19 Nov 2026 12:00 UTC" in found.sentence
        assert "quarter end" in found.sentence
        assert denied(freeze, at=freeze.ends_at) == []
        assert denied(freeze, step="propose") == []
        assert denied(window(match={"halls": ["hall-2"]})) == []

    def test_it_wins_over_maintenance(self) -> None:
        maintenance = window(kind="maintenance")
        assert denied(maintenance, only=True) == []
        assert [d.code for d in denied(maintenance, window(), only=True)] == ["freeze"]

    def test_it_stands_weekly_within_its_dates(self) -> None:
        weekly = {"days": [2], "from": "10:00", "to": "14:00", "zone": "UTC"}
        freeze = window(weekly=weekly, ends_at=NOON + timedelta(days=8))
        assert denied(freeze)[0].until == NOON.replace(hour=14)
        assert denied(freeze, at=NOON + timedelta(days=1)) == []
        assert denied(freeze, at=NOON + timedelta(days=7))
        assert denied(freeze, at=NOON + timedelta(days=14)) == []
        cut = window(weekly=weekly, ends_at=NOON + timedelta(hours=1))
        assert denied(cut)[0].until == NOON + timedelta(hours=1)


class TestMaintenance:
    def test_it_lets_through_what_needs_a_window_inside_one_only(self) -> None:
        assert denied(only=False) == []
        [found] = denied(only=True)
        assert (found.code, found.until) == ("outside_window", None)
        assert "none is planned" in found.sentence
        later = window(kind="maintenance", starts_at=NOON + timedelta(hours=2))
        [found] = denied(later, only=True)
        assert (found.until, found.can_break_glass) == (later.starts_at, True)
        assert denied(later, only=True, at=later.starts_at) == []

    def test_it_may_be_signed_shortly_before_it_opens(self) -> None:
        later = window(kind="maintenance", starts_at=NOON + timedelta(hours=2))
        assert denied(later, only=True, step="approve")
        soon = later.starts_at - timedelta(minutes=59)
        assert denied(later, only=True, step="approve", at=soon) == []
        assert denied(later, only=True, step="execute", at=soon)


def post(client: Client, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = client.post(path, json.dumps(body, default=str), content_type="application/json")
    return answer.status_code, answer.json()


def ask(**changes: Any) -> dict[str, Any]:
    now = timezone.now()
    return {
        "name": "Quarter end",
        "kind": "freeze",
        "starts_at": now.isoformat(),
        "ends_at": (now + timedelta(hours=4)).isoformat(),
        "match": {"halls": ["hall-1"]},
        "reason": "books are closed",
        **changes,
    }


@pytest.mark.django_db
class TestRest:
    path = "/api/v1/policy/windows"

    def test_it_freezes_at_once_and_thaws_with_proof(
        self, demo_facility: None, client_as: SignIn, supervisor: Any
    ) -> None:
        client = client_as(supervisor)
        status, made = post(client, self.path, ask())
        assert (status, made["covers"], made["made_by"]) == (201, "in hall-1", "supervisor")
        [found] = denials(subject=RACK, at=timezone.now(), step="approve")
        assert "Quarter end" in found.sentence
        cancel = f"{self.path}/{made['id']}/cancel"
        body = {"reason": "over early"}
        assert post(client, cancel, body)[1]["code"] == "reauthentication_required"
        assert post(client, cancel, {**body, "password": PASSWORD})[0] == 200
        assert denials(subject=RACK, at=timezone.now(), step="approve") == []
        again = post(client, cancel, {**body, "password": PASSWORD})
        assert (again[0], again[1]["code"]) == (409, "already_cancelled")
        events = AuditEntry.objects.filter(event__startswith="window.").order_by("seq")
        assert [e.event for e in events] == [
            "window.created",
            "window.denied",
            "window.cancelled",
            "window.denied",
        ]

    def test_it_needs_proof_for_a_maintenance_window(
        self, demo_facility: None, client_as: SignIn, supervisor: Any
    ) -> None:
        client = client_as(supervisor)
        body = ask(kind="maintenance")
        assert post(client, self.path, body)[1]["code"] == "reauthentication_required"
        status, made = post(client, self.path, {**body, "password": PASSWORD})
        assert status == 201
        assert post(client, f"{self.path}/{made['id']}/cancel", {"reason": "no need"})[0] == 200

    def test_it_is_for_those_who_may_change_the_policy(
        self, demo_facility: None, client_as: SignIn, viewer: Any, operator: Any, supervisor: Any
    ) -> None:
        made = post(client_as(supervisor), self.path, ask())[1]
        for person in (viewer, operator):
            client = client_as(person)
            assert post(client, self.path, ask())[1]["code"] == "not_allowed"
            body = {"reason": "x", "password": PASSWORD}
            assert post(client, f"{self.path}/{made['id']}/cancel", body)[0] == 403
            assert client.get(self.path).json()["count"] == 1
            [one] = client.get("/api/v1/policy/calendar").json()
            assert (one["window"], one["kind"]) == (made["id"], "freeze")
        assert post(Client(), self.path, ask())[0] in (401, 403)
        assert client_as(viewer).get("/api/v1/policy/calendar?weeks=99").status_code == 400

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"ends_at": "2020-01-01T00:00:00Z"}, "before it starts"),
            ({"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-01-02T00:00:00Z"}, "over"),
            ({"ends_at": "2090-01-01T00:00:00Z"}, "two years"),
            ({"match": {"halls": ["hall-9"]}}, "hall-9"),
            ({"match": {"colour": ["red"]}}, "unknown field colour"),
            ({"weekly": {"days": [0]}}, "required"),
            ({"weekly": {"days": [0], "from": "1", "to": "2", "zone": "UTC"}}, "weekly.from"),
            (
                {"weekly": {"days": [0], "from": "01:00", "to": "02:00", "zone": "Mars"}},
                "no time zone",
            ),
        ],
    )
    def test_it_refuses_what_means_nothing(
        self,
        demo_facility: None,
        client_as: SignIn,
        supervisor: Any,
        change: dict[str, Any],
        text: str,
    ) -> None:
        status, body = post(client_as(supervisor), self.path, ask(**change))
        assert (status, body["code"]) == (400, "invalid_window")
        assert text in body["detail"]
        assert not ChangeWindow.objects.exists()

    def test_it_refuses_a_window_that_never_stands(
        self, demo_facility: None, client_as: SignIn, supervisor: Any
    ) -> None:
        tomorrow = timezone.now() + timedelta(days=1)
        weekly = {
            "days": [(tomorrow.weekday() + 3) % 7],
            "from": "10:00",
            "to": "11:00",
            "zone": "UTC",
        }
        body = ask(weekly=weekly, ends_at=tomorrow.isoformat())
        status, said = post(client_as(supervisor), self.path, body)
        assert status == 400 and "never stand" in said["detail"]

    def test_it_can_only_be_cancelled(
        self, demo_facility: None, client_as: SignIn, supervisor: Any
    ) -> None:
        made = post(client_as(supervisor), self.path, ask())[1]
        rows = ChangeWindow.objects.filter(pk=made["id"])
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.update(ends_at=timezone.now() + timedelta(minutes=1))
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.delete()
