"""Search the documents."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.access import Reader
from rag.api.search_serializers import SearchQuerySerializer, SearchResultSerializer
from rag.api.serializers import ErrorSerializer
from rag.retrieval.hits import SearchResult, texts_around
from rag.retrieval.search import search


class SearchView(APIView):
    """Passages of the documents in force that the user may read."""

    @extend_schema(
        operation_id="knowledge_search",
        parameters=[SearchQuerySerializer],
        responses={200: SearchResultSerializer, 400: ErrorSerializer},
    )
    def get(self, request: Request) -> Response:
        """Find passages by words, codes and meaning; each hit says why it is where it is.

        A collection that does not exist, or that the user may not read, holds nothing.
        """
        query = SearchQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        result = search(
            query=wanted["q"],
            reader=Reader.of(request.user),
            k=wanted["k"],
            collection=wanted.get("collection"),
            kinds=sorted(wanted.get("kind") or []) or None,
            at=wanted.get("at"),
            leg=wanted["leg"],
            fusion=wanted.get("fusion"),
            rerank=wanted["rerank"],
        )
        return Response(_body(result, with_neighbours=wanted["neighbours"]))


def _body(result: SearchResult, *, with_neighbours: bool) -> dict[str, Any]:
    hits = [asdict(hit) for hit in result.hits]
    around = texts_around(result.hits) if with_neighbours else {}
    for hit in hits:
        hit["parts"] = [{"name": name, "value": round(value, 4)} for name, value in hit["parts"]]
        if with_neighbours:
            before, after = around.get(hit["passage_id"], (None, None))
            hit["around"] = {"before": before, "after": after}
    return {
        "hits": hits,
        "degraded": result.degraded,
        "confidence": round(result.confidence, 4),
        "is_confident": result.is_confident,
        "explanation": asdict(result.explanation),
    }
