"""The policy, who would have to sign an action, and the form to propose one."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from approvals.catalogue import KINDS
from approvals.models import ChangeVerdict, PolicyChange, PolicyVersion
from approvals.policy.classes import acted_on
from approvals.policy.compare import changes_between, rule_words
from approvals.policy.default import DOCUMENT
from approvals.policy.document import in_force
from facilities.models import Hall

VERSIONS = 20


def match_choices() -> dict[str, Any]:
    """What rules and windows can name, for the forms."""
    return {
        "kinds": [{"name": k.name, "title": k.title, "risk": k.risk} for k in KINDS.values()],
        "halls": list(Hall.objects.order_by("slug").values_list("slug", flat=True)),
        "target_kinds": sorted(acted_on()),
        "zones": sorted(available_timezones()),
    }


@require_safe
@login_required
def policy(request: HttpRequest) -> HttpResponse:
    """The rules in force, an editor with a simulation, changes that wait, and the history."""
    number, document = in_force()
    versions = PolicyVersion.objects.select_related("made_by")
    shown = Paginator(versions, VERSIONS).get_page(request.GET.get("page"))
    waiting = PolicyChange.objects.filter(verdict=ChangeVerdict.WAITING).select_related("made_by")
    return render(
        request,
        "approvals/policy.html",
        {
            "nav": "approvals",
            "number": number,
            "page": shown,
            "history": _with_changes(list(shown)),
            "waiting": [(change, changes_between(document, change.document)) for change in waiting],
            "may_change": request.user.has_perm("approvals.change_policy"),
            "data": {
                "number": number,
                "document": document,
                "defaults": {n: DOCUMENT[n] for n in ("break_glass", "drills", "changes")},
                "sentences": [rule_words(rule) for rule in document["rules"]],
                "may_change": request.user.has_perm("approvals.change_policy"),
                **match_choices(),
            },
        },
    )


def _with_changes(versions: list[PolicyVersion]) -> list[tuple[PolicyVersion, list[str]]]:
    """Versions, newest first, each with what it changed."""
    documents = {v.number: v.document for v in versions}
    if versions:
        before = PolicyVersion.objects.filter(pk=versions[-1].number - 1).first()
        documents |= {before.number: before.document} if before else {}
    return [
        (v, changes_between(documents[v.number - 1], v.document))
        if v.number - 1 in documents
        else (v, [])
        for v in versions
    ]


@require_safe
@login_required
def who(request: HttpRequest) -> HttpResponse:
    """Pick an action and a time: who would have to sign it, and what stands in its way."""
    return render(request, "approvals/policy_who.html", {"nav": "approvals"})


@require_safe
@login_required
def propose(request: HttpRequest) -> HttpResponse:
    """Ask for an action, with everything that the signers will see before it is sent."""
    return render(
        request,
        "approvals/propose.html",
        {"nav": "approvals", "may_propose": request.user.has_perm("approvals.add_proposal")},
    )
