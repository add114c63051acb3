"""The nouns of the knowledge base and of the chat."""

from .chat import ChatMessage, ChatSession
from .document import Collection, Document, Kind, Revision, RevisionState
from .passage import EMBEDDING_DIMENSIONS, Passage

__all__ = [
    "EMBEDDING_DIMENSIONS",
    "ChatMessage",
    "ChatSession",
    "Collection",
    "Document",
    "Kind",
    "Passage",
    "Revision",
    "RevisionState",
]
