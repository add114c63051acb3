"""The policy is changed here: append-only, by two people where it gets weaker.

Every refusal is audited in its own transaction, after the refused one rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone

from approvals.audit import audit_append
from approvals.canonical import digest_of
from approvals.errors import (
    ConflictError,
    GateError,
    NotAllowedError,
    NotFoundError,
    ReasonRequiredError,
)
from approvals.models import ChangeVerdict, PolicyChange, PolicyVersion
from approvals.policy.check import document_problems
from approvals.policy.compare import changes_between, rule_words, weakens
from approvals.policy.default import DOCUMENT
from approvals.policy.document import SHIPPED_NUMBER, in_force, policy_of
from approvals.policy.people import policy_makers

# Names the policy's numbering among PostgreSQL's advisory locks.
POLICY_LOCK = 0x504F4C49
LEAST_NOTE = 5


class InvalidPolicyError(GateError):
    """A document that cannot be used; `problems` says where and why (400)."""

    code = "invalid_policy"


def policy_change(
    *,
    user: AbstractUser,
    document: Mapping[str, Any],
    note: str,
    base_number: int,
    password: str = "",
    otp: str = "",
    request: HttpRequest | None = None,
) -> PolicyVersion | PolicyChange:
    """Put a document in force as the next version, or, where it asks for less than the policy in
    force and somebody else could agree, leave it for a second person.

    Raises NotAllowedError, ReasonRequiredError (no note), InvalidPolicyError (with every problem),
    ReauthenticationRequiredError, ConflictError (`policy_changed`: somebody changed it since
    `base_number`; `unchanged`).
    """
    with _audited(user, document):
        _may_change(user, note)
        require_usable(document)
        _reauthenticate(user, password, otp, request)
        with transaction.atomic():
            number, before = _locked(base_number)
            if digest_of(document) == digest_of(before):
                raise ConflictError(
                    f"the document is the policy {number} that is in force already",
                    code="unchanged",
                )
            old, new = policy_of(before, number), policy_of(document, number + 1)
            weaker = [one._asdict() for one in weakens(old, new, timezone.now())]
            others = [one for one in policy_makers() if one.pk != user.pk]
            if weaker and old.second_person and others:
                return _leave_for_another(user, document, note, number, weaker)
            return _put_in_force(user, document, before, note, number, weaker)


def policy_restore(
    *,
    user: AbstractUser,
    number: int,
    note: str,
    base_number: int,
    password: str = "",
    otp: str = "",
    request: HttpRequest | None = None,
) -> PolicyVersion | PolicyChange:
    """Put an old version's document in force again, as a new version. Raises as `policy_change`."""
    old = PolicyVersion.objects.filter(pk=number).first()
    if old is None:
        raise NotFoundError(f"there is no policy {number}")
    return policy_change(
        user=user,
        document=old.document,
        note=note.strip() or f"back to policy {number}",
        base_number=base_number,
        password=password,
        otp=otp,
        request=request,
    )


def policy_change_decide(
    *,
    change_id: int,
    user: AbstractUser,
    accept: bool,
    comment: str = "",
    password: str = "",
    otp: str = "",
    request: HttpRequest | None = None,
) -> PolicyVersion | PolicyChange:
    """The second person's word on a weakening change; who made it can only withdraw it.

    Raises NotFoundError, NotAllowedError (`own_change`), ReasonRequiredError (a refusal without a
    comment), ReauthenticationRequiredError, InvalidPolicyError (it no longer fits the facility),
    ConflictError (`already_decided`, `policy_changed`).
    """
    change = PolicyChange.objects.filter(pk=change_id).first()
    if change is None:
        raise NotFoundError(f"there is no change {change_id} of the policy")
    own = change.made_by_id == user.pk
    with _audited(user, change.document, change_id=change_id):
        if not user.has_perm("approvals.change_policy"):
            raise _not_allowed(user)
        if accept and own:
            raise NotAllowedError(
                f"{user.get_username()} made this change; somebody else has to accept it",
                code="own_change",
            )
        if accept:
            require_usable(change.document)
            _reauthenticate(user, password, otp, request)
        elif not own and not comment.strip():
            raise ReasonRequiredError("a refusal needs a comment: who made it will ask")
        with transaction.atomic():
            return _decided(change, user, accept, own, comment.strip())


