"""One's own conversations: list, search, read, rename, delete with undo, export. Owner only."""

from typing import Any

from django.http import HttpResponse
from django.utils.text import slugify
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.api.chat_serializers import (
    SessionDetailSerializer,
    SessionPageSerializer,
    SessionSerializer,
    SessionTitleSerializer,
)
from rag.api.serializers import ErrorSerializer
from rag.chat import history, sessions
from rag.models import ChatSession

FORMS = {"markdown": ("text/markdown; charset=utf-8", "md"), "json": ("application/json", "json")}


class SessionPages(PageNumberPagination):
    """Pages of 30, at most 100 by ``?page_size=``."""

    page_size = 30
    page_size_query_param = "page_size"
    max_page_size = 100


def own_session(request: Request, session_id: int) -> ChatSession:
    """The caller's own conversation, else 404: another's is as absent as an unknown one."""
    session = sessions.session_get(user=request.user, session_id=session_id)
    if session is None:
        raise NotFound(f"You have no conversation {session_id}.")
    return session


class SessionsView(APIView):
    """Own conversations."""

    @extend_schema(
        operation_id="chat_sessions",
        summary="Your conversations, newest first",
        parameters=[
            OpenApiParameter("search", str, description="Words in titles, questions and answers"),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int, description="1 to 100"),
        ],
        responses={200: SessionPageSerializer, 400: ErrorSerializer},
    )
    def get(self, request: Request) -> Response:
        """List, or search by PostgreSQL full text (websearch syntax)."""
        search = request.query_params.get("search", "")
        if len(search) > history.MAX_QUERY_CHARS:
            raise ValidationError({"search": [f"at most {history.MAX_QUERY_CHARS} characters"]})
        pages = SessionPages()
        found = history.own_sessions(user=request.user, search=search)
        rows = list(pages.paginate_queryset(found, request, view=self) or [])
        where = history.snippets(user=request.user, sessions=rows, search=search)
        data = [_listed(row, where.get(row.pk, [])) for row in rows]
        return pages.get_paginated_response(SessionSerializer(data, many=True).data)


def _listed(row: Any, found: list[history.Snippet]) -> dict[str, Any]:
    snippets = [{"role": s.role, "parts": [list(part) for part in s.parts]} for s in found]
    return {"id": row.pk, "title": row.title, "created_at": row.created_at,
            "updated_at": row.updated_at, "questions": row.questions, "found": snippets}  # fmt: skip


class SessionView(APIView):
    """One conversation."""

    @extend_schema(
        operation_id="chat_session",
        summary="A conversation with its messages",
        responses={200: SessionDetailSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, session_id: int) -> Response:
        """What was asked and answered. Quotations that are closed to you since are left out."""
        session = own_session(request, session_id)
        return Response({
            "id": session.pk, "title": session.title, "created_at": session.created_at,
            "updated_at": session.updated_at,
            "messages": sessions.messages_shown(session=session, user=request.user),
        })  # fmt: skip

    @extend_schema(
        operation_id="chat_session_rename",
        summary="Rename a conversation",
        request=SessionTitleSerializer,
        responses={200: SessionTitleSerializer, 400: ErrorSerializer, 404: ErrorSerializer},
    )
    def patch(self, request: Request, session_id: int) -> Response:
        """Give it another title."""
        session = own_session(request, session_id)
        body = SessionTitleSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            sessions.session_rename(session=session, title=body.validated_data["title"])
        except ValueError as error:
            raise ValidationError({"title": [str(error)]}) from error
        return Response({"title": session.title})

    @extend_schema(
        operation_id="chat_session_delete",
        summary="Delete a conversation",
        responses={204: OpenApiResponse(description="Deleted"), 404: ErrorSerializer},
    )
    def delete(self, request: Request, session_id: int) -> Response:
        """Delete it; it can be restored for ten minutes."""
        sessions.session_delete(session=own_session(request, session_id))
        return Response(status=204)


class SessionRestoreView(APIView):
    """Undo of a deletion."""

    @extend_schema(
        operation_id="chat_session_restore",
        summary="Bring a deleted conversation back",
        request=None,
        responses={200: SessionTitleSerializer, 404: ErrorSerializer},
    )
    def post(self, request: Request, session_id: int) -> Response:
        """Restore, while it has not been purged."""
        session = sessions.session_restore(user=request.user, session_id=session_id)
        if session is None:
            raise NotFound(f"There is no deleted conversation {session_id} to restore.")
        return Response({"title": session.title})


class SessionExportView(APIView):
    """A conversation as a file."""

    @extend_schema(
        operation_id="chat_session_export",
        summary="Export a conversation with citations and revisions",
        parameters=[
            OpenApiParameter("form", str, enum=list(FORMS), description="Default: markdown")
        ],
        responses={
            (200, "text/markdown"): OpenApiTypes.STR,
            (200, "application/json"): OpenApiTypes.OBJECT,
            404: ErrorSerializer,
        },
    )
    def get(self, request: Request, session_id: int) -> HttpResponse:
        """Markdown for people, JSON for programs."""
        session = own_session(request, session_id)
        form = request.query_params.get("form", "markdown")
        if form not in FORMS:
            raise ValidationError({"form": [f"{form[:40]!r} is not one of {', '.join(FORMS)}"]})
        make = history.export_json if form == "json" else history.export_markdown
        kind, ending = FORMS[form]
        response = HttpResponse(make(session=session, user=request.user), content_type=kind)
        name = slugify(session.title)[:60] or f"conversation-{session.pk}"
        response["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
        response["X-Content-Type-Options"] = "nosniff"
        return response
