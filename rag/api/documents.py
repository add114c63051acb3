"""Documents: list, upload, and what supervisors decide about them."""

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.access import Reader, collections_of, readable
from rag.api.knowledge_serializers import (
    DocumentDetailSerializer,
    ImportJobSerializer,
    MoveSerializer,
    ReasonSerializer,
    UnchangedSerializer,
    UploadResultSerializer,
    UploadSerializer,
)
from rag.api.serializers import DocumentSerializer, ErrorSerializer
from rag.intake.lifecycle import (
    LifecycleRefused,
    document_move,
    document_restore,
    document_withdraw,
    revision_put_in_force,
)
from rag.intake.uploads import UploadRefused, upload_take
from rag.models import Document, ImportJob
from rag.selectors import documents


class MayAddDocuments(BasePermission):
    """Reading is for everybody signed in; uploading needs `rag.add_document`."""

    message = "You may not upload documents: it needs the operator role (rag.add_document)."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this request may pass."""
        return request.method != "POST" or request.user.has_perm("rag.add_document")


class MayChangeDocuments(BasePermission):
    """Decisions about documents need `rag.change_document`."""

    message = (
        "You may not decide about documents: it needs the supervisor role (rag.change_document)."
    )

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this request may pass."""
        return request.user.has_perm("rag.change_document")


def refusal(status_code: int, code: str, detail: str) -> Response:
    """An error in the API's one shape."""
    return Response({"code": code, "detail": detail}, status=status_code)


def document_of(request: Request, slug: str) -> Document:
    """The document, for those who may read it; 404 for everybody else."""
    allowed = readable(Reader.of(request.user), "collection")
    return get_object_or_404(documents().filter(allowed), slug=slug)


class DocumentsView(generics.ListAPIView[Document]):
    """The library."""

    permission_classes = [IsAuthenticated, MayAddDocuments]
    serializer_class = DocumentSerializer
    parser_classes = [MultiPartParser]

    def get_queryset(self):  # type: ignore[no-untyped-def]
        """Documents that the user may read, by the filters of the query string."""
        wanted = self.request.query_params
        found = documents(
            collection=wanted.get("collection", "").replace("\x00", ""),
            kind=wanted.get("kind", "").replace("\x00", ""),
        )
        return found.filter(readable(Reader.of(self.request.user), "collection"))

    @extend_schema(
        operation_id="knowledge_documents_list",
        parameters=[
            OpenApiParameter("collection", str, description="slug of a collection"),
            OpenApiParameter("kind", str, description="manual, sop, mop, eop, report or note"),
        ],
    )
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Documents with the state of their newest revision."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="knowledge_documents_upload",
        request={"multipart/form-data": UploadSerializer},
        responses={
            200: UnchangedSerializer,
            202: UploadResultSerializer,
            400: ErrorSerializer,
            404: ErrorSerializer,
            413: ErrorSerializer,
            415: ErrorSerializer,
        },
    )
    def post(self, request: Request) -> Response:
        """Hand in one file, or a ZIP of files; a worker reads and embeds it.

        202 with the import job and its `Location`; 200 when the library holds these bytes under
        this path already. What is refused at once stores nothing.
        """
        upload = UploadSerializer(data=request.data)
        upload.is_valid(raise_exception=True)
        body = upload.validated_data
        file = body["file"]
        try:
            taken = upload_take(
                stream=file,
                name=str(file.name),
                size=file.size or 0,
                collection=body["collection"],
                kind=body["kind"],
                user=request.user,
                path=body["path"],
                batch=body.get("batch"),
            )
        except UploadRefused as error:
            return refusal(error.status, error.code, str(error))
        if taken.unchanged is not None:
            known = {
                "status": "unchanged",
                "batch": taken.batch,
                "document": documents().get(pk=taken.unchanged.pk),
            }
            return Response(UnchangedSerializer(known).data)
        jobs = ImportJobSerializer(taken.jobs, many=True).data
        is_failed = all(job.state == ImportJob.State.FAILED for job in taken.jobs)
        answer = {"status": "failed" if is_failed else "queued", **jobs[0], "jobs": jobs}
        return Response(
            answer, status=status.HTTP_202_ACCEPTED, headers={"Location": jobs[0]["url"]}
        )


