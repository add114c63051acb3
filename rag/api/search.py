"""Search the documents."""

from dataclasses import fields
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.access import Reader
from rag.api.search_serializers import SearchQuerySerializer, SearchResultSerializer
from rag.api.serializers import ErrorSerializer
from rag.retrieval.hits import Explanation, Hit, SearchResult, texts_around
from rag.retrieval.lexical import MatchedTerm
from rag.retrieval.search import search

# One for all requests: it keeps nothing of them, and copying its fields each time takes longer than
# reading the parameters.
_PARAMETERS = SearchQuerySerializer()

_HIT = tuple(found.name for found in fields(Hit) if found.name not in ("matched", "parts"))
_EXPLANATION = tuple(found.name for found in fields(Explanation) if found.name != "terms")
_TERM = tuple(found.name for found in fields(MatchedTerm))


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
        wanted = _PARAMETERS.run_validation(request.query_params)
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
    around = texts_around(result.hits) if with_neighbours else {}
    hits = []
    for found in result.hits:
        hit = {name: getattr(found, name) for name in _HIT}
        hit["matched"] = _terms(found.matched)
        hit["parts"] = [{"name": name, "value": round(value, 4)} for name, value in found.parts]
        if with_neighbours:
            before, after = around.get(found.passage_id, (None, None))
            hit["around"] = {"before": before, "after": after}
        hits.append(hit)
    explained = result.explanation
    return {
        "hits": hits,
        "degraded": result.degraded,
        "confidence": round(result.confidence, 4),
        "is_confident": result.is_confident,
        "explanation": {name: getattr(explained, name) for name in _EXPLANATION}
        | {"terms": _terms(explained.terms)},
    }


def _terms(terms: tuple[MatchedTerm, ...]) -> list[dict[str, Any]]:
    # By hand: `dataclasses.asdict` copies every value, which took 3 ms of a search.
    return [{name: getattr(term, name) for name in _TERM} for term in terms]
