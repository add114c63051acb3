"""Thumbs on answers, and golden questions made of them."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.api.chat_serializers import FeedbackSerializer, GoldenSerializer
from rag.api.serializers import ErrorSerializer
from rag.chat import feedback as judgements
from rag.models import ChatMessage, Feedback


def own_answer(request: Request, message_id: int) -> ChatMessage:
    """An answer of the caller's own, else 404."""
    message = judgements.own_answer(user=request.user, message_id=message_id)
    if message is None:
        raise NotFound(f"You have no answer {message_id}.")
    return message


class FeedbackView(APIView):
    """A thumb on one of your own answers."""

    @extend_schema(
        operation_id="chat_feedback",
        summary="Judge an answer",
        request=FeedbackSerializer,
        responses={200: FeedbackSerializer, 400: ErrorSerializer, 404: ErrorSerializer},
    )
    def post(self, request: Request, message_id: int) -> Response:
        """Thumb up or down with reason, comment, corrected answer; the last judgement counts.

        People who review feedback see the question and the answer of what was judged.
        """
        message = own_answer(request, message_id)
        body = FeedbackSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        kept = judgements.feedback_give(user=request.user, message=message, **body.validated_data)
        return Response(_shown(kept))

    @extend_schema(
        operation_id="chat_feedback_withdraw",
        summary="Take a judgement back",
        responses={204: OpenApiResponse(description="Gone"), 404: ErrorSerializer},
    )
    def delete(self, request: Request, message_id: int) -> Response:
        """Remove your judgement."""
        judgements.feedback_withdraw(user=request.user, message=own_answer(request, message_id))
        return Response(status=204)


def _shown(kept: Feedback) -> dict[str, Any]:
    return {"is_good": kept.is_good, "reason": kept.reason, "comment": kept.comment,
            "correction": kept.correction}  # fmt: skip


class FeedbackGoldenView(APIView):
    """A golden question of a feedback."""

    @extend_schema(
        operation_id="chat_feedback_golden",
        summary="Make a golden question of a judged answer",
        request=None,
        responses={
            200: GoldenSerializer,
            400: ErrorSerializer,
            403: ErrorSerializer,
            404: ErrorSerializer,
        },
    )
    def post(self, request: Request, feedback_id: int) -> Response:
        """One click; the same answer gives the same golden question again."""
        may = request.user.has_perm("rag.review_feedback") and request.user.has_perm(
            "rag.add_goldenquestion"
        )
        if not may:
            raise PermissionDenied("This needs rag.review_feedback and rag.add_goldenquestion.")
        kept = Feedback.objects.select_related("message").filter(pk=feedback_id).first()
        if kept is None or judgements.judged(user=request.user, rows=[kept])[0].is_closed:
            raise NotFound(f"There is no feedback {feedback_id}.")
        try:
            golden = judgements.golden_from_feedback(user=request.user, feedback=kept)
        except judgements.FeedbackRefused as error:
            return Response({"code": "invalid", "detail": str(error)}, status=400)
        return Response({
            "id": golden.pk, "query": golden.query, "relevant": golden.relevant,
            "is_answerable": golden.is_answerable,
        })  # fmt: skip
