"""What people decide about documents: withdraw, restore, move, put an earlier revision in force."""

from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from rag.intake.indexing import SWITCH_LOCK, revision_put
from rag.intake.storing import vectors_take_over
from rag.models import (
    Collection,
    Document,
    DocumentEvent,
    ImportJob,
    Passage,
    Revision,
    RevisionState,
)
from rag.models.job import ACTIVE_STATES

Action = DocumentEvent.Action


class LifecycleRefused(Exception):
    """The decision makes no sense for this document now; the message says why."""


def event_record(
    *,
    document: Document,
    action: str,
    user: Any = None,
    reason: str = "",
    revision: int | None = None,
) -> DocumentEvent:
    """Add an entry to the document's history."""
    return DocumentEvent.objects.create(
        document=document, action=action, user=user, reason=reason[:500], revision=revision
    )


def document_withdraw(*, document: Document, user: Any, reason: str) -> Document:
    """Take a document out of every answer from now on; its revisions are kept.

    Raises LifecycleRefused without a reason, and when it is withdrawn already.
    """
    if not reason.strip():
        raise LifecycleRefused("Withdrawing a document needs a reason.")
    with transaction.atomic():
        changed = Document.objects.filter(pk=document.pk, withdrawn_at__isnull=True).update(
            withdrawn_at=timezone.now()
        )
        if not changed:
            raise LifecycleRefused(f"'{document.title}' is already withdrawn.")
        event_record(document=document, action=Action.WITHDRAWN, user=user, reason=reason.strip())
    document.refresh_from_db()
    return document


def document_restore(*, document: Document, user: Any, reason: str = "") -> Document:
    """Let answers use a withdrawn document again. Raises LifecycleRefused when it is not."""
    with transaction.atomic():
        changed = Document.objects.filter(pk=document.pk, withdrawn_at__isnull=False).update(
            withdrawn_at=None
        )
        if not changed:
            raise LifecycleRefused(f"'{document.title}' is not withdrawn.")
        event_record(document=document, action=Action.RESTORED, user=user, reason=reason.strip())
    document.refresh_from_db()
    return document


def document_move(
    *, document: Document, collection: Collection, user: Any, reason: str
) -> Document:
    """Put a document on another shelf; who reads that one reads it from the next search on.

    Its address, revisions and history stay. Raises LifecycleRefused without a reason, where it is
    already there, while a file of it waits to be read, and where the other collection holds a
    document of the same path (which a new import could no longer tell apart).
    """
    if not reason.strip():
        raise LifecycleRefused("Moving a document needs a reason.")
    with transaction.atomic():
        kept = Document.objects.select_for_update(no_key=True).select_related("collection")
        found = kept.get(pk=document.pk)
        source = found.collection
        if source == collection:
            raise LifecycleRefused(f"'{found.title}' is in {collection.name} already.")
        if ImportJob.objects.filter(
            collection=source, source_path=found.source_path, state__in=ACTIVE_STATES
        ).exists():
            raise LifecycleRefused(f"'{found.title}' is being imported; move it when that is done.")
        same = Document.objects.filter(collection=collection, source_path=found.source_path)
        if other := same.first():
            raise LifecycleRefused(
                f"{collection.name} holds '{other.title}' from the same path "
                f"({found.source_path}); withdraw or rename one of the two."
            )
        Document.objects.filter(pk=found.pk).update(
            collection=collection, updated_at=timezone.now()
        )
        event_record(
            document=found,
            action=Action.MOVED,
            user=user,
            reason=f"From {source.name} to {collection.name}: {reason.strip()}",
        )
    document.refresh_from_db()
    return document


def revision_put_in_force(*, revision: Revision, user: Any, reason: str) -> Revision:
    """Put the text of an earlier revision back in force, as a new revision, and return that.

    A new row, because the old one's time in force is over: what was in force at any time in the
    past stays true. Passages and vectors are copied, so it serves at once. Raises LifecycleRefused
    without a reason, for a revision that never became ready, and for the one in force.
    """
    if not reason.strip():
        raise LifecycleRefused("Putting a revision back in force needs a reason.")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [SWITCH_LOCK])
        document = Document.objects.select_for_update(no_key=True).get(pk=revision.document_id)
        old = Revision.objects.select_related("document").get(pk=revision.pk)
        if old.state != RevisionState.READY:
            raise LifecycleRefused(
                f"Revision {old.number} is {old.get_state_display().lower()}, not ready."
            )
        if old.is_in_force:
            raise LifecycleRefused(f"Revision {old.number} is in force already.")
        copy = _copy(old, document)
        vectors_take_over(revision=copy)
        revision_put(revision=copy, document=document)
        event_record(
            document=document,
            action=Action.REINSTATED,
            user=user,
            reason=f"Revision {old.number} as {copy.number}: {reason.strip()}",
            revision=copy.number,
        )
    copy.refresh_from_db()
    return copy


def _copy(old: Revision, document: Document) -> Revision:
    """The same content under the next number, effective when it is put in force."""
    highest = document.revisions.aggregate(highest=Max("number"))["highest"] or 0
    dated = ("effective", "effective_from", "effective_date", "revision")
    meta = {key: value for key, value in old.meta.items() if key not in dated}
    copy = Revision.objects.create(
        document=document,
        number=highest + 1,
        title=old.title,
        kind=old.kind,
        effective_from=timezone.now(),
        author=old.author,
        approver=old.approver,
        review_due=old.review_due,
        sha256=old.sha256,
        markup=old.markup,
        meta={**meta, "reinstates": old.number},
        file_id=old.file_id,
        pages=old.pages,
        flags=old.flags,
    )
    names = [
        field.attname
        for field in Passage._meta.concrete_fields
        if not field.primary_key and not field.generated and field.attname != "revision_id"
    ]
    columns = ", ".join(names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO rag_passage (revision_id, {columns}) "  # noqa: S608 - field names
            f"SELECT %s, {columns} FROM rag_passage WHERE revision_id = %s",
            [copy.pk, old.pk],
        )
    return copy
