"""Emergency approvals by one person, and the reviews that others owe afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from approvals.audit import SYSTEM, audit_append
from approvals.canonical import iso_utc
from approvals.errors import (
    ConflictError,
    GateError,
    NotAllowedError,
    NotFoundError,
    ReasonRequiredError,
)
from approvals.models import (
    AuditEntry,
    BreakGlass,
    BreakGlassReview,
    Decision,
    Proposal,
    ReviewVerdict,
)
from approvals.notify import notify
from approvals.policy.document import policy_now

LEAST_REASON: Final = 20
"""Letters of an emergency's reason: a sentence, not a word. The database asks for it as well."""
REVIEW = "approvals.review_break_glass"


def terms(*, reason: str) -> None:
    """Raise unless the policy allows emergencies and the reason says enough."""
    if not policy_now().break_glass.enabled:
        raise NotAllowedError(
            "the policy in force allows no emergency approvals", code="break_glass_off"
        )
    if len(reason.strip()) < LEAST_REASON:
        raise ReasonRequiredError(
            f"an emergency approval needs a reason of at least {LEAST_REASON} letters: others "
            "review it afterwards"
        )


def refuse_needless(*, proposal: Proposal, user: AbstractUser, waives: list[str]) -> None:
    """Raise when there is nothing to waive."""
    if not waives:
        raise ConflictError(
            f"proposal {proposal.pk} needs no emergency: {user.get_username()}'s ordinary "
            "signature is enough",
            code="break_glass_not_needed",
        )


def break_glass_open(*, decision: Decision, waived: list[str]) -> BreakGlass:
    """Record an emergency approval in the transaction of its decision."""
    rules = policy_now().break_glass
    due_at = decision.at + timedelta(hours=rules.review_within_h)
    made = BreakGlass.objects.create(
        decision=decision, waived=waived, reviews_needed=rules.reviews, due_at=due_at
    )
    name = decision.user.get_username()
    audit_append(
        event="break_glass.used",
        actor=name,
        obj=f"proposal:{decision.proposal_id}",
        payload={
            "break_glass": made.pk,
            "reason": decision.reason,
            "waived": waived,
            "reviews_needed": rules.reviews,
            "due_at": iso_utc(due_at),
        },
    )
    notify(
        event="break_glass.used",
        proposal=decision.proposal,
        text=f"{name} approved proposal {decision.proposal_id} alone in an emergency: "
        f"{decision.reason}. {rules.reviews} review(s) are due by {due_at:%Y-%m-%d %H:%M} UTC.",
        key=f"break-glass:{made.pk}",
    )
    return made


def break_glass_review(
    *, break_glass_id: int, user: AbstractUser, verdict: str, comment: str
) -> BreakGlass:
    """Add one person's review; the last one that is needed closes the case.

    Raises NotFoundError, NotAllowedError (permission, own emergency), ReasonRequiredError (no
    comment), ConflictError (`already_reviewed`), InvalidReviewError.
    """
    try:
        with transaction.atomic():
            found = (
                BreakGlass.objects.select_for_update(no_key=True, of=("self",))
                .select_related("decision__user", "decision__proposal")
                .filter(pk=break_glass_id)
                .first()
            )
            if found is None:
                raise NotFoundError(f"there is no emergency approval {break_glass_id}")
            _may_review(found, user)
            if verdict not in ReviewVerdict.values:
                raise GateError(
                    f"verdict {verdict!r} is none of {', '.join(ReviewVerdict.values)}",
                    code="invalid",
                )
            if not comment.strip():
                raise ReasonRequiredError("a review needs a comment: what was looked at, and why")
            BreakGlassReview.objects.create(
                break_glass=found,
                reviewer_id=user.pk,
                verdict=verdict,
                comment=comment.strip(),
                at=timezone.now(),
            )
            _note(found, user.get_username(), "reviewed", verdict=verdict, comment=comment.strip())
            verdicts = list(found.reviews.values_list("verdict", flat=True))
            if found.closed_at is None and len(verdicts) >= found.reviews_needed:
                found.closed_at = timezone.now()
                found.save(update_fields=["closed_at"])
                _note(found, SYSTEM, "closed", verdicts=verdicts)
    except GateError as error:
        audit_append(
            event="break_glass.review_denied",
            actor=user.get_username(),
            obj=f"break-glass:{break_glass_id}",
            payload={"status": error.status, "code": error.code, "detail": error.detail},
        )
        raise
    return found


def _may_review(found: BreakGlass, user: AbstractUser) -> None:
    name = user.get_username()
    if not user.has_perm(REVIEW):
        raise NotAllowedError(
            f"{name} may not review emergency approvals (needs approvals.review_break_glass)"
        )
    if found.decision.user_id == user.pk:
        raise NotAllowedError(
            f"{name} approved proposal {found.decision.proposal_id} alone; others have to review "
            "that",
            code="own_emergency",
        )
    if found.reviews.filter(reviewer_id=user.pk).exists():
        raise ConflictError(
            f"{name} has reviewed emergency approval {found.pk} already", code="already_reviewed"
        )


def break_glasses() -> QuerySet[BreakGlass]:
    """All emergency approvals with what the page and the API show: a fixed number of queries."""
    return BreakGlass.objects.select_related(
        "decision__user", "decision__proposal"
    ).prefetch_related("reviews__reviewer")


def break_glass_overdue() -> QuerySet[BreakGlass]:
    """Those whose reviews are late."""
    return break_glasses().filter(closed_at=None, due_at__lte=timezone.now())


def break_glass_remind() -> int:
    """Tell people, once each, of emergencies whose reviews are late. Returns how many."""
    told = 0
    for late in break_glass_overdue():
        with transaction.atomic():
            BreakGlass.objects.select_for_update(no_key=True).get(pk=late.pk)
            obj = f"break-glass:{late.pk}"
            if AuditEntry.objects.filter(object=obj, event="break_glass.overdue").exists():
                continue
            missing = late.reviews_needed - len(late.reviews.all())
            notify(
                event="break_glass.overdue",
                proposal=late.decision.proposal,
                text=f"{missing} review(s) of the emergency approval of proposal "
                f"{late.decision.proposal_id} by {late.decision.user.get_username()} were due at "
                f"{late.due_at:%Y-%m-%d %H:%M} UTC",
                key=f"break-glass-overdue:{late.pk}",
            )
            _note(late, SYSTEM, "overdue", missing=missing)
            told += 1
    return told


def _note(found: BreakGlass, actor: str, what: str, **facts: object) -> None:
    audit_append(
        event=f"break_glass.{what}",
        actor=actor,
        obj=f"break-glass:{found.pk}",
        payload={"proposal": found.decision.proposal_id, **facts},
    )
