"""Collections: what shelves there are, and who reads them."""

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.access import Reader, collections_of
from rag.api.knowledge_serializers import CollectionSerializer
from rag.api.serializers import ErrorSerializer
from rag.models import Collection
from rag.selectors import collections


class MayChangeCollections(BasePermission):
    """Making and changing collections needs `rag.change_collection`."""

    message = (
        "You may not change collections: it needs the supervisor role (rag.change_collection)."
    )

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this request may pass."""
        return request.method == "GET" or request.user.has_perm("rag.change_collection")


def collections_for(request: Request) -> QuerySet[Collection]:
    """The collections that the user may read, with `document_count`."""
    allowed = collections_of(Reader.of(request.user)).values("pk")
    return collections().filter(pk__in=allowed).prefetch_related("groups")


class CollectionsView(generics.ListAPIView[Collection]):
    """The shelves."""

    permission_classes = [IsAuthenticated, MayChangeCollections]
    serializer_class = CollectionSerializer

    def get_queryset(self):  # type: ignore[no-untyped-def]
        """Collections that the user may read."""
        return collections_for(self.request)

    @extend_schema(operation_id="knowledge_collections_list")
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Collections that you may read."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="knowledge_collections_create",
        request=CollectionSerializer,
        responses={201: CollectionSerializer, 400: ErrorSerializer, 403: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a collection; with groups, only their members (and higher roles) read it."""
        body = CollectionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        made = body.save()
        return Response(
            CollectionSerializer(collections().get(pk=made.pk)).data, status=status.HTTP_201_CREATED
        )


class CollectionView(APIView):
    """One shelf."""

    permission_classes = [IsAuthenticated, MayChangeCollections]

    @extend_schema(
        operation_id="knowledge_collection",
        responses={200: CollectionSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, slug: str) -> Response:
        """One collection."""
        found = get_object_or_404(collections_for(request), slug=slug)
        return Response(CollectionSerializer(found).data)

    @extend_schema(
        operation_id="knowledge_collection_change",
        request=CollectionSerializer,
        responses={
            200: CollectionSerializer,
            400: ErrorSerializer,
            403: ErrorSerializer,
            404: ErrorSerializer,
        },
    )
    def patch(self, request: Request, slug: str) -> Response:
        """Change name, description or readers; the slug stays, because links and imports use it."""
        found = get_object_or_404(collections_for(request), slug=slug)
        body = CollectionSerializer(found, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        body.save()
        return Response(CollectionSerializer(collections().get(pk=found.pk)).data)
