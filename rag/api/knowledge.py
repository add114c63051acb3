"""Search, list and upload documents."""

from dataclasses import asdict
from pathlib import PurePosixPath

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.api.serializers import (
    DocumentSerializer,
    ErrorSerializer,
    SearchQuerySerializer,
    SearchResultSerializer,
    UploadResultSerializer,
    UploadSerializer,
)
from rag.intake.importing import collection_get_or_create, document_import
from rag.models import Document
from rag.parsing import ParseError
from rag.parsing.blocks import MAX_DOCUMENT_BYTES
from rag.retrieval.search import search
from rag.selectors import documents


class MayAddDocuments(BasePermission):
    """Reading is for everybody signed in; uploading needs `rag.add_document`."""

    message = "You may not upload documents: it needs the operator role (rag.add_document)."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this request may pass."""
        return request.method != "POST" or request.user.has_perm("rag.add_document")


class SearchView(APIView):
    """Passages of the documents in force."""

    @extend_schema(
        operation_id="knowledge_search",
        parameters=[SearchQuerySerializer],
        responses={200: SearchResultSerializer, 400: ErrorSerializer},
    )
    def get(self, request: Request) -> Response:
        """Find passages by words, codes and meaning; each hit carries both ranks and scores."""
        query = SearchQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        result = search(
            query=wanted["q"],
            k=wanted["k"],
            collection=wanted.get("collection"),
            kinds=sorted(wanted.get("kind") or []) or None,
        )
        return Response({"hits": [asdict(hit) for hit in result.hits], "degraded": result.degraded})


class DocumentsView(generics.ListAPIView[Document]):
    """The library."""

    permission_classes = [IsAuthenticated, MayAddDocuments]
    serializer_class = DocumentSerializer
    parser_classes = [MultiPartParser]

    def get_queryset(self):  # type: ignore[no-untyped-def]
        """Documents by the filters of the query string."""
        wanted = self.request.query_params
        return documents(collection=wanted.get("collection", ""), kind=wanted.get("kind", ""))

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
            200: UploadResultSerializer,
            201: UploadResultSerializer,
            400: ErrorSerializer,
            413: ErrorSerializer,
        },
    )
    def post(self, request: Request) -> Response:
        """Upload one file. An unchanged file answers 200, a new or changed one 201."""
        upload = UploadSerializer(data=request.data)
        upload.is_valid(raise_exception=True)
        file = upload.validated_data["file"]
        name = PurePosixPath(str(file.name)).name
        if file.size > MAX_DOCUMENT_BYTES:
            limit = MAX_DOCUMENT_BYTES // 2**20
            detail = f"{name}: {file.size / 2**20:.0f} MiB is over the limit of {limit} MiB"
            return _error("too_large", detail, status.HTTP_413_REQUEST_ENTITY_TOO_LARGE)
        try:
            collection = collection_get_or_create(slug=upload.validated_data["collection"])
            outcome = document_import(
                data=file.read(),
                source_path=name,
                collection=collection,
                kind=upload.validated_data["kind"],
            )
        except ParseError as error:
            return _error("unreadable", str(error), status.HTTP_400_BAD_REQUEST)
        body = {
            "status": outcome.status,
            "passages": outcome.passages,
            "document": documents().get(pk=outcome.document.pk),
        }
        code = status.HTTP_201_CREATED if outcome.status == "imported" else status.HTTP_200_OK
        return Response(UploadResultSerializer(body).data, status=code)


def _error(code: str, detail: str, status_code: int) -> Response:
    return Response({"code": code, "detail": detail}, status=status_code)
