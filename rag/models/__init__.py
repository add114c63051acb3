"""The nouns of the knowledge base and of the chat."""

from .chat import ChatMessage, ChatSession, Feedback
from .document import Collection, Document, Kind, Revision, RevisionState, StoredFile
from .embedding import EmbeddingModel, PassageVector
from .evaluation import EvaluationRun, GoldenQuestion
from .growth import Gap, OutcomeReport
from .job import ImportJob
from .passage import Passage

__all__ = [
    "ChatMessage",
    "ChatSession",
    "Collection",
    "Document",
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
]
