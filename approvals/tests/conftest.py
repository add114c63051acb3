"""A demo hall whose readings a test sets, proposals in it, and the real plant."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection
from django.utils import timezone

from approvals.canonical import digest_of
from approvals.catalogue import KINDS, Action
from approvals.models import PolicyVersion, Proposal
from approvals.policy.default import DOCUMENT
from approvals.services.proposals import ProposalDraft, proposal_create
from approvals.situations import situation_read
from approvals.tests.field_kit import field, field_process  # noqa: F401 - fixtures

SetValues = Callable[[dict[str, float]], None]
MakeProposal = Callable[..., Proposal]

HEALTHY: dict[str, float] = {
    **{f"crac-{n}.running": 1.0 for n in (1, 2, 3)},
    **{f"crac-{n}.run_cmd": 1.0 for n in (1, 2, 3)},
    "crac-4.running": 0.0,
    "crac-4.run_cmd": 0.0,
    **{f"crac-{n}.fault": 0.0 for n in (1, 2, 3, 4)},
    **{f"crac-{n}.fan_speed_sp_pct": 70.0 for n in (1, 2, 3, 4)},
    **{f"crac-{n}.supply_sp_c": 18.0 for n in (1, 2, 3, 4)},
    "chiller-1.running": 1.0,
    "chiller-2.running": 0.0,
    "chwp-1.running": 1.0,
    "chwp-2.running": 0.0,
    **{f"rack-{r}-{n:02}.inlet_c": 23.5 for r in (1, 2) for n in range(1, 9)},
    **{f"rack-{r}-{n:02}.power_w": 9000.0 for r in (1, 2) for n in range(1, 9)},
    **{f"rack-{r}-{n:02}.load_cap_pct": 100.0 for r in (1, 2) for n in range(1, 9)},
}
CRAC_2_DOWN: dict[str, float] = {"crac-2.running": 0.0, "crac-2.fault": 1.0}


@pytest.fixture(autouse=True)
def _shipped_policy(request: pytest.FixtureRequest) -> None:
    """The policy that migration 0011 ships, also where a transactional test before emptied it."""
    with_database = request.node.get_closest_marker("django_db") is not None
    if not with_database and not {"db", "transactional_db"} & set(request.fixturenames):
        return
    request.getfixturevalue("_django_db_helper")
    PolicyVersion.objects.get_or_create(
        number=1,
        defaults={
            "document": DOCUMENT,
            "digest": digest_of(DOCUMENT),
            "made_at": timezone.now(),
        },
    )


@pytest.fixture
def set_values(demo_facility: None) -> SetValues:
    """Write latest readings as of now; the hall starts healthy."""
    from facilities.models import LatestReading, Point

    def write(values: dict[str, float]) -> None:
        now = timezone.now()
        points = dict(Point.objects.filter(tag__in=values).values_list("tag", "pk"))
        LatestReading.objects.bulk_create(
            [
                LatestReading(point_id=points[tag], ts=now, value=value, received_at=now)
                for tag, value in values.items()
            ],
            update_conflicts=True,
            unique_fields=["point"],
            update_fields=["ts", "value", "received_at"],
        )

    write(HEALTHY)
    return write


@pytest.fixture
def make_proposal(set_values: SetValues) -> MakeProposal:
    """Return a function that makes a pending proposal, by default: start crac-4 for lost crac-2."""
    set_values(CRAC_2_DOWN)

    def make(
        kind: str = "start_standby_crac",
        target: str = "crac-4",
        params: dict[str, float] | None = None,
        requested_by: Any = None,
    ) -> Proposal:
        situation = situation_read(hall="hall-1")
        action = next(
            (a for a in KINDS[kind].candidates(situation) if a.target == target and params is None),
            Action(kind, target, params or {}),
        )
        return proposal_create(
            draft=ProposalDraft(
                action=action,
                rationale="CRAC 2 reports a fault.",
                citations=[
                    {
                        "passage": 1,
                        "document": "eop-crac-01",
                        "title": "EOP-CRAC-01 CRAC failure",
                        "kind": "eop",
                        "revision": 3,
                        "section": "Steps",
                        "step": "4",
                        "text": "Start the standby CRAC.",
                        "url": "/library/eop-crac-01/#p-6",
                    }
                ],
            ),
            situation=situation,
            requested_by=requested_by,
        )

    return make


PASSWORD = "correct-horse-battery"


@pytest.fixture
def person(db: None) -> Callable[[str, str], Any]:
    """Return a function that makes one more account: `(role, name)`."""
    from django.contrib.auth.models import Group

    from ops_platform.models import User
    from ops_platform.roles import assign_role, sync_roles

    def make(role: str, name: str) -> Any:
        if not Group.objects.filter(name=role, permissions__isnull=False).exists():
            sync_roles()
        user = User.objects.create_user(name, password=PASSWORD)
        assign_role(user, role)
        return User.objects.get(pk=user.pk)

    return make


@pytest.fixture
def ask_for(db: None) -> Callable[..., None]:
    """Return a function that puts one more rule for everything on top of the policy in force."""
    from approvals.canonical import digest_of
    from approvals.models import PolicyVersion
    from approvals.policy.document import in_force

    def change(*, deny: bool = False, reason: str = "", part: Any = None, **require: Any) -> None:
        number, document = in_force()
        rule = {"name": f"Test rule {number}", "require": require, "deny": deny, "reason": reason}
        changed = {**document, "rules": [*document["rules"], rule], **(part or {})}
        PolicyVersion.objects.create(
            number=number + 1,
            document=changed,
            digest=digest_of(changed),
            made_at=timezone.now(),
        )

    return change


@pytest.fixture
def sql() -> Callable[..., list[tuple[Any, ...]]]:
    """Run raw SQL as somebody with a prompt would."""

    def run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, list(parameters))
            return list(cursor.fetchall()) if cursor.description else []

    return run


@pytest.fixture
def forced(sql: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that sets columns of proposals past the database's guards."""

    def force(*pks: int, **columns: Any) -> None:
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql("ALTER TABLE approvals_proposal DISABLE TRIGGER USER")
        Proposal.objects.filter(pk__in=pks).update(**columns)
        sql("ALTER TABLE approvals_proposal ENABLE TRIGGER USER")
        sql("SET CONSTRAINTS ALL DEFERRED")

    return force


