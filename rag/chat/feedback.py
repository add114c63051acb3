"""Judgements of answers, and the golden questions that are made of them."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from rag.chat.sessions import closed_to
from rag.models import ChatMessage, Feedback, GoldenQuestion, Passage


@dataclass(frozen=True)
class Judged:
    """A feedback with the question before the answer, and the passages that retrieval found."""

    feedback: Feedback
    question: str
    passages: list[Passage]
    is_closed: bool

    @property
    def can_be_golden(self) -> bool:
        """Whether one click is enough: what is relevant is known, or that nothing is."""
        message = self.feedback.message
        return bool(relevant_of(message)) or (self.feedback.is_good and message.mode == "none")


class FeedbackRefused(ValueError):
    """This cannot be judged or made golden; the message says why."""


def own_answer(*, user: Any, message_id: int) -> ChatMessage | None:
    """An answer in a conversation of the user's own."""
    if not 0 < message_id < 2**63:
        return None
    return ChatMessage.objects.filter(
        pk=message_id,
        session__user=user,
        session__deleted_at__isnull=True,
        role=ChatMessage.Role.ASSISTANT,
    ).first()


def feedback_give(
    *,
    user: Any,
    message: ChatMessage,
    is_good: bool,
    reason: str = "",
    comment: str = "",
    correction: str = "",
) -> Feedback:
    """Keep a user's judgement of an answer; it replaces an earlier one."""
    if not is_good and reason not in Feedback.Reason.values:
        raise FeedbackRefused(f"A thumb down needs one of: {', '.join(Feedback.Reason.values)}.")
    values = {
        "is_good": is_good,
        "reason": "" if is_good else reason,
        "comment": comment.replace("\x00", " ").strip()[:1000],
        "correction": correction.replace("\x00", " ").strip()[:4000],
    }
    return Feedback.objects.update_or_create(message=message, user=user, defaults=values)[0]


def feedback_withdraw(*, user: Any, message: ChatMessage) -> None:
    """Take a judgement back."""
    Feedback.objects.filter(message=message, user=user).delete()


def feedback_list(*, which: str = "bad", reason: str = "") -> QuerySet[Feedback]:
    """Judgements, newest first. `which`: bad, good, open (bad without a golden question), all."""
    found = Feedback.objects.select_related("message__golden", "user").defer("message__tsv")
    if which in ("bad", "open"):
        found = found.filter(is_good=False)
    if which == "good":
        found = found.filter(is_good=True)
    if which == "open":
        found = found.filter(message__golden__isnull=True)
    if reason:
        found = found.filter(reason=reason)
    return found.order_by("-updated_at", "-pk")


def judged(*, user: Any, rows: list[Feedback]) -> list[Judged]:
    """The rows with question and passages, as far as `user` may read them. Four queries."""
    messages = [row.message for row in rows]
    questions = _questions(messages)
    closed = closed_to(user=user, documents=(s for m in messages for s in m.documents))
    wanted = {pk for m in messages for pk in _passage_ids(m)}
    passages = {
        passage.pk: passage
        for passage in Passage.objects.filter(pk__in=wanted)
        .select_related("revision__document")
        .defer("tsv")
    }
    hidden = closed_to(user=user, documents={p.revision.document.slug for p in passages.values()})
    found = []
    for row in rows:
        own = [
            passages[pk]
            for pk in _passage_ids(row.message)
            if pk in passages and passages[pk].revision.document.slug not in hidden
        ]
        is_closed = bool(set(row.message.documents) & closed)
        found.append(Judged(row, questions.get(row.message_id, ""), own, is_closed))
    return found


def _passage_ids(message: ChatMessage) -> list[int]:
    cited = [c["passage_id"] for c in message.citations if c.get("passage_id")]
    return list(dict.fromkeys([*cited, *message.passages]))[:5]


def _questions(messages: list[ChatMessage]) -> dict[int, str]:
    """The question that each answer answers. One query."""
    asked: dict[int, list[tuple[int, str]]] = {}
    rows = ChatMessage.objects.filter(
        session__in={m.session_id for m in messages}, role=ChatMessage.Role.USER
    ).values_list("session", "id", "text")
    for session, pk, text in rows:
        asked.setdefault(session, []).append((pk, text))
    return {
        m.pk: max(
            ((pk, text) for pk, text in asked.get(m.session_id, []) if pk < m.pk), default=(0, "")
        )[1]
        for m in messages
    }


def golden_from_feedback(*, user: Any, feedback: Feedback) -> GoldenQuestion:
    """Make a golden question of a judged answer; the same answer gives the same one again.

    The query is the question as understood; what the answer cites is relevant (`slug#step`, or
    document and section); the correction is its answer. An answer that cites nothing and was
    judged right (“not in the documents”) becomes an unanswerable question. Raises
    FeedbackRefused where neither holds: then what is relevant has to be told in the test bench.
    """
    message = feedback.message
    question = message.asked_as or _questions([message]).get(message.pk, "")
    if not question:
        raise FeedbackRefused("The question of this answer is gone.")
    relevant = relevant_of(message)
    if not relevant and not (feedback.is_good and message.mode == "none"):
        raise FeedbackRefused(
            "This answer cites no passage, so it is not known what would have been right. Mark the "
            "passages in the test bench instead."
        )
    with transaction.atomic():
        golden, _ = GoldenQuestion.objects.get_or_create(
            message=message,
            defaults={
                "query": question[:1000],
                "relevant": relevant,
                "key_facts": [],
                "is_answerable": bool(relevant),
                # A wrong source is nothing to measure against before somebody has looked at it.
                "is_active": feedback.reason != Feedback.Reason.SOURCE,
                "answer": feedback.correction or (message.text if feedback.is_good else ""),
                "created_by": user,
            },
        )
    return golden


def relevant_of(message: ChatMessage) -> list[Any]:
    """What an answer cites, in the form of the golden files (docs/evaluation.md)."""
    found: list[Any] = []
    for citation in message.citations:
        slug = citation.get("document")
        if not slug:
            continue
        if citation.get("step") is not None:
            item: Any = f"{slug}#{citation['step']}"
        elif citation.get("section"):
            item = {"document": slug, "section": citation["section"].split(" › ")[-1]}
        else:
            item = slug
        if item not in found:
            found.append(item)
    return found
