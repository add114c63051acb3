"""One asset is written by one proposal at a time, and by its newest worker only."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals import execution
from approvals.execution import run as runner
from approvals.execution.claim import claim
from approvals.execution.leases import BusyError, leases_release, leases_renew, leases_take
from approvals.execution.progress import OvertakenError
from approvals.models import AssetLease, Execution, Outcome
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import events, fans, keys, made, signed

pytestmark = pytest.mark.django_db


def test_it_waits_for_the_proposal_that_has_the_asset(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    first = signed(made(fans(71.0, 72.0)), operator)
    second = signed(
        made(fans(73.0, first=2), kind="set_supply_setpoint", target="crac-2"), operator
    )
    begun = claim(first.pk).run
    assert begun is not None
    before = len(plant.writes())
    assert execution.execute(proposal_id=second.pk).outcome == ""
    second.refresh_from_db()
    assert (second.state, len(plant.writes())) == ("approved", before)
    assert f"waits for proposal {first.pk}" in execution.waiting_sentence(proposal=second)
    assert "crac-2" in execution.waiting_sentence(proposal=second)
    assert execution.execute(proposal_id=first.pk).outcome == Outcome.SUCCEEDED
    assert execution.execute(proposal_id=second.pk).outcome == Outcome.SUCCEEDED
    assert [w["value"] for w in plant.writes()[before:]] == [71.0, 72.0, 73.0]
    assert not AssetLease.objects.exclude(holder=None).exists()


def test_it_takes_none_of_the_leases_when_one_is_busy(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    first = signed(made(fans(71.0, first=2), target="crac-2"), operator)
    assert claim(first.pk).run is not None
    both = signed(made(fans(74.0, 75.0)), operator)
    assert claim(both.pk).run is None
    assert AssetLease.objects.filter(holder=both).count() == 0
    assert not Execution.objects.filter(proposal=both).exists()


def test_it_counts_the_fence_up_and_stops_the_older_worker(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    """A worker that was paused for long and lost its lock: another has taken its execution on."""
    proposal = signed(made(fans(76.0, 77.0)), operator)
    zombie, newer = claim(proposal.pk).run, claim(proposal.pk).run
    assert zombie is not None
    assert newer is not None
    assert (zombie.execution.fence, newer.execution.fence) == (1, 2)
    assert newer.fences["crac-1"] > zombie.fences["crac-1"]
    before = plant.writes()
    with pytest.raises(OvertakenError):
        runner._carry_out(zombie)
    assert plant.writes() == before
    assert runner._carry_out(newer).outcome == Outcome.SUCCEEDED
    with pytest.raises(OvertakenError):
        runner._carry_out(zombie)
    assert len(keys(plant.writes(), proposal)) == 2
    assert events(proposal).count("proposal.succeeded") == 1


def test_it_lets_the_plant_refuse_what_an_older_worker_had_on_the_wire(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    """The last gap: the older worker passed every check, slept, and sends after all was done."""
    first = signed(made(fans(78.0)), operator)
    zombie = claim(first.pk).run
    assert zombie is not None
    newer = claim(first.pk).run
    assert newer is not None
    assert runner._carry_out(newer).outcome == Outcome.SUCCEEDED
    stale = runner.order_of(
        {**zombie.execution.writes[0], "value": 55.0, "key": "z:0"}, zombie.fences
    )
    with pytest.raises(runner.DriverError, match="409"):
        runner.send(stale, obj="proposal:0")
    assert "z:0" not in [w["key"] for w in plant.writes()]


@pytest.mark.django_db(transaction=True)
def test_it_serialises_claims_of_one_asset_that_come_at_once(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    kinds = ("set_fan_speed", "set_supply_setpoint", "start_standby_crac")
    proposals = [signed(made(fans(70.0 + i), kind=k), operator) for i, k in enumerate(kinds)]
    start, claimed = threading.Barrier(3), []

    def work(pk: int) -> None:
        start.wait()
        try:
            claimed.append(claim(pk).run is not None)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(p.pk,)) for p in proposals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(claimed) == [False, False, True]
    assert Execution.objects.count() == 1


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("take", "renew", "release")),
            st.integers(0, 2),
            st.sets(st.sampled_from(("a", "b", "c")), min_size=1),
        ),
        max_size=12,
    )
)
def test_it_never_gives_one_asset_to_two_and_tokens_only_count_up(
    steps: list[tuple[str, int, set[str]]], operator: Any
) -> None:
    with transaction.atomic():
        people = [made(fans(1.0), target=f"t-{i}", kind=f"k{i}") for i in range(3)]
        owners: dict[str, int] = {}
        tokens: dict[str, int] = {}
        for what, who, assets in steps:
            if what == "release":
                leases_release(proposal=people[who])
                owners = {a: o for a, o in owners.items() if o != who}
            elif what == "renew":
                leases_renew(proposal=people[who])
            else:
                free = all(owners.get(a, who) == who for a in assets)
                try:
                    with transaction.atomic():
                        leases_take(proposal=people[who], assets=assets)
                    assert free
                    owners.update(dict.fromkeys(assets, who))
                except BusyError as busy:
                    assert not free
                    assert "waits for proposal" in busy.sentence
            now = dict(AssetLease.objects.values_list("asset", "token"))
            assert all(now[a] >= t for a, t in tokens.items())
            tokens = now
            held = AssetLease.objects.exclude(holder=None).values_list("asset", "holder_id")
            assert dict(held) == {a: people[o].pk for a, o in owners.items()}
        transaction.set_rollback(True)


def test_it_refuses_a_token_that_counts_down_by_raw_sql(db: None, sql: Any) -> None:
    AssetLease.objects.create(asset="crac-1", token=7)
    with pytest.raises(IntegrityError, match="only counts up"), transaction.atomic():
        sql("UPDATE approvals_assetlease SET token = 6 WHERE asset = 'crac-1'")
