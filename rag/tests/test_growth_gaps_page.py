"""The page and the endpoints of gaps: who sees and may do what, filters, export, cost."""

import pytest
from django.utils import timezone

from rag.models import Gap

QUESTION = "How is the fuel polishing plant started?"


class TestPage:
    @pytest.fixture
    def gap(self, viewer) -> Gap:
        return Gap.objects.create(
            kind="question",
            key="k",
            title="=cmd()|' /C calc'!A0",
            detail={"question": QUESTION, "people": 1, "nearest": []},
            seen_at=timezone.now(),
        )

    @pytest.mark.parametrize(
        ("role", "status"),
        [("viewer", 403), ("operator", 200), ("supervisor", 200), ("admin", 200)],
    )
    def test_who_may_dismiss(self, gap, request, client_as, role, status):
        client = client_as(request.getfixturevalue(role))
        page = client.get("/knowledge/gaps/").content.decode()
        assert ('data-do="dismiss"' in page) == (status == 200)
        answer = client.post(
            f"/api/v1/knowledge/gaps/{gap.pk}/dismiss",
            {"reason": "A joke"},
            content_type="application/json",
        )
        assert answer.status_code == status
        if status == 200:
            assert (answer.json()["state"], answer.json()["note"]) == ("dismissed", "A joke")

    def test_strangers_are_sent_to_the_log_in(self, gap, client):
        assert client.get("/knowledge/gaps/").url.startswith("/login/")
        assert client.get("/knowledge/gaps/export.csv").url.startswith("/login/")
        assert client.get("/api/v1/knowledge/gaps").status_code == 403

    def test_the_api_filters_and_acts(self, gap, client_as, operator, corpus, no_engine):
        client = client_as(operator)
        base = "/api/v1/knowledge/gaps"
        assert client.get(f"{base}?kind=question&state=open&owner=unassigned").json()["count"] == 1
        assert client.get(f"{base}?kind=alarm").json()["count"] == 0
        assert client.get(f"{base}?kind=odd").json()["code"] == "invalid"

        def post(step: str, body: dict[str, str]):
            return client.post(f"{base}/{gap.pk}/{step}", body, content_type="application/json")

        assert post("assign", {"owner": "Power team"}).json()["owner"] == "Power team"
        assert post("link", {"document": "no-such"}).json()["code"] == "unknown_document"
        linked = post("link", {"document": "sop-test-ups"}).json()
        assert (linked["state"], linked["closing"]) == ("open", "sop-test-ups")
        assert post("dismiss", {}).json()["code"] == "reason_required"
        assert post("dismiss", {"reason": "x"}).status_code == 200
        assert post("assign", {"owner": "y"}).status_code == 409
        assert post("reopen", {}).json()["state"] == "open"
        assert client.post(f"{base}/999999/reopen").status_code == 404

    def test_the_export_is_no_formula(self, gap, client_as, viewer):
        answer = client_as(viewer).get("/knowledge/gaps/export.csv?kind=question")
        text = b"".join(answer.streaming_content).decode()
        assert text.startswith("\ufeffid,kind,state,title")
        assert "'=cmd()" in text
        assert ",=cmd" not in text
        assert "attachment" in answer["Content-Disposition"]

    def test_it_pins_the_number_of_queries(
        self, gap, client_as, viewer, django_assert_max_num_queries
    ):
        for number in range(20):
            Gap.objects.create(kind="alarm", key=str(number), title="x", detail={})
        client = client_as(viewer)
        client.get("/knowledge/gaps/")
        with django_assert_max_num_queries(11):
            client.get("/knowledge/gaps/?state=all")
        with django_assert_max_num_queries(7):
            client.get("/api/v1/knowledge/gaps")

    def test_it_is_never_broken_by_odd_filters(self, gap, client_as, viewer):
        client = client_as(viewer)
        assert (
            client.get("/knowledge/gaps/?kind=x&state=y&owner=%00&text=%00&page=z").status_code
            == 200
        )
        assert "No gap matches" in client.get("/knowledge/gaps/?text=zzz").content.decode()
