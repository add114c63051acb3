"""Endpoints and page of what if: who may, what they answer, runs of workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from facilities.models import WhatIfRun, WhatIfState
from facilities.whatif import runs

URL = "/api/v1/twin/whatif"
RUNS = "/api/v1/twin/whatif/runs/"
TRIP = {"changes": [{"asset": "crac-2", "what": "crac_trip"}], "duration_s": 300, "draws": 2}
PATHS = ("/whatif/", "/api/v1/twin/whatif/catalogue", RUNS)


def post(client: Client, url: str, body: Any = None) -> Any:
    return client.post(url, data=body or {}, content_type="application/json")


@pytest.fixture
def hall(demo_facility: None) -> None:
    """The demo hall without a reading."""


@pytest.mark.django_db
@pytest.mark.usefixtures("hall")
class TestAccess:
    def test_it_is_for_people_who_are_signed_in(
        self, viewer: Any, operator: Any, supervisor: Any, client_as: Callable[..., Client]
    ) -> None:
        stranger = Client()
        for path in PATHS:
            assert stranger.get(path).status_code in (302, 401, 403)
        assert post(stranger, URL, TRIP).status_code in (401, 403)
        assert post(stranger, RUNS, TRIP).status_code in (401, 403)
        for user in (viewer, operator, supervisor):
            client = client_as(user)
            for path in PATHS:
                assert client.get(path).status_code == 200, path
            assert post(client, URL, TRIP).status_code == 200
        refused = post(client_as(viewer), RUNS, TRIP)
        assert refused.status_code == 403
        assert refused.json()["code"] == "permission_denied"
        assert "facilities.add_whatifrun" in refused.json()["detail"]

    def test_it_lets_people_end_their_own_runs_and_supervisors_all(
        self, viewer: Any, operator: Any, supervisor: Any, client_as: Callable[..., Client]
    ) -> None:
        def made(by: Any) -> int:
            return WhatIfRun.objects.create(
                title="x", requested_by=by, created_at=timezone.now()
            ).pk

        mine, other = made(operator), made(supervisor)
        client = client_as(operator)
        assert post(client, f"{RUNS}{other}/cancel").status_code == 403
        assert client.delete(f"{RUNS}{other}/").status_code == 403
        assert client_as(viewer).delete(f"{RUNS}{mine}/").status_code == 403
        assert post(client, f"{RUNS}{mine}/cancel").json()["state"] == "cancelled"
        assert post(client, f"{RUNS}{mine}/cancel").status_code == 409
        assert client_as(supervisor).delete(f"{RUNS}{mine}/").status_code == 204
        assert client_as(supervisor).delete(f"{RUNS}{other}/").status_code == 204
        assert client.get(f"{RUNS}{mine}/").status_code == 404


@pytest.mark.django_db
@pytest.mark.usefixtures("hall")
class TestEndpoints:
    def test_it_answers_and_refuses_with_the_field(
        self, viewer: Any, client_as: Callable[..., Client]
    ) -> None:
        client = client_as(viewer)
        answer = post(client, URL, TRIP).json()
        assert [o["title"] for o in answer["options"]] == ["Do nothing", "CRAC 2 trips"]
        assert len(answer["times_s"]) == 61
        assert answer["summary"]
        bad = post(client, URL, {"changes": [{"asset": "crac-9", "what": "crac_trip"}]})
        assert bad.status_code == 400
        assert bad.json()["code"] == "invalid"
        assert bad.json()["detail"] == "changes[0].asset: 'crac-9' is not an asset of the data list"
        assert post(client, URL, [1]).status_code == 400
        assert post(client, URL, {"title": "x" * 70_000}).status_code == 413

    def test_it_bounds_what_it_answers_for_long_times(
        self, viewer: Any, client_as: Callable[..., Client]
    ) -> None:
        answer = post(client_as(viewer), URL, {**TRIP, "duration_s": 7200, "draws": 1}).json()
        assert len(answer["times_s"]) <= 181
        assert answer["times_s"][-1] == 7200

    def test_it_gives_up_after_its_budget(
        self, viewer: Any, client_as: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from facilities.whatif import ask

        defaults = ask.whatif_ask.__kwdefaults__ or {}
        monkeypatch.setattr(ask.whatif_ask, "__kwdefaults__", {**defaults, "budget_s": 0.0})
        late = post(client_as(viewer), URL, TRIP)
        assert late.status_code == 422
        assert late.json()["code"] == "too_long"
        assert "twin/whatif/runs/" in late.json()["detail"]

    def test_it_lists_what_can_happen_to_an_asset_with_limits(
        self, viewer: Any, client_as: Callable[..., Client]
    ) -> None:
        client = client_as(viewer)
        everything = client.get(f"{URL}/catalogue").json()
        assert {e["group"] for e in everything["entries"]} == {"action", "fault", "outside"}
        of_crac = client.get(f"{URL}/catalogue?asset=crac-1").json()
        fan = next(e for e in of_crac["entries"] if e["name"] == "crac_fan")
        assert (fan["low"], fan["high"], fan["unit"]) == (30, 100, "%")
        speed = next(d for d in of_crac["drives"] if d["quantity"] == "fan_speed_sp_pct")
        assert speed["now"] == 70
        assert client.get(f"{URL}/catalogue?asset=nope").status_code == 400
        assert client.get(f"{URL}/catalogue?asset=leaf-1").json()["entries"] == []
        assert client.get(f"{URL}/catalogue?asset=site").json()["kind"] == "site"

    def test_its_pages_cost_a_fixed_number_of_queries(
        self, operator: Any, client_as: Callable[..., Client], django_assert_max_num_queries: Any
    ) -> None:
        client = client_as(operator)
        for number in range(12):
            WhatIfRun.objects.create(
                title=f"run {number}", requested_by=operator, created_at=timezone.now()
            )
        with django_assert_max_num_queries(7):
            assert b"Run 11" in client.get("/whatif/").content
        with django_assert_max_num_queries(5):
            assert client.get(RUNS).json()["count"] == 12
        assert client.get(f"{RUNS}?state=done").json()["count"] == 0
        assert client.get(f"{RUNS}?state=dreaming").status_code == 400

    def test_its_page_shows_presets_and_says_who_may_run(
        self, viewer: Any, client_as: Callable[..., Client]
    ) -> None:
        page = client_as(viewer).get("/whatif/?asset=crac-2&what=crac_trip").content.decode()
        assert "CRAC trips, standby after 2 min" in page
        assert "Needs the role operator" in page
        assert 'aria-current="page"' in page


class TestRuns:
    @pytest.fixture
    def made(self, demo_facility: None, operator: Any) -> WhatIfRun:
        return runs.run_create(question={**TRIP, "draws": 40}, user=operator)

    @pytest.mark.django_db
    def test_a_worker_computes_it_with_many_draws(
        self, made: WhatIfRun, operator: Any, client_as: Callable[..., Client]
    ) -> None:
        from facilities.tasks import run_whatif

        assert made.state == WhatIfState.QUEUED
        assert run_whatif(made.pk) == "done"
        assert run_whatif(made.pk) == ""
        client = client_as(operator)
        found = client.get(f"{RUNS}{made.pk}/").json()
        assert found["state"] == "done"
        assert found["progress"] == 1
        assert found["answer"]["draws"] == 40
        assert found["requested_by"] == "operator"
        shares = [a["options"][1]["probability"] for a in found["answer"]["alarms"]]
        assert all(0 <= share <= 1 for share in shares)
        csv = client.get(f"{RUNS}{made.pk}/export.csv")
        lines = csv.content.decode().splitlines()
        assert lines[0].startswith("time_s,series,unit,Do nothing p10")
        assert len(lines) == 1 + len(found["answer"]["series"]) * len(found["answer"]["times_s"])
        exported = client.get(f"{RUNS}{made.pk}/export.json").json()
        assert exported["question"]["draws"] == 40
        again = post(client, f"{RUNS}{made.pk}/again")
        assert again.status_code == 202
        assert again.json()["state"] == "queued"

    @pytest.mark.django_db
    def test_it_has_no_file_before_it_has_an_answer(
        self, made: WhatIfRun, operator: Any, client_as: Callable[..., Client]
    ) -> None:
        assert client_as(operator).get(f"{RUNS}{made.pk}/export.csv").status_code == 409

    @pytest.mark.django_db
    def test_it_keeps_progress_and_a_heartbeat(self, made: WhatIfRun, monkeypatch: Any) -> None:
        seen: list[float] = []
        monkeypatch.setattr(runs, "BEAT_S", 0.0)
        plain = runs._beat

        def watched(run_id: int) -> Any:
            beat = plain(run_id)

            def step(share: float) -> None:
                beat(share)
                row = WhatIfRun.objects.get(pk=run_id)
                assert row.heartbeat_at is not None
                assert row.state == WhatIfState.RUNNING
                seen.append(row.progress)

            return step

        monkeypatch.setattr(runs, "_beat", watched)
        assert runs.run_perform(run_id=made.pk) == "done"
        assert seen == sorted(seen)
        assert len(set(seen)) > 20
        assert seen[0] < 0.1
        assert seen[-1] == 0.99

    @pytest.mark.django_db
    def test_a_cancelled_run_stops(self, made: WhatIfRun, monkeypatch: Any) -> None:
        monkeypatch.setattr(runs, "BEAT_S", 0.0)
        plain, steps = runs._beat, []

        def cancelling(run_id: int) -> Any:
            beat = plain(run_id)

            def step(share: float) -> None:
                steps.append(share)
                if len(steps) == 5:
                    assert runs.run_cancel(run_id=run_id)
                beat(share)

            return step

        monkeypatch.setattr(runs, "_beat", cancelling)
        assert runs.run_perform(run_id=made.pk) == "cancelled"
        assert len(steps) == 5
        made.refresh_from_db()
        assert made.answer is None
        assert made.finished_at is not None

    @pytest.mark.django_db
    def test_a_run_whose_worker_died_is_failed_with_what_to_do(self, made: WhatIfRun) -> None:
        long_ago = timezone.now() - timedelta(minutes=2)
        WhatIfRun.objects.filter(pk=made.pk).update(
            state=WhatIfState.RUNNING, started_at=long_ago, heartbeat_at=long_ago
        )
        from facilities.tasks import tend_whatif

        assert tend_whatif() == 1
        made.refresh_from_db()
        assert made.state == WhatIfState.FAILED
        assert "Run it again" in made.problem
        # a worker that was only slow finds that the run is no longer its own
        with pytest.raises(runs._GoneError):
            monkey = runs._beat(made.pk)
            time.sleep(runs.BEAT_S + 0.05)
            monkey(0.5)

    @pytest.mark.django_db
    def test_it_leaves_alone_what_is_alive_and_drops_the_oldest(
        self, made: WhatIfRun, operator: Any
    ) -> None:
        now = timezone.now()
        WhatIfRun.objects.bulk_create(
            WhatIfRun(
                title="old",
                state="cancelled",
                created_at=now,
                finished_at=now - timedelta(hours=2),
                requested_by=operator,
            )
            for _ in range(runs.KEPT + 7)
        )
        assert runs.runs_tend() == 0
        made.refresh_from_db()
        assert made.state == WhatIfState.QUEUED
        assert WhatIfRun.objects.filter(state="cancelled").count() == runs.KEPT
        WhatIfRun.objects.filter(pk=made.pk).update(created_at=now - timedelta(hours=1))
        assert runs.runs_tend() == 1
        made.refresh_from_db()
        assert "queue" in made.problem

    @pytest.mark.django_db
    def test_a_person_has_a_few_open_runs_at_most(self, made: WhatIfRun, operator: Any) -> None:
        for _ in range(runs.MAX_WAITING - 1):
            runs.run_create(question=TRIP, user=operator)
        with pytest.raises(runs.RunError, match="cancel one"):
            runs.run_create(question=TRIP, user=operator)

    @pytest.mark.django_db
    def test_a_question_that_no_longer_fits_fails_with_words(self, made: WhatIfRun) -> None:
        WhatIfRun.objects.filter(pk=made.pk).update(
            question={**TRIP, "changes": [{"asset": "gone-1", "what": "crac_trip"}]}
        )
        assert runs.run_perform(run_id=made.pk) == "failed"
        made.refresh_from_db()
        assert "gone-1" in made.problem


@pytest.mark.django_db(transaction=True)
def test_only_one_of_two_workers_takes_a_run(demo_facility: None, operator: Any) -> None:
    run = runs.run_create(question={**TRIP, "draws": 1}, user=operator)
    outcomes: list[str] = []

    def work() -> None:
        try:
            outcomes.append(runs.run_perform(run_id=run.pk))
        finally:
            connections.close_all()

    both = [threading.Thread(target=work) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(outcomes) == ["", "done"]
