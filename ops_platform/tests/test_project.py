"""Facts about the whole tree that no single room can test."""

import subprocess
import sys
from io import StringIO

import pytest
from django.apps import apps
from django.contrib import admin as admin_site
from django.core.management import call_command
from django.db.models import Model

from ops_platform.celery import QUEUES, app
from ops_platform.config import BASE_DIR

OURS = ("ops_platform", "facilities", "rag", "approvals")


def test_no_migration_is_missing(db: None) -> None:
    out = StringIO()
    call_command("makemigrations", check=True, dry_run=True, stdout=out)
    assert "No changes detected" in out.getvalue()


def _in_console(label: str) -> list[type[Model]]:
    """Models of an app; Django's admin takes none with a composite key (Reading)."""
    models = apps.get_app_config(label).get_models()
    return [model for model in models if not model._meta.is_composite_pk]


def test_every_model_is_in_the_admin_console() -> None:
    missing = [
        model.__name__
        for label in OURS
        for model in _in_console(label)
        if not admin_site.site.is_registered(model)
    ]
    assert missing == []


def test_the_web_process_imports_nothing_heavy() -> None:
    code = (
        "import sys, ops_platform.asgi\n"
        "import ops_platform.urls\n"
        "print([name for name in ('torch', 'llama_cpp', 'sentence_transformers', 'openai')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_every_task_goes_to_one_of_the_four_queues() -> None:
    app.loader.import_default_modules()
    ours = [name for name in app.tasks if name.split(".")[0] in OURS]
    assert len(ours) > 5
    routed = {name: app.amqp.router.route({}, name)["queue"].name for name in ours}
    assert set(routed.values()) == set(QUEUES)
    for name, queue in routed.items():
        assert (queue == "actions") == name.startswith("approvals.tasks.execute_"), name


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()
    assert len(app.conf.beat_schedule) >= 4
    for name, entry in app.conf.beat_schedule.items():
        assert entry["task"] in app.tasks, name


@pytest.mark.parametrize("path", ["/metrics", "/api/schema/", "/api/docs/"])
def test_strangers_from_elsewhere_learn_nothing(client, path: str) -> None:
    answer = client.get(path, REMOTE_ADDR="203.0.113.9")
    assert answer.status_code in {401, 403}


def test_metrics_are_there_for_a_scraper_on_this_host(client, db: None) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert b"django_http_requests_total_by_method_total" in answer.content


def test_api_errors_have_one_shape(client_as, viewer) -> None:
    answer = client_as(viewer).get("/api/v1/nothing-here")
    assert answer.status_code == 404
    assert set(answer.json()) == {"code", "detail"}


def test_pages_carry_a_strict_content_security_policy(client_as, operator, admin) -> None:
    policy = client_as(operator).get("/")["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "unsafe" not in policy
    assert "unsafe-eval" in client_as(admin).get("/admin/")["Content-Security-Policy"]


def test_the_admin_console_is_for_admins(client_as, viewer, supervisor, admin) -> None:
    for user, status in ((viewer, 302), (supervisor, 302), (admin, 200)):
        assert client_as(user).get("/admin/").status_code == status


def test_every_admin_list_opens(client_as, admin) -> None:
    client = client_as(admin)
    for label in OURS:
        for model in _in_console(label):
            path = f"/admin/{label}/{model._meta.model_name}/"
            assert client.get(path).status_code == 200, path
