"""Everything about one proposal or investigation."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from approvals import selectors
from approvals.cards import card_for, precondition_rows
from approvals.execution import dry_run
from approvals.models import Investigation, Proposal
from facilities.hallmap.plan import hall_plan
from facilities.models import Asset, Hall


@require_GET
@login_required
def proposal(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one proposal: evidence, reasoning, signature, writes, effect, trail."""
    found = get_object_or_404(selectors.proposals(), pk=pk)
    user = cast(AbstractUser, request.user)
    return render(
        request,
        "approvals/proposal.html",
        {
            "nav": "approvals",
            "card": card_for(proposal=found, user=user, is_open=True),
            "payload": found.payload(),
            "preconditions": precondition_rows(found),
            "investigations": selectors.investigations_of(proposal_id=pk),
            "entries": selectors.audit_of(obj=f"proposal:{pk}"),
            "planned": dry_run(writes=found.writes),
            "digest_holds": found.computed_digest() == found.digest,
            "family": _family(found),
            "hold": selectors.gate_hold_now(),
            "can_stop_all": user.has_perm("approvals.stop_all"),
        },
    )


def _family(proposal: Proposal) -> list[dict[str, Any]]:
    """The revisions of one proposal in order, each with the parameters that changed; [] for one."""
    chain: list[Proposal] = [proposal]
    while chain[0].revises_id:
        chain.insert(0, selectors.proposals().get(pk=chain[0].revises_id))
    while (later := selectors.proposals().filter(revises_id=chain[-1].pk).first()) is not None:
        chain.append(later)
    if len(chain) == 1:
        return []
    rows: list[dict[str, Any]] = []
    before: dict[str, Any] = {}
    for one in chain:
        names = dict.fromkeys((*before, *one.params))
        rows.append(
            {
                "proposal": one,
                "changes": [
                    {"name": name, "old": before.get(name), "new": one.params.get(name)}
                    for name in names
                    if before.get(name) != one.params.get(name)
                ],
            }
        )
        before = one.params
    return rows


@require_GET
@login_required
def blast(request: HttpRequest, pk: int) -> HttpResponse:
    """The plan of the hall and what of it the action reaches, for the small map."""
    found = get_object_or_404(Proposal.objects.only("target", "blast_radius", "writes"), pk=pk)
    radius = found.blast_radius
    own = Asset.objects.filter(tag=found.target).values_list("hall__slug", flat=True).first()
    slug = next(iter(radius.get("halls") or []), own)
    if not slug:
        raise Http404(f"proposal {pk} reaches no hall that could be drawn")
    try:
        plan = hall_plan(slug)
    except Hall.DoesNotExist:
        raise Http404(f"there is no hall {slug!r}") from None
    racks = set(
        Asset.objects.filter(tag__in=radius.get("servers") or [])
        .exclude(rack=None)
        .values_list("rack__tag", flat=True)
    )
    acted = {found.target, *(write["tag"].rpartition(".")[0] for write in found.writes)}
    return JsonResponse(
        {
            "plan": plan.as_dict(),
            "acted": sorted(acted),
            "reached": sorted({*radius.get("racks", []), *radius.get("links", []), *racks}),
            "sentence": radius.get("sentence", ""),
        }
    )


@require_GET
@login_required
def investigation(request: HttpRequest, pk: int) -> HttpResponse:
    """What the agent did about one occasion, also when it proposed nothing.

    With `?again` its conclusion is drawn again from the record before it is shown.
    """
    found = get_object_or_404(
        Investigation.objects.select_related(
            "alarm__point__asset", "alarm__rule", "proposal", "asked_by"
        ),
        pk=pk,
    )
    return render(
        request,
        "approvals/investigation.html",
        {
            "nav": "approvals",
            "investigation": found,
            "has_record": bool(found.record),
            "again": _drawn_again(found) if "again" in request.GET else None,
        },
    )


def _drawn_again(found: Investigation) -> dict[str, Any]:
    """{same, differences, problem}: the conclusion drawn again from the record, asking nobody."""
    from approvals.agent.replay import RecordError, replay

    try:
        differences = replay(found.record or {})
    except RecordError as error:
        return {"same": False, "differences": [], "problem": str(error)}
    return {"same": not differences, "differences": differences[:12], "problem": ""}