class DocumentView(APIView):
    """One document."""

    @extend_schema(
        operation_id="knowledge_document",
        responses={200: DocumentDetailSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, slug: str) -> Response:
        """A document with its revisions and its history."""
        return _detail(request, slug)


def _detail(request: Request, slug: str) -> Response:
    found = document_of(request, slug)
    revisions = list(found.revisions.order_by("-number"))
    for revision in revisions:
        revision.document = found  # what `is_in_force` asks
    body = DocumentSerializer(found).data | {
        "owner": found.owner,
        "withdrawn_at": found.withdrawn_at,
    }
    detail = DocumentDetailSerializer()
    body["revisions"] = detail.fields["revisions"].to_representation(revisions)
    events = list(found.events.select_related("user"))
    body["events"] = detail.fields["events"].to_representation(events)
    return Response(body)


class _Decision(APIView):
    """What a supervisor decides about a document, with a reason."""

    permission_classes = [IsAuthenticated, MayChangeDocuments]
    body: type[ReasonSerializer] = ReasonSerializer

    def decided(self, request: Request, slug: str, decide: Any) -> Response:
        """Run the service; the document as it is then, 409 where it makes no sense."""
        body = self.body(data=request.data)
        body.is_valid(raise_exception=True)
        document = document_of(request, slug)
        try:
            decide(document, **body.validated_data)
        except LifecycleRefused as error:
            return refusal(status.HTTP_409_CONFLICT, "refused", str(error))
        return _detail(request, slug)


_DECIDED = {200: DocumentDetailSerializer, 404: ErrorSerializer, 409: ErrorSerializer}


class WithdrawView(_Decision):
    """Take a document out of use."""

    @extend_schema(
        operation_id="knowledge_document_withdraw", request=ReasonSerializer, responses=_DECIDED
    )
    def post(self, request: Request, slug: str) -> Response:
        """No answer uses the document from now on; its revisions are kept. Needs a reason."""
        return self.decided(
            request,
            slug,
            lambda document, reason: document_withdraw(
                document=document, user=request.user, reason=reason
            ),
        )


class RestoreView(_Decision):
    """Undo a withdrawal."""

    @extend_schema(
        operation_id="knowledge_document_restore", request=ReasonSerializer, responses=_DECIDED
    )
    def post(self, request: Request, slug: str) -> Response:
        """Answers may use the document again."""
        return self.decided(
            request,
            slug,
            lambda document, reason: document_restore(
                document=document, user=request.user, reason=reason
            ),
        )


class MoveView(_Decision):
    """Put a document on another shelf."""

    body = MoveSerializer

    @extend_schema(
        operation_id="knowledge_document_move", request=MoveSerializer, responses=_DECIDED
    )
    def post(self, request: Request, slug: str) -> Response:
        """Move the document; who may read the other collection reads it from now on. Needs a
        reason. 404 for a collection that you may not read."""

        def decide(document: Document, reason: str, collection: str) -> None:
            shelves = collections_of(Reader.of(request.user))
            document_move(
                document=document,
                collection=get_object_or_404(shelves, slug=collection),
                user=request.user,
                reason=reason,
            )

        return self.decided(request, slug, decide)


class PutInForceView(_Decision):
    """Undo a revision."""

    @extend_schema(
        operation_id="knowledge_revision_put_in_force",
        request=ReasonSerializer,
        responses=_DECIDED,
        parameters=[OpenApiParameter("number", OpenApiTypes.INT, OpenApiParameter.PATH)],
    )
    def post(self, request: Request, slug: str, number: int) -> Response:
        """Put an earlier revision's text back in force, as a new revision. Needs a reason."""

        def decide(document: Document, reason: str) -> None:
            revision = document.revisions.filter(number=number).first()
            if revision is None:
                raise Http404
            revision_put_in_force(revision=revision, user=request.user, reason=reason)

        return self.decided(request, slug, decide)