@dataclass(frozen=True)
class PlantProcess:
    """The real demo plant, its own process, told to push to nobody."""

    url: str
    token: str

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.get(self.url + path, headers=headers, trust_env=False, timeout=5)
        answer.raise_for_status()
        return answer.json()

    def writes(self) -> list[dict[str, Any]]:
        """The plant's own log of setpoint writes."""
        return list(self.get("/writes")["writes"])


@pytest.fixture(scope="session")
def plant_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantProcess]:
    token, port = "plant-test-token", _free_port()
    data_dir = tmp_path_factory.mktemp("plant")
    log = (data_dir / "plant.log").open("wb")
    child = subprocess.Popen(
        [sys.executable, "manage.py", "plant", f"--port={port}", "--web-url=http://127.0.0.1:9"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OPS_DATA_DIR": str(data_dir), "OPS_PLANT_TOKEN": token},
        stdout=log,
        stderr=log,
    )
    plant = PlantProcess(f"http://127.0.0.1:{port}", token)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(plant.url + "/health", trust_env=False, timeout=1)
                break
            except httpx.TransportError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((data_dir / "plant.log").read_text()[-2000:]) from None
                time.sleep(0.1)
        yield plant
    finally:
        child.terminate()
        child.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def plant(plant_process: PlantProcess, settings: Any) -> PlantProcess:
    """The plant, with the settings pointing to it."""
    settings.PLANT_URL, settings.PLANT_TOKEN = plant_process.url, plant_process.token
    return plant_process
