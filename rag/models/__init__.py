"""The nouns of the knowledge base and of the chat."""

from .chat import ChatMessage, ChatSession, Feedback
from .document import Collection, Document, Kind, Revision, RevisionState, StoredFile
from .embedding import EmbeddingModel, PassageVector
from .evaluation import EvaluationRun, GoldenQuestion
from .event import DocumentEvent
from .growth import Gap, OutcomeReport
from .job import ACTIVE_STATES, ImportJob
from .passage import Passage
from .watched import WatchedFile

__all__ = [
    "ACTIVE_STATES",
    "ChatMessage",
    "ChatSession",
    "Collection",
    "Document",
    "DocumentEvent",
    "EmbeddingModel",
    "EvaluationRun",
    "Feedback",
    "Gap",
    "GoldenQuestion",
    "ImportJob",
    "Kind",
    "OutcomeReport",
    "Passage",
    "PassageVector",
    "Revision",
    "RevisionState",
    "StoredFile",
    "WatchedFile",
]