def policy_examine(*, user: AbstractUser, document: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong with a document and what it would change: {problems, changes, weaker,
    needs_second_person, sentences: one per rule}. Stores nothing.
    """
    now = timezone.now()
    problems = document_problems(document, now=now)
    examined: dict[str, Any] = {
        "problems": [p._asdict() for p in problems],
        "changes": [],
        "weaker": [],
        "needs_second_person": False,
        "sentences": [],
    }
    if any(p.is_error for p in problems):
        return examined
    number, before = in_force()
    old = policy_of(before, number)
    weaker = weakens(old, policy_of(document, number + 1), now)
    others = any(one.pk != user.pk for one in policy_makers())
    return {
        **examined,
        "changes": changes_between(before, document),
        "weaker": [one._asdict() for one in weaker],
        "needs_second_person": bool(weaker and old.second_person and others),
        "sentences": [rule_words(rule) for rule in document["rules"]],
    }


def _decided(
    change: PolicyChange, user: AbstractUser, accept: bool, own: bool, comment: str
) -> PolicyVersion | PolicyChange:
    """Claim the change by a conditional UPDATE, then put it in force where it was accepted."""
    if accept:
        number, before = _locked(change.base)
    verdict = ChangeVerdict.ACCEPTED if accept else ChangeVerdict.REFUSED
    verdict = ChangeVerdict.WITHDRAWN if own else verdict
    claimed = PolicyChange.objects.filter(pk=change.pk, verdict=ChangeVerdict.WAITING).update(
        verdict=verdict, decided_by_id=user.pk, decided_at=timezone.now(), comment=comment
    )
    change.refresh_from_db()
    if claimed != 1:
        raise ConflictError(
            f"change {change.pk} of the policy was {change.verdict} already",
            code="already_decided",
        )
    audit_append(
        event=f"policy.change_{verdict}",
        actor=user.get_username(),
        obj=f"policy_change:{change.pk}",
        payload={"base": change.base, "digest": change.digest, "comment": comment},
    )
    if not accept:
        return change
    maker: Any = change.made_by
    return _put_in_force(
        maker, change.document, before, change.note, number, change.weaker, second=user
    )


def _leave_for_another(
    user: AbstractUser,
    document: Mapping[str, Any],
    note: str,
    base: int,
    weaker: list[dict[str, Any]],
) -> PolicyChange:
    change = PolicyChange.objects.create(
        base=base,
        document=dict(document),
        digest=digest_of(document),
        note=note.strip(),
        weaker=weaker,
        made_by_id=user.pk,
        made_at=timezone.now(),
    )
    audit_append(
        event="policy.change_asked",
        actor=user.get_username(),
        obj=f"policy_change:{change.pk}",
        payload={"base": base, "digest": change.digest, "note": change.note, "weaker": weaker},
    )
    return change


def _put_in_force(
    user: AbstractUser,
    document: Mapping[str, Any],
    before: Mapping[str, Any],
    note: str,
    base: int,
    weaker: list[dict[str, Any]],
    second: AbstractUser | None = None,
) -> PolicyVersion:
    version = PolicyVersion.objects.create(
        number=base + 1,
        document=dict(document),
        digest=digest_of(document),
        note=note.strip(),
        made_by_id=user.pk,
        made_at=timezone.now(),
    )
    audit_append(
        event="policy.changed",
        actor=user.get_username(),
        obj=f"policy:{version.number}",
        payload={
            "number": version.number,
            "digest": version.digest,
            "note": version.note,
            "changes": changes_between(before, document),
            "weaker": weaker,
            "second_person": second.get_username() if second else "",
            "document": dict(document),
        },
    )
    return version


def _locked(base_number: int) -> tuple[int, dict[str, Any]]:
    """The policy in force, which stays so until the transaction ends; it has to be
    `base_number`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [POLICY_LOCK])
    if not PolicyVersion.objects.exists():
        PolicyVersion.objects.create(
            number=SHIPPED_NUMBER,
            document=DOCUMENT,
            digest=digest_of(DOCUMENT),
            made_at=timezone.now(),
        )
    number, document = in_force()
    if number != base_number:
        raise ConflictError(
            f"policy {number} is in force; the change was made to policy {base_number}. Load the "
            "present one and change that",
            code="policy_changed",
            in_force=number,
        )
    return number, document


def _may_change(user: AbstractUser, note: str) -> None:
    if not user.has_perm("approvals.change_policy"):
        raise _not_allowed(user)
    if len(note.strip()) < LEAST_NOTE:
        raise ReasonRequiredError(
            f"a change of the policy needs a note of at least {LEAST_NOTE} characters: why is it "
            "made?"
        )


def _not_allowed(user: AbstractUser) -> NotAllowedError:
    return NotAllowedError(
        f"{user.get_username()} may not change the policy (needs approvals.change_policy)"
    )


def require_usable(document: Mapping[str, Any]) -> None:
    """Raise InvalidPolicyError with every error of a document."""
    errors = [p for p in document_problems(document, now=timezone.now()) if p.is_error]
    if errors:
        raise InvalidPolicyError(
            "; ".join(f"{p.where}: {p.text}" for p in errors[:5]),
            problems=[{"where": p.where, "text": p.text} for p in errors],
        )


def _reauthenticate(
    user: AbstractUser, password: str, otp: str, request: HttpRequest | None
) -> None:
    from approvals.signing import reauthenticate

    reauthenticate(user=user, password=password, otp=otp, request=request)


@contextmanager
def _audited(
    user: AbstractUser, document: Mapping[str, Any], change_id: int | None = None
) -> Iterator[None]:
    """Put a refusal in the trail."""
    try:
        yield
    except GateError as error:
        try:
            digest = digest_of(document)
        except (TypeError, ValueError):
            digest = ""
        audit_append(
            event="policy.denied",
            actor=user.get_username(),
            obj=f"policy_change:{change_id}" if change_id else "policy",
            payload={
                "digest": digest,
                "status": error.status,
                "code": error.code,
                "detail": error.detail,
            },
        )
        raise
